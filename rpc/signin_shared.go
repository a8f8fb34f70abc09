package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// Sign-ins are limited on each node by what it remembers, and then by what all nodes have written of failed ones: who asks several
// nodes has no more attempts than who asks one.
const (
	knownFor      = 90 * 24 * time.Hour // a source that has signed in to an account is known for so long
	maxDebt       = 4                   // times a bucket's burst: what many nodes let through at once is paid back, up to that
	sharedTimeout = 5 * time.Second     // for writing what came of an attempt
)

// shared is a bucket as all nodes have it.
func (b bucket) shared(key string) models.Bucket {
	return models.Bucket{Key: key, Take: b.every, Most: maxDebt * time.Duration(b.burst) * b.every}
}

// waitFor returns how long to wait for an attempt when so much is taken.
func (b bucket) waitFor(taken time.Duration) time.Duration {
	return max(0, taken-time.Duration(b.burst-1)*b.every)
}

// attempt takes an attempt at an account before the password is looked at. The caller calls end once, with what came of it.
func (s *Service) attempt(ctx context.Context, username, address string) (end func(outcome), err error) {
	own, err := s.signIns.attempt(username, address)
	if err != nil {
		return nil, err
	}
	began, source := s.store.Now(), sourceOf(address)
	pair := source + " " + username
	all := []models.Bucket{
		limitPair.shared("pair " + pair), limitSource.shared("source " + source), limitAccount.shared("account " + username),
		{Key: "known " + pair, Take: knownFor, Most: knownFor},
	}
	taken, err := s.store.Taken(ctx, all)
	if err != nil {
		own(unknown)
		return nil, err
	}
	isKnown, isWritten := s.signIns.knows(pair), taken[3] > knownFor/2
	wait, counted := limitPair.waitFor(taken[0]), all[:1]
	if isKnown = isKnown || taken[3] > 0; !isKnown {
		wait, counted = max(wait, limitSource.waitFor(taken[1]), limitAccount.waitFor(taken[2])), all[:3]
	}
	if wait > 0 {
		own(unknown)
		return nil, tooMany("too many failed sign-ins; wait a little", wait)
	}
	return func(o outcome) {
		own(o)
		switch {
		case o == wrong, o == abandoned && !isKnown:
			s.take(began, counted)
		case o == good && !isWritten:
			s.take(began, all[3:])
		}
	}, nil
}

// take writes what came of an attempt, also for a caller who has hung up. What cannot be written this node remembers alone.
func (s *Service) take(began models.Time, buckets []models.Bucket) {
	ctx, cancel := context.WithTimeout(context.Background(), sharedTimeout)
	defer cancel()
	if err := s.store.Take(ctx, began, buckets); err != nil {
		s.log.Warn("cannot write that a sign-in was tried", "error", err)
	}
}

// knows reports whether a source has signed in to an account on this node.
func (l *signInLimits) knows(pair string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known.Contains(pair)
}

func isTooMany(err error) bool {
	var refused *models.Error
	return errors.As(err, &refused) && refused.Code == models.TooMany
}
