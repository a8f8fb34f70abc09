package rpc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// Bounds of a lease.
const (
	minLease     = time.Second
	defaultLease = 5 * time.Second
	maxLease     = time.Minute
	maxHeld      = 100_000 // tokens of one lease: one of them makes way for what is asked beyond
	changedChunk = 1000    // token ids in one notification: 23 KiB
)

// lease is a verifier's: how long it may answer from what it holds. Its connection has it from the first beat on, and it
// outlives the connection, since the verifier may not know yet that it is cut off.
type lease struct {
	out    *outbox
	room   int    // tokens that it may hold
	holder *feed  // of the verifier's user, which counts what he holds
	all    *share // what all verifiers hold

	mu          sync.Mutex       // after feed.mu, before outbox.mu
	until       time.Time        // counted from when the last beat came in: never before the verifier's own end of it
	seq         int64            // of the last notification
	unconfirmed []unconfirmed    // in the order of their numbers
	holds       map[string]*feed // by token id: where it is watched
	over        bool             // nothing is held any more, for good
}

// unconfirmed is a notification that a verifier has not confirmed.
type unconfirmed struct {
	seq        int64
	revocation *revocation
}

const methodChanged = "/v1/verifier/changed"

type changedParams struct {
	Seq      int64    `json:"seq" doc:"counts the connection's notifications of this kind, from 1"`
	TokenIDs []string `json:"tokenIds" doc:"the tokens of which nothing that is held is sure to be so any more"`
}

// push tells the verifier that nothing it holds of some tokens is sure to be so any more. A revocation waits for it if its
// lease has not run out. It is called with the feed.mu of these tokens held.
func (l *lease) push(tokenIDs []string, r *revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	before := len(l.holds)
	for _, id := range tokenIDs {
		delete(l.holds, id)
	}
	l.giveShares(before - len(l.holds))
	l.seq++
	l.out.urgent(notify(methodChanged, changedParams{l.seq, tokenIDs}))
	for len(l.unconfirmed) > 0 && l.unconfirmed[0].revocation.isDone() { // it waits no longer
		l.unconfirmed = l.unconfirmed[1:]
	}
	if l.until.After(time.Now()) {
		l.unconfirmed = append(l.unconfirmed, unconfirmed{l.seq, r})
		r.await(l, l.seq, l.until)
	}
}

// beat renews the lease as of a time. Its answer goes into the same queue as the notifications, after all that were pushed until
// now.
func (l *lease) beat(at time.Time, length time.Duration) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := at.Add(length); until.After(l.until) {
		l.until = until
	}
	return l.seq
}

// confirm takes note that the verifier has let go of all that it was told of up to a number.
func (l *lease) confirm(seq int64) error {
	l.mu.Lock()
	if seq < 0 || seq > l.seq {
		defer l.mu.Unlock()
		return invalidParam("seq", fmt.Sprintf("the last one was %d", l.seq))
	}
	n := 0
	for n < len(l.unconfirmed) && l.unconfirmed[n].seq <= seq {
		n++
	}
	confirmed := l.unconfirmed[:n]
	l.unconfirmed = l.unconfirmed[n:]
	l.mu.Unlock()
	for _, u := range confirmed {
		u.revocation.confirm(l, u.seq)
	}
	return nil
}

// take notes that the verifier holds a token, and returns the number of the last notification. It reports false where it
// cannot. It is called with feed.mu held.
func (l *lease) take(f *feed, tokenID string) (seq int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.until.After(time.Now()) || len(l.holds) >= l.room {
		return l.seq, false
	}
	if l.holds[tokenID] == nil && !l.takeShares() {
		return l.seq, false
	}
	l.holds[tokenID] = f
	return l.seq, true
}

// last returns the number of the last notification.
func (l *lease) last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// has reports whether the verifier holds a token: after it has let go of everything, perhaps anew.
func (l *lease) has(tokenID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holds[tokenID] != nil
}

// isOver reports whether the lease of a connection that has ended is over: it has run out, or the verifier had let go of all that it
// was given, which it could not be given again.
func (l *lease) isOver(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.until.After(now) || len(l.holds)+len(l.unconfirmed) == 0
}

// lend returns facts as a verifier may hold them: it hears of what becomes of them, and is told by which number it can tell
// what it had heard before. It reports false for facts that it may use once and not keep.
func (h *hub) lend(l *lease, fact *fact) (seq int64, held bool) {
	if l == nil {
		return 0, false
	}
	if fact.feed == nil || fact.RateLimit != nil { // who counts must be asked each time
		return l.last(), false
	}
	h.makeRoom(l)
	f := fact.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if fact.stale.Load() {
		return l.last(), false
	}
	if seq, held = l.take(f, fact.TokenID); held {
		h.watched(f, fact.TokenID).leases[l] = struct{}{}
	}
	return seq, held
}

// makeRoom takes one token back from a verifier that holds as many as it may: it may well have forgotten that one itself, which
// nobody here is told of. Until it confirms that, whoever changes the token waits for it as before.
func (h *hub) makeRoom(l *lease) {
	id, f := l.surplus()
	if f == nil {
		return
	}
	h.takeBack(l, f, []string{id})
}

