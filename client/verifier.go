package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and bounds of VerifierOptions.
const (
	defaultLease = 5 * time.Second
	minLease     = time.Second // the server's
	maxLease     = time.Minute
	defaultSize  = 10_000
	maxSize      = 100_000        // a hundred megabytes or so
	maxGrace     = 24 * time.Hour // whoever is cut off for longer has to notice
)

// closeTimeout bounds what Close says to the server.
const closeTimeout = 3 * time.Second

// staleAfter is how long an answer is awaited where a stale one is there.
const staleAfter = 500 * time.Millisecond

// VerifierOptions are what a Verifier is made of.
type VerifierOptions struct {
	URL   string // as of Options
	Token Secret // a credential that holds tokens:verify

	// Lease is how late it may hear of a change where it is cut off, 1 to 60 s; 5 s by default. Where instead one of several nodes
	// is cut off from the database, its verifiers may hear a second later still. No receipt comes before.
	Lease time.Duration

	Size  int           // tokens held at most, up to 100,000; 10,000 by default
	Grace time.Duration // how long after the lease what was held is answered from while the server is away; 0: not at all

	// ClientIP says where a request comes from, for Require; by default that is its RemoteAddr. Behind a proxy it reads what
	// that proxy, and nobody else, can have written.
	ClientIP func(*http.Request) (netip.Addr, bool)

	HTTPClient *http.Client // as of Options
	Log        *slog.Logger // of connections and leases; nothing by default

	clock func() moment // for tests
}

