package server_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
)

// rawVerifier is a service that keeps what it is told of tokens, as the protocol lets it, and nothing more. It connects again
// whenever it is cut off.
type rawVerifier struct {
	base, credential string
	lease            time.Duration
	stubborn         bool          // it does not confirm by itself
	slow             time.Duration // up to so long it takes for a message to come

	mu      sync.Mutex
	ws      *websocket.Conn
	wire    *lossyConn                  // beneath it
	era     int                         // counts leases: what was asked under one is not kept under the next
	calls   map[int64]chan<- heldAnswer // under way on this connection
	beats   map[int64]time.Time         // when they were sent
	id      int64
	held    map[string]heldAnswer // by token
	changed map[string]int64      // of each token id, the last notification that named it
	last    int64                 // notification
	until   time.Time             // it answers from what it holds until then
	fromOwn int                   // answers that it gave itself
}

// heldAnswer is what the server answers.
type heldAnswer struct {
	Active      bool     `json:"active"`
	TokenID     string   `json:"tokenId"`
	Permissions []string `json:"permissions"`
	ExpiresInMs *int64   `json:"expiresInMs"`
	AllowedIPs  []string `json:"allowedIps"`
	Held        bool     `json:"held"`
	Seq         int64    `json:"seq"`

	failed error
	until  time.Time // by the verifier's own clock; zero for never
}

func newRawVerifier(base, credential string, lease time.Duration) *rawVerifier {
	return &rawVerifier{base: base, credential: credential, lease: lease}
}

// errNotConnected is a verifier's between two connections.
var errNotConnected = errors.New("not connected")

// run keeps the verifier connected until ctx ends.
func (v *rawVerifier) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wire, client := lossyClient()
		ws, err := connect(ctx, v.base, v.credential, "", client)
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			break
		}
		v.begin(ws, *wire)
		beating, stop := context.WithCancel(ctx)
		var beats sync.WaitGroup
		beats.Go(func() { v.keepBeating(beating, ws) })
		v.read(ctx, ws)
		v.end(ws)
		stop()
		beats.Wait()
	}
	return nil
}

// begin begins a connection: with no lease, and nothing held.
func (v *rawVerifier) begin(ws *websocket.Conn, wire *lossyConn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ws, v.wire, v.last = ws, wire, 0
	v.calls, v.beats, v.changed = map[int64]chan<- heldAnswer{}, map[int64]time.Time{}, map[string]int64{}
	v.forget()
}

// forget lets go of everything, and ends the lease. It is called with mu held.
func (v *rawVerifier) forget() {
	v.era++
	v.held, v.until = map[string]heldAnswer{}, time.Time{}
}

// end ends a connection, and with it the lease.
func (v *rawVerifier) end(ws *websocket.Conn) {
	ws.CloseNow()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ws = nil
	v.forget()
	for _, answer := range v.calls {
		answer <- heldAnswer{failed: errNotConnected}
	}
	v.calls = nil
}

// cut cuts the connection, as a network does.
func (v *rawVerifier) cut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ws != nil {
		v.forget()
		v.ws.CloseNow()
	}
}

// lose cuts the connection for the server only. The verifier hears nothing more, and notices when its lease has run out.
func (v *rawVerifier) lose() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ws != nil {
		v.wire.lose(v.lease)
	}
}

func (v *rawVerifier) keepBeating(ctx context.Context, ws *websocket.Conn) {
	for tick := time.NewTicker(v.lease / 3); ; {
		v.beat(ctx, ws)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

func (v *rawVerifier) beat(ctx context.Context, ws *websocket.Conn) {
	v.mu.Lock()
	v.id++
	id := v.id
	v.beats[id] = time.Now()
	v.mu.Unlock()
	v.send(ctx, ws, id, "/v1/verifier/beat", fmt.Sprintf(`[{"lease":%g}]`, v.lease.Seconds()))
}

// release lets go of everything, says so, and begins anew.
func (v *rawVerifier) release(ctx context.Context) {
	v.mu.Lock()
	ws := v.ws
	v.forget()
	clear(v.beats) // what they bring is of the lease that ends
	v.id++
	id := v.id
	v.mu.Unlock()
	if ws != nil {
		v.send(ctx, ws, id, "/v1/verifier/release", "[]")
		v.beat(ctx, ws)
	}
}

func (v *rawVerifier) send(ctx context.Context, ws *websocket.Conn, id int64, method, params string) error {
	return ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params))
}

