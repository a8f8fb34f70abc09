package rpc

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// Times of the hub.
const (
	heartbeatEvery = 15 * time.Second // a client that hears nothing for longer may take the server for dead
	heartbeatSlots = 15               // connections beat in turns, one slot a second
)

// maxJoining is how many connections read at once what they missed: of the database's connections that calls read through a
// quarter. More wait, however many come at once, so that who is there already need not.
const maxJoining = 8

// hub gives the events of each user to his connections on this node, in order, each once.
type hub struct {
	store   *models.Store
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	feeds   map[string]*feed // of the users that have connections here, or tokens whose facts are held
	slots   [heartbeatSlots]map[*Conn]struct{}
	next    int // the slot that the next connection gets
	beating int // the slot that beat last
	conns   int
	waits   int           // receipts that are waited for
	leaving bool          // no more connections
	closing bool          // and no more feeds
	joining chan struct{} // one taken for each connection that reads what it missed
	idle    sync.Cond     // a connection has left, or a wait is over

	facts        kept
	size         int // facts kept at most
	node         node
	bus          Bus // nil for none
	hints        hints
	wants        wants
	lookout      lookout
	unsettled    map[*feed]int64 // whose revocations other nodes may have to be told of: the last acknowledgement that did, 0 for none; guarded by mu
	uses         uses
	held         share               // what verifiers hold
	abandoned    map[*lease]struct{} // of connections that have ended; guarded by mu, as the next one
	expectations map[string]*expectation
	began        time.Time
	swept        atomic.Int64  // nanoseconds from began to the start of the last sweep that found everything
	sweptAt      atomic.Int64  // when that was by the clock on the wall, which goes on while a machine is suspended
	stopping     chan struct{} // closed when no receipt is waited for any more, be it there or not
	cutWaits     func()        // closes it

	stop       context.CancelFunc
	background sync.WaitGroup
}

// feed is one user's feed on this node.
type feed struct {
	userID  string
	refs    int        // what needs it: connections, leases, watches, revocations; guarded by hub.mu
	held    share      // what the user's verifiers hold, of whomever
	reading sync.Mutex // one goroutine at a time reads what was missed

	mu          sync.Mutex
	last        int64  // events up to here have been dispatched
	change      string // of the last of them: where it is another one, the database was restored
	following   bool   // nothing was missed before this feed was known here
	lost        bool   // given up, so that it begins anew where the next one comes who needs it
	conns       map[*Conn]struct{}
	watches     map[string]*watch // by token id
	revocations []*revocation     // that verifiers have not confirmed
	settlements []settlement      // of the last that they have
}

func newHub(store *models.Store, log *slog.Logger, m *metrics, size int, bus Bus) *hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &hub{
		store: store, log: log, metrics: m, feeds: map[string]*feed{}, size: max(size, 1), held: share{most: maxHeldByAll}, abandoned: map[*lease]struct{}{},
		expectations: map[string]*expectation{}, began: time.Now(), stopping: make(chan struct{}), stop: stop,
		bus: bus, unsettled: map[*feed]int64{}, node: node{log: log}, joining: make(chan struct{}, maxJoining),
	}
	h.idle.L = &h.mu
	h.cutWaits = sync.OnceFunc(func() { close(h.stopping) })
	h.hints.init()
	h.lookout.Lookout = store.Lookout()
	h.swept.Store(int64(-nodeLease)) // it knows nothing before the first sweep
	h.sweep(ctx)
	for i := range h.slots {
		h.slots[i] = map[*Conn]struct{}{}
	}
	h.background.Go(func() { h.every(ctx, heartbeatEvery/heartbeatSlots, h.heartbeat) })
	h.background.Go(func() { h.every(ctx, sweepEvery, h.sweep) })
	if bus != nil {
		h.background.Go(func() { h.followHints(ctx) })
		bus.Subscribe(h.hinted)
	}
	return h
}

func (h *hub) every(ctx context.Context, period time.Duration, f func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// join tells a connection what happened after its position, and from then on what happens. It reports false if the
// connection cannot be served.
func (h *hub) join(ctx context.Context, c *Conn) bool {
	f := h.enter(c)
	if f == nil {
		c.out.end(nil, "", CloseGoingAway, reasonGoingAway)
		return false
	}
	f.mu.Lock()
	f.conns[c] = struct{}{}
	f.renew(c.who.Load().Position)
	for c.position.Number < f.last {
		f.mu.Unlock()
		if !h.replay(ctx, c) {
			c.out.end(nil, "", CloseRestart, reasonResume)
			return false
		}
		f.mu.Lock()
	}
	c.joined = true
	c.awaitEnd()
	following := f.following
	f.mu.Unlock()
	if !following {
		h.joining <- struct{}{}
		defer func() { <-h.joining }()
		h.follow(f)
	}
	return true
}

// replay gives a connection that has not joined a page of what it missed. It writes it at once: what was missed may be
// more than an outbox may hold.
func (h *hub) replay(ctx context.Context, c *Conn) bool {
	h.joining <- struct{}{}
	events, err := h.store.EventsAfter(ctx, c.feed.userID, c.position.Number)
	<-h.joining // before it is written, which is up to the peer
	if err != nil || len(events) == 0 {
		return false
	}
	for len(events) > 0 {
		n, ok := c.deliverPage(events)
		if !ok {
			return false
		}
		events = events[n:]
		c.out.settle()
	}
	return true
}

// deliverPage delivers as many events as the outbox holds well, and returns how many those were. It reports false where
// one is missing.
func (c *Conn) deliverPage(events []models.Event) (int, bool) {
	c.feed.mu.Lock() // heartbeats look at the position
	defer c.feed.mu.Unlock()
	for i := range events {
		if events[i].Position != c.position.Number+1 {
			return 0, false // pruned meanwhile
		}
		if i > 0 && c.out.full() {
			return i, true
		}
		d := &delivery{event: &events[i]}
		c.deliver(d)
		c.service.metrics.pushed.Add(float64(d.told))
	}
	return len(events), true
}

// retain returns a user's feed, which stays until it is released, or nil when the hub is closing. A feed that is new here
// begins at a position.
func (h *hub) retain(userID string, at models.Position) *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return nil
	}
	f := h.feeds[userID]
	if f == nil {
		f = &feed{userID: userID, last: at.Number, change: at.ChangeID, held: share{most: maxHeldByUser}, conns: map[*Conn]struct{}{}, watches: map[string]*watch{}}
		h.feeds[userID] = f
		h.lookout.fresh = append(h.lookout.fresh, f)
	}
	f.refs++
	return f
}

