package rpc

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
)

// Waits for other nodes.
const (
	hintWait   = 300 * time.Millisecond // for nodes that have been told; then they are asked in the database
	pollEvery  = 100 * time.Millisecond // between two looks into the database, where no hint comes
	freeLooks  = 8                      // that hints may bring about at once; more of them may be made up, and each is a read
	lookPause  = 20 * time.Millisecond  // before each further one
	maxSettled = 8                      // settlements of a user that are told: of changes that follow each other closely
)

// settlement is how many verifiers a change of a user's made wait.
type settlement struct {
	Position  int64 `json:"position"`
	Verifiers int   `json:"verifiers"`
	Confirmed int   `json:"confirmed"`
}

// settled notes that nobody is waited for any more after a revocation. It is called with feed.mu held.
func (f *feed) settled(r *revocation) {
	if r.position == 0 {
		return
	}
	s := settlement{Position: r.position, Verifiers: len(r.confirmed)}
	for _, is := range r.confirmed {
		if is {
			s.Confirmed++
		}
	}
	f.settlements = append(f.settlements, s)
	if n := len(f.settlements) - maxSettled; n > 0 {
		f.settlements = slices.Delete(f.settlements, 0, n)
	}
}

// acknowledgement says how far this node has got with a feed. It is called with feed.mu held.
func (h *hub) acknowledgement(f *feed, nodeID string) models.Acknowledgement {
	h.expireRevocations(f, time.Now())
	counts, _ := json.Marshal(f.settlements)
	return models.Acknowledgement{
		UserID: f.userID, NodeID: nodeID, Seq: h.node.seq.Add(1), Position: f.last, Settled: len(f.revocations) == 0, Counts: counts,
	}
}

// acknowledgements returns what there is to say of the feeds with revocations that the other nodes were not told the end of,
// which of them are settled, up to where, and whether the database says otherwise of one of those.
func (h *hub) acknowledgements(nodeID string) (all []models.Acknowledgement, settled map[*feed]models.Acknowledgement, owed bool) {
	settled = map[*feed]models.Acknowledgement{}
	h.mu.Lock()
	feeds := make([]*feed, 0, len(h.unsettled))
	for f := range h.unsettled {
		feeds = append(feeds, f)
	}
	h.mu.Unlock()
	for _, f := range feeds {
		f.mu.Lock()
		a := h.acknowledgement(f, nodeID)
		f.mu.Unlock()
		all = append(all, a)
		h.mu.Lock()
		said, is := h.unsettled[f]
		switch {
		case a.Settled:
			settled[f] = a
			owed = owed || said > 0
		case is && (said > 0 || !h.node.alone.Load()): // it may well be written that it is not, whatever comes of writing it
			h.unsettled[f] = a.Seq
		}
		h.mu.Unlock()
	}
	return all, settled, owed
}

// forget lets go of feeds that the other nodes know to be settled up to where they are, if they still are, and nothing else was said of
// them since.
func (h *hub) forget(settled map[*feed]models.Acknowledgement) {
	for f, a := range settled {
		f.mu.Lock()
		h.mu.Lock()
		said, is := h.unsettled[f]
		if is = is && len(f.revocations) == 0 && f.last == a.Position && said < a.Seq; is {
			delete(h.unsettled, f)
		}
		h.mu.Unlock()
		f.mu.Unlock()
		if is {
			h.release(f)
		}
	}
}

// settling is a call that waits for other nodes.
type settling struct {
	userID   string // "" for all users
	position int64
	before   bool             // the change was made before, by another call, which has counted the verifiers
	nodes    map[string]asked // that are waited for
	verifiers,
	confirmed int
}

// asked is what a node is waited for.
type asked struct {
	wanted   int64     // what it must answer, or 0 where it was not asked
	answered time.Time // when it was seen to have; zero where it was not
}

// elsewhere is how many verifiers of other nodes had to let go, and did.
type elsewhere struct {
	verifiers, confirmed int
	err                  error
}