func (o *VerifierOptions) check() error {
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if o.ClientIP == nil {
		o.ClientIP = peer
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.clock == nil {
		o.clock = clock()
	}
	switch {
	case o.Lease < minLease || o.Lease > maxLease:
		return fmt.Errorf("tokenwire: Lease is %v to %v", minLease, maxLease)
	case o.Size < 1 || o.Size > maxSize:
		return fmt.Errorf("tokenwire: Size is 1 to %d", maxSize)
	case o.Grace < 0 || o.Grace > maxGrace:
		return fmt.Errorf("tokenwire: Grace is 0 to %v", maxGrace)
	}
	return nil
}

// Verifier checks tokens, most of them from memory.
type Verifier struct {
	options VerifierOptions
	client  *Client
	session atomic.Pointer[session] // of the connection there is, or nil

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	work  sync.WaitGroup
	done  chan struct{} // closed when Close is through
	first chan error    // has room for one: how the first beat went

	malformed atomic.Int64
	places    *places

	mu       sync.Mutex
	closed   bool
	previous *session // ended, with what may be answered stale; or nil
	flights  map[digest]*flight
	sends    uint64 // requests to verify, counted as they are sent
	uses     map[string]use
	stats    Stats
}

// Stats are counts since NewVerifier, and what is held now.
type Stats struct {
	Hits        int64 // answered from memory
	Misses      int64 // not in memory when they came
	Asked       int64 // requests to verify that were sent
	Malformed   int64 // texts that cannot be tokens, for which nobody was asked
	Unavailable int64 // misses for which there was no answer
	Stale       int64 // misses that were answered stale
	Drops       int64 // entries dropped as their tokens had changed
	Evicted     int64 // entries dropped as there was no more room
	LostUses    int64 // uses that could not be kept until they are reported, or whose reports may not have arrived
	Held        int   // entries there are now
	Leased      bool  // it may answer from memory now
}

// NewVerifier connects, and returns when it has a lease. It tries again until ctx ends; that has no meaning for the Verifier
// afterwards. A credential that is no good is an *EndedError, one that may not verify an *Error 403, and a URL that leads to
// something else than Tokenwire, which answers 404, say, an error that names its path: all three at once.
func NewVerifier(ctx context.Context, o VerifierOptions) (*Verifier, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	v := &Verifier{
		options: o, done: make(chan struct{}), first: make(chan error, 1), flights: map[digest]*flight{}, uses: map[string]use{},
		places: newPlaces(),
	}
	v.ctx, v.stop = context.WithCancel(context.Background())
	var err error
	options := Options{URL: o.URL, Token: o.Token, HTTPClient: o.HTTPClient, Log: o.Log}
	if v.client, err = open(options, v, verifierBackoffCap); err != nil {
		v.stop()
		return nil, err
	}
	v.work.Go(v.report)
	select {
	case err = <-v.first:
	case <-v.client.stopped:
		_, err = v.client.live(ctx)
	case <-ctx.Done():
		err = unavailable(ctx.Err())
		if _, cause := v.client.live(ctx); cause != nil {
			err = unavailable(cause)
		}
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Verify says what is known of a token. An error is ErrUnavailable or a *RateLimited, and no answer. A Decision that is
// Active counts as a use that was let in. Verify does not know where the token comes from: ask Decision.From, as Require does.
//
// Where the Verifier's own credential has ended, every error is also an *EndedError (errors.As), and will be: the service must
// be started again with another one. Done tells of it without a question.
func (v *Verifier) Verify(ctx context.Context, token string) (Decision, error) {
	d, err := v.verify(ctx, token)
	if d.Active {
		v.count(d, true)
	}
	return d, err
}

// verify is Verify without a count.
func (v *Verifier) verify(ctx context.Context, token string) (Decision, error) {
	if len(token) == tokenSize {
		id := digestOf(token)
		if e := v.held(id); e != nil {
			return e.decision, nil
		}
		if wellFormed(token) {
			return v.miss(ctx, id)
		}
	}
	v.malformed.Add(1)
	return Decision{}, nil
}

// held returns what may be answered from: an entry of the present connection, within its lease and its own time. The clocks
// are read last, so that no time passes unseen before it.
func (v *Verifier) held(id digest) *entry {
	s := v.session.Load()
	if s == nil {
		return nil
	}
	e := s.cache.get(id)
	if e == nil {
		return nil
	}
	if now := v.options.clock(); !s.isLeased(now) || !e.life.lasts(now) {
		return nil
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// miss asks, and answers stale where nobody can be asked and Grace allows it.
func (v *Verifier) miss(ctx context.Context, id digest) (Decision, error) {
	v.mu.Lock()
	v.stats.Misses++
	stale := v.stale(id)
	v.mu.Unlock()
	wait := ctx
	if stale != nil {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, staleAfter)
		defer cancel()
	}
	d, err := v.ask(wait, id)
	if !isUnavailable(err) {
		return d, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.stale(id); e != nil && ctx.Err() == nil {
		v.stats.Stale++
		d := e.decision
		d.Stale, d.entry = true, nil
		return d, nil
	}
	v.stats.Unavailable++
	return Decision{}, err
}

// Stats returns the counts.
func (v *Verifier) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gather()
	stats := v.stats
	stats.Malformed = v.malformed.Load()
	if s := v.session.Load(); s != nil {
		stats.Held = len(s.cache.ring)
		stats.Leased = s.isLeased(v.options.clock())
	}
	return stats
}

// Done is closed when the Verifier is at its end: after Close, or as its own credential has ended, be it switched off, expired or
// replaced. Then it asks nobody any more, and only another one, with another credential, does: see to it that somebody hears
// of that.
func (v *Verifier) Done() <-chan struct{} { return v.client.stopped }

// Err returns nil until Done is closed. Then it is why: an *EndedError, or ErrClosed.
func (v *Verifier) Err() error {
	select {
	case <-v.client.stopped:
		return v.client.why()
	default:
		return nil
	}
}

// Close drops what is held, reports the uses there are, and gives the lease back, so that nobody waits for this Verifier any
// more. When it returns, within a few seconds, no goroutine and no socket is left. It is idempotent.
func (v *Verifier) Close() error {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		<-v.done
		return nil
	}
	v.closed = true
	v.endSession(v.session.Load())
	v.previous = nil
	v.mu.Unlock()
	v.stop()
	v.work.Wait()
	v.sayGoodbye()
	err := v.client.Close()
	close(v.done)
	return err
}

// sayGoodbye gives the lease back, after the last report, for which it waits for a connection if there is none.
func (v *Verifier) sayGoodbye() {
	v.mu.Lock()
	hasUses := len(v.uses) > 0
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	wait, cease := context.WithCancel(ctx)
	if !hasUses {
		cease()
	}
	if k, err := v.client.live(wait); err == nil {
		v.reportTo(ctx, k)
		_, _ = k.call(ctx, methodRelease, nil) // without it the lease runs out by itself
	}
	cease()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, u := range v.uses {
		v.stats.LostUses += u.allowed + u.denied
	}
	if len(v.uses) > 0 {
		v.options.Log.Error("tokenwire: the last uses could not be reported", "tokens", len(v.uses))
	}
	clear(v.uses)
}