// renew has a feed that was given up begin anew at a position. It is called with f.mu held.
func (f *feed) renew(at models.Position) {
	if f.lost {
		f.last, f.change, f.lost = at.Number, at.ChangeID, false
	}
}

// hold retains a feed once more.
func (h *hub) hold(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.refs++
}

// release lets go of a feed that was retained.
func (h *hub) release(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(f)
}

// releaseLocked is called with hub.mu held.
func (h *hub) releaseLocked(f *feed) {
	if f.refs--; f.refs == 0 {
		delete(h.feeds, f.userID)
	}
}

// enter counts a connection in and returns its user's feed, or nil when there are to be no more.
func (h *hub) enter(c *Conn) *feed {
	who := c.who.Load()
	f := h.retain(who.UserID, who.Position)
	if f == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving {
		h.releaseLocked(f)
		return nil
	}
	c.feed = f
	h.conns++
	h.next = (h.next + 1) % heartbeatSlots
	c.slot = h.next
	h.slots[c.slot][c] = struct{}{}
	h.metrics.connections.Inc()
	return f
}

// leave counts a connection out.
func (h *hub) leave(c *Conn) {
	f := c.feed
	if f == nil {
		return
	}
	f.mu.Lock()
	delete(f.conns, c)
	if c.expiry != nil {
		c.expiry.Stop()
	}
	f.mu.Unlock()
	h.release(f)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns--
	delete(h.slots[c.slot], c)
	h.metrics.connections.Dec()
	h.idle.Broadcast()
}

func (h *hub) find(userID string) *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.feeds[userID]
}

// connections returns how many connections a credential of a user holds open here. One that is about to be closed, as the
// credential has ended, is not counted.
func (h *hub) connections(userID string, credential models.Credential) (n int) {
	f := h.find(userID)
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if !c.ended.Load() && c.who.Load().Credential == credential {
			n++
		}
	}
	return n
}

// Committed gives the events of a commit to the connections that they concern. It returns when they have them, so that a
// call that took a right away is not answered before the right is gone on this node.
func (h *hub) Committed(events []models.Event) {
	h.committed(events)
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].UserID == events[0].UserID {
			n++
		}
		h.publishHint(HintChanged, events[0].UserID, events[n-1].Position)
		if f := h.find(events[0].UserID); f != nil {
			h.publish(f, events[:n])
		}
		events = events[n:]
	}
}

func (h *hub) publish(f *feed, events []models.Event) {
	last := events[len(events)-1].Position
	f.mu.Lock()
	for i := range events {
		if events[i].Position == f.last+1 {
			h.dispatch(f, &events[i])
		}
	}
	behind, other := f.last < last, f.last == last && f.change != events[len(events)-1].ChangeID
	f.mu.Unlock()
	switch {
	case behind: // another call has committed before and not told yet, or somebody else's events are in between
		h.catchUp(f, last)
	case other: // the database was restored: this came in the place of what was read
		h.drop(f)
	}
}

// dispatch gives the next event to every connection. It is called with f.mu held and never waits for any of them.
func (h *hub) dispatch(f *feed, e *models.Event) {
	f.last, f.change = e.Position, e.ChangeID
	h.metrics.events.Inc()
	switch { // first: who is told of a change, and asks, hears nothing older
	case e.Method == models.UserEnded:
		h.revoke(f, "", e.ChangeID)
	case e.TokenID != "":
		h.revoke(f, e.TokenID, e.ChangeID)
	}
	d := &delivery{event: e}
	for c := range f.conns {
		if c.joined && e.Position > c.position.Number {
			c.deliver(d)
		}
	}
	h.metrics.pushed.Add(float64(d.told))
}

// heartbeat lets the connections of the next slot beat.
func (h *hub) heartbeat(context.Context) {
	h.mu.Lock()
	h.beating = (h.beating + 1) % heartbeatSlots
	slot := h.beating
	conns := make([]*Conn, 0, len(h.slots[slot]))
	for c := range h.slots[slot] {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	for _, c := range conns {
		c.beat()
		h.store.Seen(c.who.Load().Credential)
	}
}