// surplus returns some token that is held, and where it is watched, if there is no room for another one.
func (l *lease) surplus() (tokenID string, f *feed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.holds) < l.room {
		return "", nil
	}
	for id, f := range l.holds {
		return id, f
	}
	return "", nil
}

// vacate ends what is held under a lease. Of what it was told of before, nobody waits for a verifier that has let go of
// everything.
func (h *hub) vacate(l *lease, over bool) {
	l.mu.Lock()
	l.over, l.until = over, time.Time{}
	holds, waiting := l.holds, l.unconfirmed
	l.holds, l.unconfirmed = map[string]*feed{}, nil
	l.giveShares(len(holds))
	l.mu.Unlock()
	for id, f := range holds {
		f.mu.Lock()
		if w := f.watches[id]; w != nil && !l.has(id) {
			delete(w.leases, l)
			h.unwatch(f, id)
		}
		f.mu.Unlock()
	}
	if !over {
		for _, u := range waiting {
			u.revocation.confirm(l, u.seq)
		}
	}
}

// abandon keeps the lease of a connection that has ended until it runs out: the verifier may answer from it so long.
func (h *hub) abandon(l *lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.abandoned[l] = struct{}{}
}

// endAbandoned lets go of the leases that have run out since their connections ended, and of those that nothing is held under.
func (h *hub) endAbandoned() {
	var over []*lease
	now := time.Now()
	h.mu.Lock()
	for l := range h.abandoned {
		if l.isOver(now) {
			over = append(over, l)
			delete(h.abandoned, l)
		}
	}
	h.mu.Unlock()
	for _, l := range over {
		h.vacate(l, true)
		h.release(l.holder)
	}
}

// Params and results of the methods of a lease.
type (
	beatOptions struct {
		Lease     *float64 `json:"lease,omitzero" minimum:"1" maximum:"60" doc:"seconds, 1 to 60, 5 by default: how long the verifier may answer from what it holds, from when it sent this"`
		Confirmed int64    `json:"confirmed,omitzero" minimum:"0" doc:"the verifier has let go of all that it was told of up to this number"`
	}
	beatParams struct {
		Options beatOptions `json:"options,omitzero" doc:"how long, and what is confirmed with it"`
	}
	beatResult struct {
		Lease float64 `json:"lease" doc:"seconds"`
		Seq   int64   `json:"seq" doc:"of the last /v1/verifier/changed"`
	}
	confirmParams struct {
		Seq int64 `json:"seq" minimum:"0" doc:"the verifier has let go of all that it was told of up to this number"`
	}
)

// errNoConnection refuses what only a connection can have.
var errNoConnection = &models.Error{Code: models.Forbidden, Message: "a lease is a connection's: call this over a WebSocket"}

func (s *Service) beat(ctx context.Context, c *Call, p beatParams) (beatResult, error) {
	length := defaultLease
	if seconds := p.Options.Lease; seconds != nil {
		if !(*seconds >= minLease.Seconds() && *seconds <= maxLease.Seconds()) {
			return beatResult{}, invalidParam("options.lease", "lease is 1 to 60 seconds")
		}
		length = time.Duration(*seconds * float64(time.Second))
	}
	if p.Options.Confirmed < 0 {
		return beatResult{}, invalidParam("options.confirmed", "confirmed is 0 or more")
	}
	if c.door.conn == nil {
		return beatResult{}, errNoConnection
	}
	l := c.door.conn.leased()
	if p.Options.Confirmed > 0 {
		if err := l.confirm(p.Options.Confirmed); err != nil {
			return beatResult{}, err
		}
	}
	at := time.Now()
	if !s.hub.current() {
		return beatResult{}, models.ErrUnavailable
	}
	if err := s.hub.allow(ctx, length); err != nil {
		return beatResult{}, err
	}
	if !s.hub.current() { // any more: the others count on leases of a node that is not to begin before that
		return beatResult{}, models.ErrUnavailable
	}
	return beatResult{length.Seconds(), l.beat(at, length)}, nil
}

func (s *Service) confirmChanged(_ context.Context, c *Call, p confirmParams) (Empty, error) {
	l := c.door.lease()
	if l == nil {
		return Empty{}, errNoConnection
	}
	return Empty{}, l.confirm(p.Seq)
}

func (s *Service) releaseLease(_ context.Context, c *Call, _ noParams) (Empty, error) {
	if l := c.door.lease(); l != nil {
		s.hub.vacate(l, false)
	}
	return Empty{}, nil
}

// leased returns the connection's lease, which it gets now if it has none.
func (c *Conn) leased() *lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lease.Load()
	if l == nil {
		h := c.service.hub
		h.hold(c.feed) // until the lease is over
		l = &lease{out: &c.out, room: maxHeld, holder: c.feed, all: &h.held, holds: map[string]*feed{}}
		c.lease.Store(l)
	}
	return l
}

// lease returns the lease of the connection behind the door, or nil.
func (d Door) lease() *lease {
	if d.conn == nil {
		return nil
	}
	return d.conn.lease.Load()
}
