package rpc

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tokenwire/tokenwire/models"
)

// Failed sign-ins are limited three ways, each a bucket of attempts that fills again with time:
//
//   - per source and account, so that one attacker cannot guess one password;
//   - per source, so that he cannot try one password on every account;
//   - per account, so that many sources together cannot guess one password either.
//
// The last two must not lock anybody out: they are not for a source that has signed in to the account before. A proxy, say,
// is the source of many.
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
	maxStrangers    = 48     // of them from sources that have not signed in to that account before
	maxPerSource    = 16     // of those from one source
	busyRetry       = time.Second
)

type bucket struct {
	burst int
	every time.Duration
}

// limiter is a set of buckets of one kind, by key. Of a bucket it keeps when it will be full again.
type limiter struct {
	bucket
	full *lru.Cache[string, time.Time]
}

func newLimiter(b bucket) limiter {
	full, _ := lru.New[string, time.Time](maxBuckets) // fails for a size below 1 only
	return limiter{b, full}
}

// wait returns how long to wait for an attempt.
func (l limiter) wait(key string, now time.Time) time.Duration {
	full, ok := l.full.Get(key)
	if !ok {
		return 0
	}
	return max(0, full.Sub(now)-time.Duration(l.burst-1)*l.every)
}

func (l limiter) take(key string, now time.Time) {
	full, _ := l.full.Get(key)
	if full.Before(now) {
		full = now
	}
	l.full.Add(key, full.Add(l.every))
}

func (l limiter) giveBack(key string) {
	if full, ok := l.full.Peek(key); ok {
		l.full.Add(key, full.Add(-l.every))
	}
}

// outcome is how an attempt ended.
type outcome int

const (
	wrong     outcome = iota // the password
	abandoned                // who asked has hung up: counts too, where nobody has signed in from there before
	unknown                  // it was not looked at
	good                     // also, the source is one that has signed in to the account
)

// signInLimits limits sign-ins of this node: the first, quick look.
type signInLimits struct {
	mu                    sync.Mutex // makes looking up and taking one step
	pair, source, account limiter
	known                 *lru.Cache[string, struct{}]
	underWay              int
	strangers             int            // of those under way
	perSource             map[string]int // of the strangers
	perPair               map[string]int
}

func newSignInLimits() *signInLimits {
	known, _ := lru.New[string, struct{}](maxKnownSources)
	return &signInLimits{
		pair: newLimiter(limitPair), source: newLimiter(limitSource), account: newLimiter(limitAccount),
		known: known, perSource: map[string]int{}, perPair: map[string]int{},
	}
}

// attempt takes an attempt before the password is looked at, so that many at once are not more than many in turn. The
// caller calls end once, with what came of it. A refused attempt changes nothing: it makes no wait longer, and nothing
// be forgotten.
func (l *signInLimits) attempt(username, address string) (end func(outcome), err error) {
	source := sourceOf(address)
	pair := source + " " + username
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	_, isKnown := l.known.Get(pair)
	if l.underWay == maxSignIns || !isKnown && (l.strangers == maxStrangers || l.perSource[source] == maxPerSource) {
		return nil, tooMany("too many people are signing in; try again shortly", busyRetry)
	}
	wait := l.pair.wait(pair, now)
	if !isKnown {
		wait = max(wait, l.source.wait(source, now), l.account.wait(username, now))
	}
	if wait > 0 && l.perPair[pair] > 0 {
		wait = min(wait, busyRetry) // those under way may give their attempts back
	}
	if wait > 0 {
		return nil, tooMany("too many failed sign-ins; wait a little", wait)
	}
	l.pair.take(pair, now)
	if !isKnown {
		l.source.take(source, now)
		l.account.take(username, now)
	}
	l.enter(source, pair, isKnown, 1)
	return func(o outcome) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.enter(source, pair, isKnown, -1)
		if o == wrong || o == abandoned && !isKnown {
			return
		}
		l.pair.giveBack(pair)
		if !isKnown {
			l.source.giveBack(source)
			l.account.giveBack(username)
		}
		if o == good {
			l.known.Add(pair, struct{}{})
		}
	}, nil
}

// enter counts a sign-in in, or out.
func (l *signInLimits) enter(source, pair string, isKnown bool, n int) {
	l.underWay += n
	add(l.perPair, pair, n)
	if !isKnown {
		l.strangers += n
		add(l.perSource, source, n)
	}
}

// add counts n more of a key, and forgets keys that there are none of.
func add(counts map[string]int, key string, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// notLookedAt returns how an attempt ended whose password was not looked at.
func notLookedAt(ctx context.Context) outcome {
	if ctx.Err() != nil {
		return abandoned
	}
	return unknown
}

// tooMany rounds the wait up: who comes again when he was told to must be let in.
func tooMany(message string, wait time.Duration) *models.Error {
	ms := (wait + time.Millisecond - 1).Milliseconds()
	return &models.Error{Code: models.TooMany, Message: message, Data: map[string]any{"retryAfterMs": ms}}
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
	Username string        `json:"username" doc:"in any case"`
	Password models.Secret `json:"password" doc:"the user's"`
}

// SignInResult is what sign-in gives.
type SignInResult struct {
	Session   string      `json:"session" format:"password" doc:"the credential, tws_…; the only time it is shown"`
	ExpiresAt models.Time `json:"expiresAt"`
	User      UserRef     `json:"user"`
}

var errWrongPassword = &models.Error{Code: models.Unauthorized, Message: "wrong username or password"}

func (s *Service) signIn(ctx context.Context, c *Call, p SignInParams) (SignInResult, error) {
	username := strings.ToLower(strings.TrimSpace(p.Username))
	if len(username) > maxEcho {
		return SignInResult{}, errWrongPassword
	}
	end, err := s.attempt(ctx, username, c.door.Address)
	if err != nil && !isTooMany(err) {
		return SignInResult{}, err
	}
	if err != nil {
		s.metrics.signIns.WithLabelValues("limited").Inc()
		return SignInResult{}, err
	}
	how := unknown
	defer func() { end(how) }()
	user, session, secret, err := s.store.SignIn(ctx, username, p.Password, c.door.Address, c.door.Agent)
	if errors.Is(err, models.ErrUnauthorized) {
		how = wrong
		s.metrics.signIns.WithLabelValues("failed").Inc()
		return SignInResult{}, errWrongPassword
	}
	if err != nil {
		how = notLookedAt(ctx)
		return SignInResult{}, err
	}
	how = good
	s.metrics.signIns.WithLabelValues("good").Inc()
	c.door.SignedIn(secret, session.ExpiresAt)
	return SignInResult{secret.Reveal(), session.ExpiresAt, UserRef{user.ID, user.Username}}, nil
}

// setPassword counts wrong current passwords like failed sign-ins: a stolen session must not be able to guess.
func (s *Service) setPassword(ctx context.Context, c *Call, p SetPasswordParams) (Empty, error) {
	end, err := s.attempt(ctx, c.caller.Username, c.door.Address)
	if err != nil {
		return Empty{}, err
	}
	how := unknown
	defer func() { end(how) }()
	err = s.store.SetPassword(ctx, c.actor(), p.Current, p.New)
	var refused *models.Error
	switch {
	case err == nil:
		how = good
	case errors.As(err, &refused) && refused.Code == models.Forbidden:
		how = wrong
	default:
		how = notLookedAt(ctx)
	}
	return Empty{}, err
}
