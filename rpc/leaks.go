package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// limitLeaks is how many leaks one source may report: a scanner finds many at once, and nobody floods others' feeds.
var limitLeaks = bucket{burst: 30, every: 2 * time.Second}

// leakLimits limits reports of leaks to this node, per source.
type leakLimits struct {
	mu     sync.Mutex // makes looking up and taking one step
	source limiter
}

func newLeakLimits() *leakLimits { return &leakLimits{source: newLimiter(limitLeaks)} }

// attempt takes one report from a source. A refused one makes no wait longer.
func (l *leakLimits) attempt(address string) error {
	source := sourceOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait := l.source.wait(source, now); wait > 0 {
		return tooMany("too many reports; wait a little", wait)
	}
	l.source.take(source, now)
	return nil
}

type (
	reportLeakOptions struct {
		URL *string `json:"url,omitzero" doc:"where it was found: http or https, at most 2,000 characters"`
	}
	reportLeak struct {
		Token   models.Secret     `json:"token" doc:"the whole token, as it was found"`
		Options reportLeakOptions `json:"options,omitzero" doc:"what the owner is told"`
	}
)

// reportLeak answers alike whatever the token is, when no verifier takes it any more. Who reports is told to nobody, so that
// nobody need fear to.
func (s *Service) reportLeak(ctx context.Context, c *Call, p reportLeak) (Empty, error) {
	if err := s.leaks.attempt(c.door.Address); err != nil {
		return Empty{}, err
	}
	var of subject
	_, _, err := settled(ctx, s, c, &of, func() (_ Empty, err error) {
		of.userID, of.tokenID, err = s.store.ReportLeak(ctx, models.Actor{ChangeID: c.changeID}, p.Token, p.Options.URL)
		return Empty{}, err
	})
	return Empty{}, err
}
