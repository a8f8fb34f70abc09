package rpc

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Times of a stop.
const (
	closesPerSecond = 300                   // connections that are told to go, at least: no more than another node takes well beside its own work
	closeSpread     = 3 * time.Second       // until the last is told, however many there are: the rest of a stop is for their calls
	closeEvery      = 50 * time.Millisecond // from one lot to the next: a handful is told at once
	recallWait      = time.Second           // for a verifier to let go: one that is well does in milliseconds
	receiptWait     = time.Second           // for receipts, when all are told: they take milliseconds where all verifiers are well
)

// Drain takes no more connections, and tells those that there are to go (1001) when their calls are answered. It returns when
// the last has been told, which is after 3 s at most: so that they do not come to other nodes all at once.
//
// Verifiers are told last: receipts under way are waiting for them, and others need them less the later they begin anew, with
// nothing. Each is first asked back what it holds. Then nobody waits for its lease when this node has gone.
func (s *Service) Drain(ctx context.Context) { s.hub.drain(ctx) }

// Shutdown ends the service: what Drain does, if that was not called, and what is left when ctx ends is cut off. It returns
// when no connection and no goroutine of the service is left.
func (s *Service) Shutdown(ctx context.Context) {
	s.hub.shutdown(ctx)
	s.hub.background.Wait()
	s.hub.lookout.Close()
	s.hub.tellAllUses()
	s.hub.quit()
}

func (h *hub) drain(ctx context.Context) {
	h.mu.Lock()
	if h.leaving {
		h.mu.Unlock()
		return
	}
	h.leaving = true
	var conns, verifiers []*Conn
	for _, slot := range h.slots {
		for c := range slot {
			if c.lease.Load() == nil {
				conns = append(conns, c)
			} else {
				verifiers = append(verifiers, c)
			}
		}
	}
	h.mu.Unlock()
	h.metrics.stopping.Set(1)
	conns = append(conns, verifiers...)
	lots := lotsOf(len(conns))
	h.log.Info("stopping: connections are told to go", "connections", len(conns), "verifiers", len(verifiers), "over", time.Duration(lots-1)*closeEvery)
	var told sync.WaitGroup
	for lot := range lots {
		if lot > 0 {
			select {
			case <-time.After(closeEvery):
			case <-ctx.Done(): // those that are left all at once
			}
		}
		for _, c := range conns[len(conns)*lot/lots : len(conns)*(lot+1)/lots] {
			h.sendAway(ctx, c, &told)
		}
	}
	told.Wait()
}

// lotsOf returns in how many lots so many connections are told to go.
func lotsOf(n int) int {
	return int(min(closeSpread, time.Duration(n)*time.Second/closesPerSecond)/closeEvery) + 1
}

// sendAway tells a connection to go when its calls are answered, a verifier when it has let go of what it holds, too.
func (h *hub) sendAway(ctx context.Context, c *Conn, told *sync.WaitGroup) {
	l := c.lease.Load()
	if l == nil {
		c.out.finish(CloseGoingAway, reasonGoingAway)
		return
	}
	told.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, recallWait)
		defer cancel()
		h.recall(ctx, l)
		c.out.finish(CloseGoingAway, reasonGoingAway)
	})
}

// recall takes back all that a verifier holds, and gives it nothing more to hold. It returns when the verifier has let go.
func (h *hub) recall(ctx context.Context, l *lease) {
	l.mu.Lock()
	l.room = 0
	l.mu.Unlock()
	for some := l.some(changedChunk); ; some = l.some(changedChunk) { // not all at once: its queue has bounds
		for f, ids := range some {
			h.takeBack(l, f, ids)
		}
		for _, r := range l.awaiting() {
			if r.wait(ctx, h.stopping) != nil {
				return
			}
		}
		if len(some) == 0 {
			return
		}
	}
}

// awaiting returns the revocations that wait for the verifier, those of changes too.
func (l *lease) awaiting() (waiting []*revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.unconfirmed {
		waiting = append(waiting, u.revocation)
	}
	return waiting
}

// some returns a few of the tokens that are held, by the feeds where they are watched.
func (l *lease) some(most int) map[*feed][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := map[*feed][]string{}
	for id, f := range l.holds {
		if most--; most < 0 {
			break
		}
		some[f] = append(some[f], id)
	}
	return some
}

// takeBack tells a verifier to let go of some tokens of one feed. Until it has, whoever changes one of them waits for it as
// before.
func (h *hub) takeBack(l *lease, f *feed, ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	about := ""
	if len(ids) == 1 {
		about = ids[0]
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return f.watches[id] == nil || !l.has(id) })
	if len(ids) > 0 {
		h.tell(f, newRevocation(f, about, 0), "", map[*lease][]string{l: ids})
	}
	for _, id := range ids {
		delete(f.watches[id].leases, l)
		h.unwatch(f, id)
	}
}

// shutdown returns when no connection is left and no receipt is waited for, or ctx has ended, after which it aborts the rest.
func (h *hub) shutdown(ctx context.Context) {
	h.drain(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	cut := time.AfterFunc(receiptWait, h.cutWaits)
	defer cut.Stop()
	abort := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.conns > 0 {
			h.log.Warn("stopping: connections are cut off", "connections", h.conns)
		}
		for _, slot := range h.slots {
			for c := range slot {
				c.transport.Abort()
			}
		}
	})
	defer abort()
	for h.conns+h.waits > 0 {
		h.idle.Wait()
	}
	h.cutWaits()
	h.stop()
}

// waiting counts a receipt that is waited for, until the function that it returns is called.
func (h *hub) waiting() (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waits--
		h.idle.Broadcast()
	}
}
