package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	strict "github.com/go-json-experiment/json"
)

// Methods of verifiers.
const (
	methodVerify  = "/v1/verifier/verify"
	methodBeat    = "/v1/verifier/beat"
	methodChanged = "/v1/verifier/changed"
	methodConfirm = "/v1/verifier/confirm"
	methodRelease = "/v1/verifier/release"
	methodReport  = "/v1/verifier/report"
)

const (
	// beatsPerLease is how often the lease is renewed, so that one lost beat does not end it.
	beatsPerLease = 3
	// beatPatience is how long a beat may be without an answer, beyond the lease: then the connection is given up.
	beatPatience = 5 * time.Second
	// maxAsks is how many requests to verify are under way: of the places of a connection some are left for beats and reports.
	maxAsks = maxUnderWay - 4
	// maxChanged is how many tokens that changed while requests are under way are remembered each for itself.
	maxChanged = 10_000
)

// session is one connection as a verifier: its lease, and what is held under it. With the connection all of it is over.
type session struct {
	conn   *conn
	lease  atomic.Pointer[term] // nil while there is none, and after the end
	cache  *cache
	places chan struct{} // one taken for each request to verify under way

	// Guarded by Verifier.mu:

	leased  term              // the last lease, also after the end of the connection; zero if there never was one
	seq     uint64            // of the last changed that was dealt with
	asking  int               // requests to verify that are under way, up to where their answers are in the cache
	changed map[string]uint64 // tokens that changed meanwhile, and in which changed
	floor   uint64            // up to here changed has forgotten
}

// connected begins a session. It is called by the goroutine that reads.
func (v *Verifier) connected(k *conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	s := &session{conn: k, places: make(chan struct{}, maxAsks), changed: map[string]uint64{}}
	s.cache = newCache(v.options.Size, v.settle)
	v.session.Store(s)
	v.work.Go(func() { v.beats(s) })
}

// disconnected ends the session: from now on nothing is answered from it.
func (v *Verifier) disconnected(k *conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.session.Load(); s != nil && s.conn == k {
		v.endSession(s)
	}
}

// isLeased reports whether there is a lease. One that is over stays so, also where the clock on the wall is put back afterwards.
func (s *session) isLeased(now moment) bool {
	lease := s.lease.Load()
	if lease == nil || lease.lasts(now) {
		return lease != nil
	}
	s.lease.CompareAndSwap(lease, nil) // unless it was renewed meanwhile
	return false
}

// endSession is called with mu held.
func (v *Verifier) endSession(s *session) {
	if s == nil {
		return
	}
	s.lease.Store(nil)
	v.session.Store(nil)
	for _, e := range s.cache.ring {
		v.settle(e)
	}
	if v.options.Grace > 0 && s.leased.length > 0 { // one that never had a lease held nothing: what was before is still of use
		v.previous = s
	}
}

// stale returns what was held of a token, if Grace allows to answer from it. It is called with mu held.
func (v *Verifier) stale(id digest) *entry {
	if v.options.Grace == 0 || v.closed {
		return nil
	}
	now := v.options.clock()
	for _, s := range []*session{v.session.Load(), v.previous} {
		if s == nil || s.leased.length == 0 || !(term{s.leased.from, s.leased.length + v.options.Grace}).lasts(now) {
			continue
		}
		if e := s.cache.get(id); e != nil && e.life.lasts(now) {
			return e
		}
	}
	return nil
}

// notified deals with what the server tells a verifier. It is called by the goroutine that reads, so that whatever is read
// later sees it done.
func (v *Verifier) notified(k *conn, method string, params json.RawMessage) error {
	if method != methodChanged {
		return nil
	}
	var told struct {
		Seq      uint64   `json:"seq"`
		TokenIDs []string `json:"tokenIds"`
	}
	if err := strict.Unmarshal(params, &told); err != nil {
		return &protocolError{"a change that cannot be read"}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.session.Load()
	if s == nil || s.conn != k { // closed: nothing is held
		return nil
	}
	if told.Seq != s.seq+1 {
		return &protocolError{fmt.Sprintf("change %d after change %d", told.Seq, s.seq)}
	}
	s.seq = told.Seq
	for _, id := range told.TokenIDs {
		v.stats.Drops += int64(s.cache.removeToken(id))
		s.remember(id)
	}
	k.tell(methodConfirm, []uint64{s.seq}) // after the drop
	return nil
}

// remember keeps that a token changed, for answers that are on their way. It is called with mu held.
func (s *session) remember(id string) {
	if s.asking == 0 {
		return
	}
	if len(s.changed) >= maxChanged {
		clear(s.changed)
		s.floor = s.seq
	}
	s.changed[id] = s.seq
}

// outOfDate reports whether the token of an answer has changed since. Nothing is told of one that is not held. It is called
// with mu held.
func (s *session) outOfDate(a *answer) bool {
	return a.Active && a.Held && (a.Seq < s.floor || a.Seq < s.changed[a.TokenID])
}

// asked says that there is one answer less on its way. It is called with mu held.
func (s *session) asked() {
	if s.asking--; s.asking == 0 {
		clear(s.changed)
	}
}

// beats renews the lease until the connection ends.
func (v *Verifier) beats(s *session) {
	isLate := false
	for {
		sent := v.options.clock()
		err := v.beat(s, sent)
		if late := err != nil && v.ctx.Err() == nil; late != isLate {
			isLate = late
			v.options.Log.Warn("tokenwire: the lease", "renewed", !late, "cause", err)
		}
		if err == nil || code(err) == codeForbidden {
			select {
			case v.first <- err:
			default:
			}
		}
		pause := time.NewTimer(max(0, v.options.Lease/beatsPerLease-v.options.clock().since(sent)))
		select {
		case <-pause.C:
		case <-s.conn.gone:
			pause.Stop()
			return
		case <-v.ctx.Done():
			pause.Stop()
			return
		}
	}
}

// beat renews the lease once: if it is answered, up to its length after the moment at which it was sent.
func (v *Verifier) beat(s *session, sent moment) error {
	type options struct {
		Lease     float64 `json:"lease"`
		Confirmed uint64  `json:"confirmed"`
	}
	v.mu.Lock()
	confirmed := s.seq
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(v.ctx, v.options.Lease+beatPatience)
	defer cancel()
	text, err := s.conn.call(ctx, methodBeat, []options{{v.options.Lease.Seconds(), confirmed}})
	if err != nil && ctx.Err() != nil && v.ctx.Err() == nil {
		s.conn.abort() // half-open, or a server that is stuck: another connection may fare better
	}
	if err != nil {
		return err
	}
	var granted struct {
		Lease float64 `json:"lease"`
	}
	if err := strict.Unmarshal(text, &granted); err != nil || granted.Lease <= 0 {
		s.conn.abort()
		return &protocolError{"a lease that cannot be read"}
	}
	lease := v.options.Lease
	if granted.Lease < lease.Seconds() {
		lease = time.Duration(granted.Lease * float64(time.Second))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session.Load() != s { // its connection has ended meanwhile
		return nil
	}
	v.previous = nil // the server is back, and knows of this connection only
	s.leased = term{sent, lease}
	s.lease.Store(&term{sent, lease})
	return nil
}