// read takes messages until the connection ends.
func (v *rawVerifier) read(ctx context.Context, ws *websocket.Conn) {
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			return
		}
		if v.slow > 0 {
			time.Sleep(rand.N(v.slow))
		}
		var m struct {
			ID     *int64     `json:"id"`
			Method string     `json:"method"`
			Result heldAnswer `json:"result"`
			Error  *struct {
				Code int `json:"code"`
			} `json:"error"`
			Params struct {
				Seq      int64    `json:"seq"`
				TokenIDs []string `json:"tokenIds"`
			} `json:"params"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return
		}
		switch {
		case m.Method == "/v1/verifier/changed":
			v.letGo(m.Params.Seq, m.Params.TokenIDs)
			if !v.stubborn {
				v.confirmAll(ctx)
			}
		case m.ID != nil && m.Error != nil:
			m.Result.failed = fmt.Errorf("error %d", m.Error.Code)
			fallthrough
		case m.ID != nil:
			v.answered(*m.ID, m.Result)
		}
	}
}

// told returns the number of the last notification.
func (v *rawVerifier) told() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// confirmAll confirms what it has let go of.
func (v *rawVerifier) confirmAll(ctx context.Context) {
	v.mu.Lock()
	ws, seq := v.ws, v.last
	v.mu.Unlock()
	if ws != nil { // and if it cannot be written, the connection is at its end
		ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"/v1/verifier/confirm","params":[%d]}`, seq))
	}
}

func (v *rawVerifier) letGo(seq int64, tokenIDs []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = seq
	for _, id := range tokenIDs {
		v.changed[id] = seq
	}
	for token, answer := range v.held {
		if slices.Contains(tokenIDs, answer.TokenID) {
			delete(v.held, token)
		}
	}
}

func (v *rawVerifier) answered(id int64, answer heldAnswer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if sent, is := v.beats[id]; is {
		delete(v.beats, id)
		if answer.failed == nil {
			v.until = sent.Add(v.lease)
		}
		return
	}
	if call := v.calls[id]; call != nil {
		delete(v.calls, id)
		call <- answer
	}
}

// verify asks about a token: itself, if it holds what it was told, and otherwise the server.
func (v *rawVerifier) verify(ctx context.Context, token string) (heldAnswer, error) {
	for {
		answer, mayKeep, err := v.ask(ctx, token)
		if err != nil || !answer.Held || mayKeep {
			return answer, err
		}
	}
}

// ask asks once, and reports whether the answer is one that may be kept, and is.
func (v *rawVerifier) ask(ctx context.Context, token string) (heldAnswer, bool, error) {
	v.mu.Lock()
	now := time.Now()
	if answer, holds := v.held[token]; holds && now.Before(v.until) && (answer.until.IsZero() || now.Before(answer.until)) {
		v.fromOwn++
		v.mu.Unlock()
		return answer, true, nil
	}
	ws, era, answered := v.ws, v.era, make(chan heldAnswer, 1)
	if ws == nil {
		v.mu.Unlock()
		return heldAnswer{}, false, errNotConnected
	}
	v.id++
	id := v.id
	v.calls[id] = answered
	v.mu.Unlock()
	if err := v.send(ctx, ws, id, "/v1/verifier/verify", fmt.Sprintf(`[%q,{"hold":true}]`, token)); err != nil {
		return heldAnswer{}, false, err
	}
	select {
	case answer := <-answered:
		return answer, v.keep(era, token, answer, now), answer.failed
	case <-ctx.Done():
		return heldAnswer{}, false, ctx.Err()
	}
}

// keep keeps an answer, unless it is not to be kept, or what it says has changed since.
func (v *rawVerifier) keep(era int, token string, answer heldAnswer, sent time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if answer.failed != nil || !answer.Active || !answer.Held || v.era != era || v.changed[answer.TokenID] > answer.Seq {
		return false
	}
	if answer.ExpiresInMs != nil {
		answer.until = sent.Add(time.Duration(*answer.ExpiresInMs) * time.Millisecond)
	}
	v.held[token] = answer
	return true
}

// lossyConn is a connection that can get lost at its other end.
type lossyConn struct {
	net.Conn
	lost atomic.Pointer[time.Time] // when this end notices; nil for what is not lost
}

// lossyClient returns a client, and where the last connection is that it has made.
func lossyClient() (**lossyConn, *http.Client) {
	wire := new(*lossyConn)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		*wire = &lossyConn{Conn: c}
		return *wire, err
	}
	return wire, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (c *lossyConn) lose(noticed time.Duration) {
	at := time.Now().Add(noticed)
	c.lost.Store(&at)
	c.Conn.Close()
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if at := c.lost.Load(); at != nil && err != nil {
		time.Sleep(time.Until(*at))
	}
	return n, err
}

func (c *lossyConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.lost.Load() != nil {
		return len(b), nil
	}
	return n, err
}