// awaitOthers returns when no other node, and no verifier of theirs, acts any more on what was before a position of a user's
// feed, or for allUsers on what was before the call.
func (h *hub) awaitOthers(ctx context.Context, userID string, position int64, before bool) elsewhere {
	w := &settling{userID: userID, position: position, before: before, nodes: map[string]asked{}}
	if userID == allUsers {
		w.userID = ""
	}
	woken, done := h.awaken(w.userID)
	defer done()
	at := time.Now()
	defer func(began time.Time) { h.metrics.nodeWaits.Observe(time.Since(began).Seconds()) }(at)
	nodes, all, err := h.store.Settlement(ctx, w.userID)
	self := h.nodeID() // after that: it may have been entered meanwhile
	for _, n := range nodes {
		if n.ID != self {
			w.nodes[n.ID] = asked{}
		}
	}
	wantAt := at // when to ask
	if h.bus != nil && position != anyPosition {
		wantAt = at.Add(hintWait)
	}
	looks := 0
	for wanted := false; err == nil; {
		if w.look(ctx, h, nodes, all, at); len(w.nodes) == 0 {
			return elsewhere{w.verifiers, w.confirmed, nil}
		}
		if !wanted && !time.Now().Before(wantAt) {
			if nodes, err = h.want(ctx); err != nil {
				break
			}
			w.ask(nodes)
			wanted = true
		}
		select {
		case <-woken:
			if looks++; looks > freeLooks {
				time.Sleep(lookPause)
			}
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return elsewhere{err: ctx.Err()}
		case <-h.stopping:
			return elsewhere{err: errStopping}
		}
		at = time.Now()
		nodes, all, err = h.store.Settlement(ctx, w.userID)
	}
	return elsewhere{err: err}
}

// ask notes what the nodes must answer.
func (w *settling) ask(nodes []models.Node) {
	for _, n := range nodes {
		if _, waited := w.nodes[n.ID]; waited {
			w.nodes[n.ID] = asked{wanted: n.Wanted}
		}
	}
}

// look waits no longer for nodes that have done all, or are not there any more. A node that came later has read what was
// committed before. One that is gone is removed: as long as it is there it may answer, and act on what it began to read before.
func (w *settling) look(ctx context.Context, h *hub, nodes []models.Node, all []models.Acknowledgement, at time.Time) {
	var gone []models.Node
	h.node.mu.Lock()
	h.node.see(nodes)
	left := map[string]asked{}
	for _, n := range nodes {
		a, waited := w.nodes[n.ID]
		if !waited {
			continue
		}
		if a.wanted > 0 && n.Answered >= a.wanted && a.answered.IsZero() {
			a.answered = time.Now()
		}
		if w.has(n, a, all) {
			continue
		}
		left[n.ID] = a
		if h.node.gone(n, at) {
			gone = append(gone, n)
		}
	}
	h.node.mu.Unlock()
	w.nodes = left
	for _, n := range gone {
		h.removeGone(ctx, n)
	}
}

// has reports whether a node has done all: it has read what was committed, and nobody is waited for there. Once it has read it,
// no lease that a verifier had then lasts longer than the longest: so long it is waited for that says it, or is no more.
func (w *settling) has(n models.Node, a asked, all []models.Acknowledgement) bool {
	answered := !a.answered.IsZero()
	over := answered && time.Since(a.answered) > time.Duration(n.Lease)*time.Millisecond
	i := slices.IndexFunc(all, func(a models.Acknowledgement) bool { return a.NodeID == n.ID })
	if i < 0 {
		return answered
	}
	if !over && (!all[i].Settled || !answered && all[i].Position < w.position) {
		return false
	}
	w.count(all[i].Counts)
	return true
}

// count adds what another node says of the change.
func (w *settling) count(counts []byte) {
	var settlements []settlement
	json.Unmarshal(counts, &settlements) // a node of another version may say it otherwise: then it is not counted
	for _, s := range settlements {
		if s.Position == w.position && !w.before {
			w.verifiers += s.Verifiers
			w.confirmed += s.Confirmed
		}
	}
}

// anyPosition is a position that no acknowledgement reaches: the nodes must be asked.
const anyPosition = math.MaxInt64

// positionNow returns where a user's feed stands, after all that was changed before, or anyPosition where that is not to be had.
func (h *hub) positionNow(ctx context.Context, userID string) int64 {
	if h.node.alone.Load() || userID == allUsers {
		return anyPosition
	}
	positions, err := h.store.Positions(ctx, []string{userID})
	if position, is := positions[userID]; err == nil && is {
		return position.Number
	}
	return anyPosition
}

func (h *hub) nodeID() string {
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	return h.node.id
}
