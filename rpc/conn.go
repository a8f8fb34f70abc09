package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
)

// Transport carries messages between a client and the service. One goroutine reads; one at a time writes; Abort may come
// from any.
type Transport interface {
	// Read returns the next message, which is valid until the next call. It calls idle each time before it waits for
	// the peer. Of a peer that breaks the transport's rules the error is a *Refusal; Read may be called again after it.
	Read(idle func()) ([]byte, error)
	// Write takes a message, which it does not keep, and may hold it back until Flush.
	Write(message []byte) error
	// Flush returns when what was written has been handed on, within a bounded time.
	Flush() error
	// Close says why, and no more can be written. It does not wait: Read goes on for a bounded time, until the peer has
	// gone.
	Close(code int, reason string)
	// Abort ends the connection at once: Read and Flush return.
	Abort()
}

// Refusal is a Transport's error for a peer that is to be sent away.
type Refusal struct {
	Code   int // of the close frame
	Reason string
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Conn is one connection: an identity that follows the feed, and an outbox.
type Conn struct {
	service   *Service
	transport Transport
	id        string
	door      Door                   // of this connection
	lease     atomic.Pointer[lease]  // nil for one that is no verifier
	who       atomic.Pointer[caller] // the identity as of the last event delivered
	out       outbox
	ended     atomic.Bool    // the credential is no good any more: who still calls is nobody
	lost      atomic.Bool    // what has become of the credential is not known here any more
	calls     sync.WaitGroup // started by the reader only
	expiry    *time.Timer    // guarded by feed.mu

	feed     *feed
	joined   bool            // it gets events as they come; before, it is told what it missed. Guarded by feed.mu
	slot     int             // which of the hub's heartbeats is this connection's
	position models.Position // of the last event put into the outbox; guarded by feed.mu
	factsAt  int64           // events up to here are known to who

	mu      sync.Mutex
	cancels map[string]*context.CancelFunc // of the calls under way, by request id
}

// The methods of notifications that are not events.
const (
	methodReady     = "/v1/session/ready"
	methodHeartbeat = "/v1/session/heartbeat"
	methodEnded     = "/v1/session/ended"
	methodCancel    = "$/cancelRequest"
)

type (
	readyParams struct {
		ConnectionID string               `json:"connectionId"`
		User         UserRef              `json:"user"`
		Permissions  models.PermissionSet `json:"permissions"`
		Position     models.Position      `json:"position"`
		Time         models.Time          `json:"time"`
		Reset        bool                 `json:"reset" doc:"what came before position cannot be told: read anew"`
	}
	heartbeatParams struct {
		Position models.Position `json:"position"`
		Time     models.Time     `json:"time"`
	}
	endedParams struct {
		Position models.Position `json:"position"`
		Time     models.Time     `json:"time"`
		By       *models.By      `json:"by" doc:"who made the change; null for nobody, as when a time is over"`
		Reason   string          `json:"reason" enum:"signed-out,password-changed,session-deleted,token-deleted,token-disabled,token-rotated,address-not-allowed,user-deleted,user-disabled,expired"`
	}
)

func notify(method string, params any) []byte {
	b, _ := json.Marshal(struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", method, params})
	return b
}

// Start is where a connection's feed begins.
type Start struct {
	Position models.Position
	Reset    bool
}

// Resume decides where a connection of id begins that asks for what came after since: there, if nothing in between is
// lost, and otherwise now, with Reset.
func (s *Service) Resume(ctx context.Context, id *models.Identity, since string) (Start, error) {
	now := Start{Position: id.Position}
	if since == "" {
		return now, nil
	}
	p, err := models.ParsePosition(since)
	if err != nil {
		return Start{id.Position, true}, nil
	}
	ok, err := s.store.Resumable(ctx, id, p)
	if ok {
		return Start{Position: p}, err
	}
	return Start{id.Position, true}, err
}

// Serve speaks with a client until the connection ends, and returns when nothing of it is left.
func (s *Service) Serve(t Transport, id *models.Identity, door Door, start Start) {
	c := &Conn{service: s, transport: t, id: models.NewChangeID(), door: door, position: start.Position, factsAt: id.Position.Number}
	c.out.init(t, s.metrics)
	c.door.conn = c
	c.who.Store(newCaller(id))
	ctx, cancel := context.WithCancel(context.Background())
	c.out.first(notify(methodReady, readyParams{
		c.id, UserRef{id.UserID, id.Username}, id.Permissions, start.Position, models.TimeOf(time.Now()), start.Reset,
	}))
	if s.hub.join(ctx, c) {
		c.read(ctx)
	} else {
		c.out.settle() // the client is told why
	}
	cancel()
	c.out.close()
	c.calls.Wait()
	if l := c.lease.Load(); l != nil {
		s.hub.abandon(l)
	}
	s.hub.leave(c)
}

// read takes messages until the connection ends. Requests that are answered from memory are answered here; the others
// get a goroutine each. What there is to write is written when there is nothing to read.
func (c *Conn) read(ctx context.Context) {
	idle := c.out.drain
	for {
		message, err := c.transport.Read(idle)
		var refusal *Refusal
		switch {
		case err == nil:
			c.handle(ctx, message)
		case errors.As(err, &refusal):
			c.out.end(nil, "", refusal.Code, refusal.Reason)
			c.out.settle()
		default:
			return
		}
	}
}

func (c *Conn) handle(ctx context.Context, message []byte) {
	r, single := parseSingle(message)
	if !single {
		c.handleBatch(ctx, message)
		return
	}
	if r.method == methodCancel {
		c.cancelCall(r.params)
	}
	m := c.service.methods[r.method]
	if m == nil || r.err != nil || m.fast && (m.always() || c.current()) {
		if c.out.begin("", 1) {
			buffer := buffers.Get().(*[]byte)
			c.out.reply("", 1, c.service.answer(ctx, c.caller(), c.door, "", &r, *buffer), buffer)
		}
		return
	}
	if m.quick != nil {
		buffer := buffers.Get().(*[]byte)
		if answer, ok := c.service.answerQuick(m, c.caller(), &c.door, &r, *buffer); ok {
			if c.out.begin("", 1) {
				c.out.reply("", 1, answer, buffer)
			}
			return
		}
		buffers.Put(buffer)
	}
	changeID := models.NewChangeID()
	if !c.out.begin(changeID, 1) {
		return
	}
	r.id, r.params = clone(r.id), clone(r.params) // the message is the transport's
	ctx, done := c.cancellable(ctx, r.id)
	c.calls.Go(func() {
		defer done()
		c.out.reply(changeID, 1, c.answer(ctx, changeID, &r, nil), nil)
	})
}

func (c *Conn) handleBatch(ctx context.Context, message []byte) {
	requests, failed := parseBatch(clone(message))
	if failed != nil {
		if c.out.begin("", 1) {
			c.out.reply("", 1, appendError(nil, nullID, failed), nil)
		}
		return
	}
	changeID := models.NewChangeID()
	n := min(len(requests), maxUnderWay)
	if !c.out.begin(changeID, n) {
		return
	}
	ctxs := make([]context.Context, len(requests))
	dones := make([]func(), len(requests))
	for i := range requests {
		ctxs[i], dones[i] = c.cancellable(ctx, requests[i].id)
	}
	c.calls.Go(func() {
		c.out.reply(changeID, n, answerBatch(requests, func(i int, b []byte) []byte {
			if requests[i].method == methodCancel {
				c.cancelCall(requests[i].params)
			}
			return c.answer(ctxs[i], changeID, &requests[i], b)
		}), nil)
		for _, done := range dones {
			done()
		}
	})
}

// cancellable returns a context that $/cancelRequest for id ends, and what to call when the call is over.
func (c *Conn) cancellable(ctx context.Context, id []byte) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == nil {
		return ctx, cancel
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancels == nil {
		c.cancels = map[string]*context.CancelFunc{}
	}
	c.cancels[string(id)] = &cancel
	return ctx, func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cancels[string(id)] == &cancel { // and not that of a later call with the same id
			delete(c.cancels, string(id))
		}
	}
}

func (c *Conn) cancelCall(params []byte) {
	var p struct {
		ID jsontext.Value `json:"id"`
	}
	if params == nil || json.Unmarshal(params, &p) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.cancels[string(p.ID)]; cancel != nil {
		(*cancel)()
	}
}

// awaitEnd sets the timer for the end of the credential, which changes may move either way. It is called with feed.mu held.
func (c *Conn) awaitEnd() {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	if at, _ := c.who.Load().End(); at != nil {
		c.expiry = time.AfterFunc(time.Until(at.Std()), c.expire)
	}
}

// expire ends the connection when its credential's time is over.
func (c *Conn) expire() {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	switch at, reason := c.who.Load().End(); {
	case at == nil:
	case time.Now().Before(at.Std()): // it was moved when the timer had gone off
		c.awaitEnd()
	default:
		c.end(reason, nil)
	}
}

// end tells the client that its credential has ended, and closes. It is called with feed.mu held.
func (c *Conn) end(reason string, e *models.Event) {
	params := endedParams{Position: c.position, Time: models.TimeOf(time.Now()), Reason: reason}
	cause := ""
	if e != nil {
		cause = e.ChangeID
		var who struct {
			By *models.By `json:"by"`
		}
		if e.Decode(&who) == nil {
			params.By = who.By
		}
	}
	c.ended.Store(true)
	c.out.end(notify(methodEnded, params), cause, CloseEnded, reasonEnded)
}

// caller returns who calls now, nil for nobody.
func (c *Conn) caller() *caller {
	if c.ended.Load() {
		return nil
	}
	return c.who.Load()
}

// current reports whether the identity is what this node, which is at most a second behind, has heard of.
func (c *Conn) current() bool { return !c.lost.Load() && c.service.hub.current() }

// answer runs one request as who calls by now: where this node cannot tell, as the database says.
func (c *Conn) answer(ctx context.Context, changeID string, r *request, b []byte) []byte {
	who := c.caller()
	if m := c.service.methods[r.method]; m != nil && who != nil && r.err == nil && !m.always() && !c.current() {
		who, r.err = c.identify(ctx, who)
	}
	return c.service.answer(ctx, who, c.door, changeID, r, b)
}

// identify asks the database who a caller is by now: nil for nobody.
func (c *Conn) identify(ctx context.Context, who *caller) (*caller, *jsonrpc2.Error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := c.service.store.Identify(ctx, who.Identity)
	if err != nil {
		return nil, c.service.notWho(err)
	}
	return newCaller(id), nil
}

// beat sends a heartbeat. Its position is that of what was put into the outbox before it.
func (c *Conn) beat() {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.out.push(notify(methodHeartbeat, heartbeatParams{c.position, models.TimeOf(time.Now())}), "")
}
