package rpc

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/tokenwire/tokenwire/models"
)

// HintKind says what a hint is about.
type HintKind string

// The kinds of hints.
const (
	HintChanged HintKind = "changed" // the user's feed has come to a position
	HintWanted  HintKind = "wanted"  // the same, and somebody waits until every node has acted on it
	HintSettled HintKind = "settled" // the node has, as the database says by now
)

// Bus carries hints between the nodes that serve a database: which user, and which position of his feed. Nothing rests on them.
// Whoever gets one reads the database, so that one that is lost, late, repeated or made up costs time at most.
type Bus interface {
	// Publish sends a hint to the other nodes. It never waits, and may lose it.
	Publish(kind HintKind, userID string, position int64)
	// Subscribe has the hints of the other nodes come to a function, which does not wait.
	Subscribe(func(kind HintKind, userID string, position int64))
}

// maxHinted is how many users' hints wait to be looked into. More than that many are found by the next sweep.
const maxHinted = 10_000

// hints are those that this node has got and not looked into.
type hints struct {
	mu      sync.Mutex
	users   map[string]bool // of users: whether an acknowledgement is wanted
	delayed map[string]bool // users of whom one is wanted when all is settled
	wake    chan struct{}
	waiters map[string][]chan struct{} // of calls that wait for other nodes, by user
}

func (n *hints) init() {
	n.users, n.delayed, n.waiters, n.wake = map[string]bool{}, map[string]bool{}, map[string][]chan struct{}{}, make(chan struct{}, 1)
}

// publishHint tells the other nodes, if there is a bus.
func (h *hub) publishHint(kind HintKind, userID string, position int64) {
	if h.bus != nil && userID != allUsers {
		h.bus.Publish(kind, userID, position)
	}
}

// longestUserID is how long a user's id may be in the database. What is longer is not kept in memory either.
const longestUserID = 32

// hinted takes a hint. Of users that are nobody's here only those are looked into whom somebody waits for.
func (h *hub) hinted(kind HintKind, userID string, position int64) {
	if len(userID) > longestUserID {
		return
	}
	switch kind {
	case HintSettled:
		h.hints.notify(userID)
	case HintWanted:
		h.hints.add(userID, true)
	case HintChanged:
		f := h.find(userID)
		if f == nil {
			return
		}
		f.mu.Lock()
		behind := f.last < position
		f.mu.Unlock()
		if behind {
			h.hints.add(userID, false)
		}
	}
}

func (n *hints) add(userID string, wanted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before, is := n.users[userID]; is || len(n.users) < maxHinted {
		n.users[userID] = before || wanted
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take returns some of the users of whom there are hints.
func (n *hints) take() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := map[string]bool{}
	for userID, wanted := range n.users {
		if len(taken) == sweepChunk {
			break
		}
		taken[userID] = wanted
		delete(n.users, userID)
	}
	return taken
}

// awaken has a channel hear of a user's settlements until done is called.
func (h *hub) awaken(userID string) (woken <-chan struct{}, done func()) {
	n := &h.hints
	c := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiters[userID] = append(n.waiters[userID], c)
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		left := n.waiters[userID][:0]
		for _, other := range n.waiters[userID] {
			if other != c {
				left = append(left, other)
			}
		}
		if n.waiters[userID] = left; len(left) == 0 {
			delete(n.waiters, userID)
		}
	}
}

func (n *hints) notify(userID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.waiters[userID] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// followHints looks into hints until ctx ends.
func (h *hub) followHints(ctx context.Context) {
	for {
		select {
		case <-h.hints.wake:
		case <-ctx.Done():
			return
		}
		for taken := h.hints.take(); len(taken) > 0 && ctx.Err() == nil; taken = h.hints.take() {
			h.lookInto(ctx, taken)
		}
	}
}

// lookInto reads what is new of users, and says of those of whom it is wanted that this node has acted on it. Where the feeds
// stand is read first: of a user who is nobody's here after that, nothing older will be kept.
func (h *hub) lookInto(ctx context.Context, users map[string]bool) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	positions, ok := h.catchUpAll(ctx, slices.Collect(maps.Keys(users)))
	if !ok {
		return // who waits asks in the database
	}
	nodeID := h.nodeID()
	var all []models.Acknowledgement
	settled := map[*feed]int64{}
	for userID, position := range positions {
		if !users[userID] {
			continue
		}
		f := h.find(userID)
		if f == nil {
			all = append(all, models.Acknowledgement{UserID: userID, NodeID: nodeID, Seq: h.node.seq.Add(1), Position: position.Number, Settled: true})
			continue
		}
		f.mu.Lock()
		a, lost := h.acknowledgement(f, nodeID), f.lost || f.last < position.Number
		f.mu.Unlock()
		switch {
		case lost: // the sweep sees to it
		case a.Settled:
			all, settled[f] = append(all, a), a.Position
		default:
			h.delay(ctx, f)
		}
	}
	if len(all) == 0 || h.store.Acknowledge(ctx, all) != nil {
		return
	}
	h.forget(settled)
	for _, a := range all {
		h.publishHint(HintSettled, a.UserID, a.Position)
	}
}

// delay looks into a feed again when nobody is waited for any more.
func (h *hub) delay(ctx context.Context, f *feed) {
	n := &h.hints
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delayed[f.userID] || len(n.delayed) == maxHinted {
		return
	}
	n.delayed[f.userID] = true
	h.background.Go(func() {
		for _, r := range h.outstanding(subject{userID: f.userID}) {
			if r.wait(context.WithoutCancel(ctx), h.stopping) != nil {
				break
			}
		}
		n.mu.Lock()
		delete(n.delayed, f.userID)
		n.mu.Unlock()
		n.add(f.userID, true)
	})
}
