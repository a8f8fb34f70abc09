package rpc

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

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

// Bounds of hints.
const (
	maxHinted = 10_000               // users whose hints wait to be looked into: more than that many are found by the next sweep
	hintRest  = 5 * time.Millisecond // after a look that brought nothing: hints may be made up, and a look takes the database a tenth of that
)

// hint is what the hints of a user say together.
type hint struct {
	wanted   bool  // an acknowledgement
	position int64 // up to where his feed is said to have come
}

// hints are those that this node has got and not looked into. However many come of a user, one look at a time is made for all of
// them, by which those that come meanwhile are merged into one.
type hints struct {
	mu      sync.Mutex
	users   map[string]hint // of users
	resting map[string]bool // users whose hints wait, as the last look at them brought nothing
	later   map[string]hint // the hints of those, as in users
	delayed map[string]bool // users of whom one is wanted when all is settled
	wake    chan struct{}
	waiters map[string][]chan struct{} // of calls that wait for other nodes, by user
	said    map[string]int64           // up to where of users was last acknowledged, by the one goroutine that looks into hints
}

func (n *hints) init() {
	n.users, n.resting, n.later, n.delayed = map[string]hint{}, map[string]bool{}, map[string]hint{}, map[string]bool{}
	n.waiters, n.said, n.wake = map[string][]chan struct{}{}, map[string]int64{}, make(chan struct{}, 1)
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
		h.hints.add(userID, hint{true, position})
	case HintChanged:
		f := h.find(userID)
		if f == nil {
			return
		}
		f.mu.Lock()
		behind := f.last < position
		f.mu.Unlock()
		if behind {
			h.hints.add(userID, hint{false, position})
		}
	}
}

func (n *hints) add(userID string, says hint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.users
	if n.resting[userID] {
		of = n.later
	}
	if before, is := of[userID]; is || len(n.users)+len(n.later) < maxHinted {
		of[userID] = hint{before.wanted || says.wanted, max(before.position, says.position)}
	}
	n.awake()
}

// awake has hints looked into. It is called with mu held.
func (n *hints) awake() {
	if len(n.users) == 0 {
		return
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// rest has the hints of users wait for a moment, those that have come since they were taken too.
func (n *hints) rest(userIDs []string) {
	if len(userIDs) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, userID := range userIDs {
		n.resting[userID] = true
		move(n.users, n.later, userID)
	}
	time.AfterFunc(hintRest, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, userID := range userIDs {
			delete(n.resting, userID)
			move(n.later, n.users, userID)
		}
		n.awake()
	})
}

// move moves a user's hint, if there is one.
func move(from, to map[string]hint, userID string) {
	if says, is := from[userID]; is {
		delete(from, userID)
		to[userID] = says
	}
}

// take returns some of the users of whom there are hints.
func (n *hints) take() map[string]hint {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := map[string]hint{}
	for userID, says := range n.users {
		if len(taken) == sweepChunk {
			break
		}
		taken[userID] = says
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
			h.hints.rest(h.lookInto(ctx, taken))
		}
	}
}

// lookInto reads what is new of users, and says of those of whom it is wanted that this node has acted on it. It returns those of
// whom there was nothing new, and nothing to say that the database does not say. Where the feeds stand is read first: of a user who
// is nobody's here after that, nothing older will be kept. A hint of what has been read since it came needs no look, and is none in
// vain.
func (h *hub) lookInto(ctx context.Context, users map[string]hint) (inVain []string) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	before := h.lastOf(users)
	maps.DeleteFunc(users, func(userID string, says hint) bool {
		last, here := before[userID]
		return here && !says.wanted && last >= says.position
	})
	if len(users) == 0 {
		return nil
	}
	positions, ok := h.catchUpAll(ctx, slices.Collect(maps.Keys(users)))
	if !ok {
		return nil // who waits asks in the database
	}
	said := h.say(ctx, users, positions)
	for userID := range users {
		last, here := before[userID]
		if !said[userID] && (!here || positions[userID].Number <= last) {
			inVain = append(inVain, userID)
		}
	}
	return inVain
}

// lastOf returns how far the feeds of users have come, of those that are here.
func (h *hub) lastOf(users map[string]hint) map[string]int64 {
	last := make(map[string]int64, len(users))
	for userID := range users {
		if f := h.find(userID); f != nil {
			f.mu.Lock()
			last[userID] = f.last
			f.mu.Unlock()
		}
	}
	return last
}

// say acknowledges, of users of whom that is wanted, that this node has acted on what it read up to some positions. It returns of
// whom it did. What the database says already is not written again: hints may be many, or made up, and to write is dear. Where that
// may be so it is read there: rows are deleted, and are others after a restore. What the sweeps owe an end of is written in any case:
// one of them may be about to write what was before.
func (h *hub) say(ctx context.Context, users map[string]hint, positions map[string]models.Position) (said map[string]bool) {
	nodeID := h.nodeID()
	var all, again []models.Acknowledgement
	settled := map[*feed]models.Acknowledgement{}
	for userID, position := range positions {
		if !users[userID].wanted {
			continue
		}
		var a models.Acknowledgement
		owed := false
		if f := h.find(userID); f == nil {
			a = models.Acknowledgement{UserID: userID, NodeID: nodeID, Seq: h.node.seq.Add(1), Position: position.Number, Settled: true}
		} else {
			f.mu.Lock()
			lost := f.lost || f.last < position.Number
			a, owed = h.acknowledgement(f, nodeID), h.owes(f)
			f.mu.Unlock()
			switch {
			case lost: // the sweep sees to it
				continue
			case !a.Settled:
				h.delay(ctx, f)
				continue
			case owed:
				settled[f] = a
			}
		}
		if owed || h.hints.said[userID] != a.Position {
			all = append(all, a)
		} else {
			again = append(again, a)
		}
	}
	again, err := h.store.Unsaid(ctx, nodeID, again)
	if all = append(all, again...); err != nil || len(all) == 0 || h.store.Acknowledge(ctx, all) != nil {
		return nil
	}
	said = make(map[string]bool, len(all))
	for _, a := range all {
		said[a.UserID] = true
	}
	h.forget(settled)
	h.hints.spoken(all)
	for _, a := range all {
		h.publishHint(HintSettled, a.UserID, a.Position)
	}
	return said
}

// spoken notes what was acknowledged, so that it is asked for before it is written again. More than a bound are let go of: what is
// not known here is written.
func (n *hints) spoken(all []models.Acknowledgement) {
	if len(n.said)+len(all) > maxHinted {
		clear(n.said)
	}
	for _, a := range all {
		n.said[a.UserID] = a.Position
	}
}

// owes reports whether the sweeps have to say of a feed that it is settled. It is called with feed.mu held.
func (h *hub) owes(f *feed) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, is := h.unsettled[f]
	return is
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
		n.add(f.userID, hint{wanted: true})
	})
}
