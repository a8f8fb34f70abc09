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
// and which of them are settled.
func (h *hub) acknowledgements(nodeID string) (all []models.Acknowledgement, settled []*feed) {
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
		if all = append(all, a); a.Settled {
			settled = append(settled, f)
		}
	}
	return all, settled
}

// forget lets go of feeds that the other nodes know to be settled, if they still are.
func (h *hub) forget(settled []*feed) {
	for _, f := range settled {
		f.mu.Lock()
		h.mu.Lock()
		_, is := h.unsettled[f]
		if is = is && len(f.revocations) == 0; is {
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
	nodes    map[string]int64 // that are waited for: what they must answer, or 0 where they were not asked
	verifiers,
	confirmed int
}

// awaitOthers returns when no other node, and no verifier of theirs, acts any more on what was before a position of a user's
// feed, or for allUsers on what was before the call. It returns how many of their verifiers had to let go, and did.
func (h *hub) awaitOthers(ctx context.Context, userID string, position int64) (verifiers, confirmed int, err error) {
	w := &settling{userID: userID, position: position, nodes: map[string]int64{}}
	if userID == allUsers {
		w.userID = ""
	}
	at := time.Now()
	nodes, all, err := h.store.Settlement(ctx, w.userID)
	if err != nil {
		return 0, 0, err
	}
	self := h.nodeID()
	for _, n := range nodes {
		if n.ID != self {
			w.nodes[n.ID] = 0
		}
	}
	woken, done := h.awaken(w.userID)
	defer done()
	for began, asked := time.Now(), false; ; {
		if w.look(h, nodes, all, at); len(w.nodes) == 0 {
			return w.verifiers, w.confirmed, nil
		}
		if !asked && (h.bus == nil || w.userID == "" || time.Since(began) > hintWait) {
			if nodes, err = h.want(ctx); err != nil {
				return 0, 0, err
			}
			w.ask(nodes)
			asked = true
		}
		select {
		case <-woken:
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-h.stopping:
			return 0, 0, errStopping
		}
		at = time.Now()
		if nodes, all, err = h.store.Settlement(ctx, w.userID); err != nil {
			return 0, 0, err
		}
	}
}

// want asks all other nodes, and returns them as they are after that.
func (h *hub) want(ctx context.Context) ([]models.Node, error) {
	if err := h.store.WantNodes(ctx, h.nodeID()); err != nil {
		return nil, err
	}
	at := time.Now()
	nodes, _, err := h.store.Settlement(ctx, "")
	if err == nil {
		h.node.mu.Lock()
		defer h.node.mu.Unlock()
		h.node.asked(nodes, at)
	}
	return nodes, err
}

// ask notes what the nodes must answer.
func (w *settling) ask(nodes []models.Node) {
	for _, n := range nodes {
		if _, waited := w.nodes[n.ID]; waited {
			w.nodes[n.ID] = n.Wanted
		}
	}
}

// look waits no longer for nodes that have done all, or are not there any more. A node that came later has read what was
// committed before.
func (w *settling) look(h *hub, nodes []models.Node, all []models.Acknowledgement, at time.Time) {
	h.node.mu.Lock()
	h.node.see(nodes)
	left := map[string]int64{}
	for _, n := range nodes {
		if wanted, waited := w.nodes[n.ID]; waited && !h.node.gone(n, at) && !w.has(n, wanted, all) {
			left[n.ID] = wanted
		}
	}
	h.node.mu.Unlock()
	w.nodes = left
}

// has reports whether a node has done all: it has read what was committed, and nobody is waited for there.
func (w *settling) has(n models.Node, wanted int64, all []models.Acknowledgement) bool {
	answered := wanted > 0 && n.Answered >= wanted
	i := slices.IndexFunc(all, func(a models.Acknowledgement) bool { return a.NodeID == n.ID })
	if i < 0 {
		return answered
	}
	if !all[i].Settled || !answered && all[i].Position < w.position {
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
		if s.Position == w.position {
			w.verifiers += s.Verifiers
			w.confirmed += s.Confirmed
		}
	}
}

// anyPosition is a position that no acknowledgement reaches: the nodes must be asked.
const anyPosition = math.MaxInt64

func (h *hub) nodeID() string {
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	return h.node.id
}
