package rpc

import (
	"context"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// Times of a node's look at what others have committed.
const (
	sweepEvery     = 250 * time.Millisecond
	sweepChunk     = 500             // users asked about in one query
	nodeLease      = time.Second     // how long a node may answer from memory after a sweep began: so far it may be behind
	catchUpTimeout = 5 * time.Second // for reading events that were missed
)

// sweep finds what was committed without this node being told: by another node, or with an unknown outcome. It also finds
// feeds that went back, which means that the database was restored. Who waits for this node to have read all is told so; a sweep
// after which he could not be told does not count.
func (h *hub) sweep(ctx context.Context) {
	h.endAbandoned()
	h.tellAllUses()
	h.regroup()
	began := time.Now()
	wanted, ok := h.attend(ctx)
	ok = ok && h.lookAround(ctx) && h.answer(ctx, wanted)
	if ok {
		h.sweptAt.Store(began.UnixNano())
		h.swept.Store(int64(began.Sub(h.began)))
	}
	h.lookout.cut = !ok
}

// look finds what was committed to feeds, and reports whether it could see to all of them.
func (h *hub) look(ctx context.Context, feeds []*feed) bool {
	ids := make([]string, len(feeds))
	for i, f := range feeds {
		ids[i] = f.userID
	}
	whole := true
	for len(ids) > 0 && ctx.Err() == nil {
		n := min(len(ids), sweepChunk)
		_, ok := h.catchUpAll(ctx, ids[:n])
		whole = ok && whole
		ids = ids[n:]
	}
	return whole && ctx.Err() == nil
}

// current reports whether this node is sure to know of every change that is older than nodeLease. If it is not, nothing is
// answered from memory, and no verifier's lease is renewed. The clock that measures times may stand still while the machine is
// suspended, and the one on the wall may be put back: both must say so.
func (h *hub) current() bool {
	now := time.Now()
	return now.Sub(h.began)-time.Duration(h.swept.Load()) < nodeLease && now.UnixNano()-h.sweptAt.Load() < int64(nodeLease)
}

// catchUpAll reads what is new of users whose feeds are here, and returns where all of them stand. It reports false where it could
// not see to them.
func (h *hub) catchUpAll(ctx context.Context, userIDs []string) (positions map[string]models.Position, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	last := make(map[*feed]models.Position, len(userIDs))
	for _, userID := range userIDs {
		if f := h.find(userID); f != nil {
			f.mu.Lock()
			if !f.lost || len(f.conns)+len(f.watches) > 0 { // what is lost and nobody's need not be lost again and again
				last[f] = models.Position{Number: f.last, ChangeID: f.change}
			}
			h.expireRevocations(f, time.Now())
			f.mu.Unlock()
		}
	}
	positions, err := h.store.Positions(ctx, userIDs)
	if err != nil {
		return nil, false // the next sweep asks again
	}
	for f, last := range last {
		switch position := positions[f.userID]; {
		case position.Number > last.Number:
			h.catchUp(f, position.Number)
		case position != last: // restored: what stands there is not what was read
			h.drop(f)
		}
	}
	return positions, true
}

// follow sees to it that nothing is missed of a feed that is new here: what was committed between the look at its user's
// position and now was told to nobody.
func (h *hub) follow(f *feed) bool {
	f.mu.Lock()
	following := f.following
	f.mu.Unlock()
	return following || h.catchUp(f, 0)
}

// InDoubt looks for events whose commit nobody knows the outcome of.
func (h *hub) InDoubt(userIDs []string) {
	for _, userID := range userIDs {
		if f := h.find(userID); f != nil {
			h.catchUp(f, 0)
		}
	}
}

// catchUp reads events after the last that the connections have, at least up to the given position, and dispatches them.
// If that fails the connections are closed: they resume, here or elsewhere, rather than act on what may be stale. The last that they
// have is read again: where it is another one by now, the database was restored, and what came after it is not all that is new.
func (h *hub) catchUp(f *feed, upTo int64) bool {
	f.reading.Lock()
	defer f.reading.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	for {
		f.mu.Lock()
		last := f.last
		f.mu.Unlock()
		if upTo > 0 && last >= upTo {
			return true
		}
		events, err := h.store.NewEvents(ctx, f.userID, last-1)
		more := len(events) > 0 && events[len(events)-1].Position > last
		if err != nil || !more && upTo > 0 || !h.dispatchRead(f, events) {
			h.log.Warn("cannot read a feed; closing its connections", "userId", f.userID, "after", last, "error", err)
			h.drop(f)
			return false
		}
		if upTo == 0 && len(events) < models.EventsPage {
			f.mu.Lock()
			f.following = true
			f.mu.Unlock()
			return true
		}
	}
}

// dispatchRead dispatches events as they were read, and reports false where one is missing, or is not what it was.
func (h *hub) dispatchRead(f *feed, events []models.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range events {
		switch e := &events[i]; {
		case e.Position == f.last+1:
			h.dispatch(f, e)
		case e.Position > f.last, e.Position == f.last && e.ChangeID != f.change:
			return false
		}
	}
	return true
}

// drop closes the connections of a feed so that they resume, and takes back what is known of the user's tokens. What is left
// of the feed is nobody's any more, and may be far from where the database is.
func (h *hub) drop(f *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following, f.lost = false, true
	h.revoke(f, "", "")
	for c := range f.conns {
		c.lost.Store(true) // for the calls of a batch that is under way
		c.out.end(nil, "", CloseRestart, reasonResume)
	}
}
