package rpc

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// Times of a node.
const (
	reapEvery = 30 * time.Second // from one look for others that are gone to the next, so that nobody waits for them when it matters
	quitWait  = 2 * time.Second  // to leave the database: the others find out by themselves, and whoever stops this one kills it soon
)

// node is this process among those that serve the database. A node is in the database for as long as it lives, and is asked
// there, now and then, whether it has read what the others committed. One that does not answer is waited for until nobody can
// act any more on what it knew: neither it, which answers nothing from memory when it cannot read, nor its verifiers.
type node struct {
	log      *slog.Logger
	mu       sync.Mutex // may be held while the database is asked: no lock of the hub's is taken before it
	id       string     // "" until it is in the database
	answered int64
	others   map[string]*other
	reaped   time.Time

	lease atomic.Int64 // nanoseconds of the longest lease that may be given; changed with mu held
	seq   atomic.Int64 // of the last acknowledgement
	alone atomic.Bool  // no other node was there at the last look
}

// other is another node, and since when it has not answered.
type other struct {
	wanted int64
	since  time.Time // zero where it has answered all
}

// attend looks who is there, and enters this node if it is not. It returns how often the node was wanted.
func (h *hub) attend(ctx context.Context) (wanted int64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	at := time.Now()
	nodes, err := h.store.Nodes(ctx)
	if err != nil {
		return 0, false
	}
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	there, lease := false, time.Duration(h.node.lease.Load())
	for _, n := range nodes {
		if n.ID != h.node.id {
			continue
		}
		// As it is there: the database may have been restored.
		there, wanted, h.node.answered = true, n.Wanted, n.Answered
		if n.Lease < lease.Milliseconds() && h.extend(ctx, lease) != nil { // or the others would not wait for all leases
			return 0, false
		}
	}
	h.node.see(nodes)
	if !there {
		id, err := h.store.EnterNode(ctx, lease)
		if err != nil {
			h.log.Warn("cannot enter this node in the database", "error", err)
			return 0, false
		}
		if len(h.node.others) > 0 || h.node.id != "" { // others took it for gone, which it was before
			h.log.Info("this node is in the database", "node", id, "others", len(h.node.others), "before", h.node.id)
		}
		h.node.id, h.node.answered = id, 0
	}
	h.metrics.nodes.Set(float64(len(h.node.others) + 1))
	h.node.alone.Store(len(h.node.others) == 0)
	h.reap(ctx, nodes, at)
	return wanted, true
}

// see takes note of what the others have answered. It is called with node.mu held.
func (n *node) see(nodes []models.Node) {
	there := make(map[string]*other, len(nodes))
	for _, row := range nodes {
		if row.ID == n.id {
			continue
		}
		o := n.others[row.ID]
		if o == nil {
			n.log.Info("another node is in the database: if it was killed, it is removed soon", "node", row.ID)
			o = &other{}
		}
		if row.Answered >= o.wanted {
			o.since = time.Time{}
		}
		there[row.ID] = o
	}
	for id := range n.others {
		if there[id] == nil {
			n.log.Info("another node has left", "node", id)
		}
	}
	n.others = there
}

// asked takes note that all nodes were asked at a time, as they were after that. It is called with node.mu held.
func (n *node) asked(nodes []models.Node, at time.Time) {
	n.see(nodes)
	for _, row := range nodes {
		if o := n.others[row.ID]; o != nil && o.since.IsZero() && row.Answered < row.Wanted {
			o.wanted, o.since = row.Wanted, at
		}
	}
}

// gone reports whether nobody acts any more on what another node knew, whose row was read after a time: it was asked so long ago
// that what it had read before is too old for it to answer from memory or to give a lease, and the last lease that it gave has
// run out. That holds for as long as it does not answer: who relies on it removes the node as it was. It is called with node.mu
// held.
func (n *node) gone(row models.Node, at time.Time) bool {
	o := n.others[row.ID]
	return o != nil && !o.since.IsZero() && at.Sub(o.since) > nodeLease+time.Duration(row.Lease)*time.Millisecond
}

// reap removes nodes that are gone from the database, and now and then asks all of them. It is called with node.mu held.
func (h *hub) reap(ctx context.Context, nodes []models.Node, at time.Time) {
	for _, row := range nodes {
		if h.node.gone(row, at) {
			h.removeGone(ctx, row)
		}
	}
	if h.node.alone.Load() || time.Since(h.node.reaped) < reapEvery {
		return
	}
	h.node.reaped = time.Now()
	if h.store.WantNodes(ctx, h.node.id) != nil {
		return
	}
	asked := time.Now()
	if nodes, err := h.store.Nodes(ctx); err == nil {
		h.node.asked(nodes, asked)
	}
}

// removeGone removes a node from the database. One that answers at the same moment stays; what fails is tried again by the next
// who looks.
func (h *hub) removeGone(ctx context.Context, row models.Node) {
	if h.store.RemoveNode(ctx, row) == nil {
		h.log.Warn("a node is gone, or has answered at the last moment", "node", row.ID)
	}
}

// answer says that this node has read what was committed when it was wanted so often, and what of it is not settled, or is by
// now.
func (h *hub) answer(ctx context.Context, wanted int64) bool {
	h.node.mu.Lock()
	id, answered := h.node.id, h.node.answered
	h.node.mu.Unlock()
	all, settled, owed := h.acknowledgements(id)
	if h.node.alone.Load() && wanted <= answered && !owed { // nobody is there to be told
		h.forget(settled)
		return true
	}
	if wanted <= answered && len(settled) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	there, err := h.store.AnswerNodes(ctx, id, wanted, all)
	if err != nil || !there {
		return false
	}
	h.forget(settled)
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	h.node.answered = wanted
	return true
}

// allow sees to it that others know how long a lease may last that is about to be given: were this node to go, they could not
// tell by themselves that somebody answers from what he was given here. They are told whole seconds: whoever asks for ever longer
// leases has this node write a few times, and not each time.
func (h *hub) allow(ctx context.Context, lease time.Duration) error {
	if int64(lease) <= h.node.lease.Load() {
		return nil
	}
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	if int64(lease) <= h.node.lease.Load() { // by now, as somebody before this one has asked for it
		return nil
	}
	return h.extend(ctx, (lease + time.Second - 1).Truncate(time.Second))
}

// extend tells the others of the longest lease. It is called with node.mu held.
func (h *hub) extend(ctx context.Context, lease time.Duration) error {
	there, err := h.store.ExtendNodeLease(ctx, h.node.id, lease)
	if err == nil && !there {
		err = models.ErrUnavailable
	}
	if err == nil {
		h.node.lease.Store(int64(lease))
	}
	return err
}

// quit removes this node from the database, unless a verifier may still answer from what it was given. If it cannot, the
// others find out that it is gone.
func (h *hub) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), quitWait)
	defer cancel()
	h.swept.Store(int64(-nodeLease)) // whoever asks from now on is answered from the database
	h.endAbandoned()
	h.mu.Lock()
	left := len(h.abandoned)
	h.mu.Unlock()
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	if left > 0 {
		h.log.Warn("stopped with verifiers that have not let go: other nodes wait until their leases are over", "verifiers", left)
	} else if h.node.id != "" {
		h.store.RemoveNode(ctx, models.Node{ID: h.node.id, Answered: h.node.answered})
	}
}
