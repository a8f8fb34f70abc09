package rpc

import "slices"

// ownChange is a change under way by the connection itself.
type ownChange struct {
	id       string
	requests int
	noticed  bool // its notifications do not wait for the reply any more
}

// makeRoom has the requests of a change take no room while they wait for verifiers, until back is called: a verifier may be
// at the other end of this very connection, and what it says must be read.
func (o *outbox) makeRoom(changeID string) (back func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.own(changeID)
	if i < 0 || o.waiting+o.changes[i].requests > maxWaiting {
		return func() {}
	}
	n := o.changes[i].requests
	o.waiting += n
	o.changed.Signal()
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.waiting -= n
	}
}

// own returns the index of a change under way by this connection, or -1.
func (o *outbox) own(changeID string) int {
	return slices.IndexFunc(o.changes, func(c ownChange) bool { return c.id == changeID })
}

// waits reports whether an entry waits for the reply to a call under way.
func (o *outbox) waits(e entry) bool {
	i := o.own(e.cause)
	return i >= 0 && !(e.push && o.changes[i].noticed)
}

// unhold lets go what waited for the reply to a call.
func (o *outbox) unhold(changeID string) {
	o.changes = slices.DeleteFunc(o.changes, func(c ownChange) bool { return c.id == changeID })
	o.letGoHeld()
}

func (o *outbox) letGoHeld() {
	for len(o.held) > 0 && !o.waits(o.held[0]) {
		o.queue = append(o.queue, o.held[0])
		o.held = o.held[1:]
	}
	if len(o.held) == 0 {
		o.held = nil
	}
}

// letGo lets the notifications of a change, which wait for the reply to its call, go before that; but not the end of the
// connection, after which there would be no reply.
func (o *outbox) letGo(changeID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := o.own(changeID); i >= 0 {
		o.changes[i].noticed = true
		o.letGoHeld()
		o.wake()
	}
}
