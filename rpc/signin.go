package rpc

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/tokenwire/tokenwire/models"
)

// Failed sign-ins are limited three ways, each a bucket of attempts that fills again with time:
//
//   - per source and account, so that one attacker cannot guess one password;
//   - per source, so that he cannot try one password on every account;
//   - per account, so that many sources together cannot guess one password either.
//
// The last one must not lock the victim out: a source that has signed in to the account before does not count for it.
// Good sign-ins give their attempt back.
var (
	limitPair    = bucket{burst: 5, every: 30 * time.Second}
	limitSource  = bucket{burst: 50, every: 2 * time.Second}
	limitAccount = bucket{burst: 100, every: 10 * time.Second}
)

const (
	maxBuckets      = 20_000 // of each kind; the one unused for longest makes way for a new one
	maxKnownSources = 20_000 // pairs of account and source that have signed in
	maxSignIns      = 64     // sign-ins that wait for a core at once; more are told to come again
	busyRetry       = time.Second
)

type bucket struct {
	burst int
	every time.Duration
}

// limiter is a set of buckets of one kind, by key.
type limiter struct {
	bucket
	byKey *lru.Cache[string, *rate.Limiter]
}

func newLimiter(b bucket) limiter {
	byKey, _ := lru.New[string, *rate.Limiter](maxBuckets) // fails for a size below 1 only
	return limiter{b, byKey}
}

// reserve takes an attempt. If there is none, wait says when there will be.
func (l limiter) reserve(key string, now time.Time) (r *rate.Reservation, wait time.Duration) {
	b, ok := l.byKey.Get(key)
	if !ok {
		b = rate.NewLimiter(rate.Every(l.every), l.burst)
		l.byKey.Add(key, b)
	}
	r = b.ReserveN(now, 1)
	wait = r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return r, wait
}

// signInLimits limits sign-ins of this node.
type signInLimits struct {
	mu                    sync.Mutex // makes looking up and taking one step
	pair, source, account limiter
	known                 *lru.Cache[string, struct{}]
	underWay              chan struct{}
}

func newSignInLimits() *signInLimits {
	known, _ := lru.New[string, struct{}](maxKnownSources)
	return &signInLimits{
		pair: newLimiter(limitPair), source: newLimiter(limitSource), account: newLimiter(limitAccount),
		known: known, underWay: make(chan struct{}, maxSignIns),
	}
}

// attempt takes an attempt before the password is looked at, so that many at once are not more than many in turn. The
// caller calls good if the sign-in was, and done in any case.
func (l *signInLimits) attempt(username, address string) (good, done func(), err error) {
	select {
	case l.underWay <- struct{}{}:
	default:
		return nil, nil, tooMany("too many people are signing in; try again shortly", busyRetry)
	}
	done = func() { <-l.underWay }
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	source := sourceOf(address)
	pair := source + " " + username
	taken := []*rate.Reservation{}
	take := func(from limiter, key string) bool {
		r, wait := from.reserve(key, now)
		if wait == 0 {
			taken = append(taken, r)
			return true
		}
		err = tooMany("too many failed sign-ins; wait a little", wait)
		return false
	}
	undo := func() {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	if !take(l.pair, pair) || !take(l.source, source) || !l.known.Contains(pair) && !take(l.account, username) {
		undo()
		done()
		return nil, nil, err
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		undo()
		l.known.Add(pair, struct{}{})
	}, done, nil
}

func tooMany(message string, wait time.Duration) *models.Error {
	return &models.Error{Code: models.TooMany, Message: message, Data: map[string]any{"retryAfterMs": max(1, wait.Milliseconds())}}
}

// sourceOf returns what counts as one source: an IPv4 address, or the /64 of an IPv6 address, which one customer has.
func sourceOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap(); a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return a.String()
}

// SignInParams are the params of /v1/session/sign-in.
type SignInParams struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// SignInResult is what sign-in gives.
type SignInResult struct {
	Session   string      `json:"session" doc:"the credential, tws_…; the only time it is shown"`
	ExpiresAt models.Time `json:"expiresAt"`
	User      UserRef     `json:"user"`
}

func (s *Service) signIn(ctx context.Context, c *Call, p SignInParams) (SignInResult, error) {
	if c.door.SignedIn == nil {
		return SignInResult{}, &models.Error{Code: models.Forbidden, Message: "sign in with POST /api/v1/session/sign-in"}
	}
	username := strings.ToLower(strings.TrimSpace(p.Username))
	if len(username) > maxEcho {
		return SignInResult{}, models.ErrUnauthorized
	}
	good, done, err := s.signIns.attempt(username, c.door.Address)
	if err != nil {
		s.metrics.signIns.WithLabelValues("limited").Inc()
		return SignInResult{}, err
	}
	defer done()
	user, session, secret, err := s.store.SignIn(ctx, username, models.NewSecret(p.Password), c.door.Address, c.door.Agent)
	if errors.Is(err, models.ErrUnauthorized) {
		s.metrics.signIns.WithLabelValues("failed").Inc()
		return SignInResult{}, &models.Error{Code: models.Unauthorized, Message: "wrong username or password"}
	}
	good() // also where the database failed: that was no wrong password
	if err != nil {
		return SignInResult{}, err
	}
	s.metrics.signIns.WithLabelValues("good").Inc()
	c.door.SignedIn(secret, session.ExpiresAt)
	return SignInResult{secret.Reveal(), session.ExpiresAt, UserRef{user.ID, user.Username}}, nil
}

// setPassword counts wrong current passwords like failed sign-ins: a stolen session must not be able to guess.
func (s *Service) setPassword(ctx context.Context, c *Call, p SetPasswordParams) (Empty, error) {
	good, done, err := s.signIns.attempt(c.caller.Username, c.door.Address)
	if err != nil {
		return Empty{}, err
	}
	defer done()
	err = s.store.SetPassword(ctx, c.actor(), models.NewSecret(p.Current), models.NewSecret(p.New))
	var refused *models.Error
	if !errors.As(err, &refused) || refused.Code != models.Forbidden {
		good()
	}
	return Empty{}, err
}
