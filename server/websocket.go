package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// Bounds of WebSocket.
const (
	maxConnections = 100_000          // of this node: beyond any that its memory would hold well
	upgradeTimeout = 10 * time.Second // for the database's part of an upgrade
	maxPings       = 100              // pings and pongs that a peer may send in pingWindow
	pingWindow     = 10 * time.Second
)

var errTooManyConnections = &models.Error{Code: models.Unavailable, Message: "this node has all the connections that it can hold; try again"}

// upgrade makes a connection of GET /api, for a good credential only, and returns while it is served: a handler that
// waited would cost 11 KiB a connection.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), upgradeTimeout)
	defer cancel()
	s.cors(w, r)
	id, err := s.identify(ctx, r)
	var start rpc.Start
	if err == nil {
		start, err = s.Service.Resume(ctx, id, r.URL.Query().Get("since"))
	}
	if err == nil && (s.stopping.Load() || s.open.Load() >= maxConnections) {
		err = errTooManyConnections
	}
	if err != nil {
		s.refuse(ctx, w, err)
		return
	}
	t := &transport{}
	s.connections.Add(1) // while the request counts as one for http.Server.Shutdown
	defer s.connections.Done()
	t.ws, err = websocket.Accept(&hijacker{w, t}, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // its check of origins compares hosts only; ours is in credential
		OnPingReceived:     func(context.Context, []byte) bool { return t.control() },
		OnPongReceived:     func(context.Context, []byte) { t.control() },
	})
	if err != nil {
		return // Accept has answered
	}
	t.ws.SetReadLimit(rpc.MaxMessage)
	door := rpc.Door{Address: address(r), Agent: r.UserAgent()}
	s.open.Add(1)
	s.connections.Go(func() {
		defer s.open.Add(-1)
		s.Service.Serve(t, id, door, start)
	})
}

// transport carries messages over a WebSocket.
type transport struct {
	ws   *websocket.Conn
	conn *gatherer
	body *[]byte // the message that was read last

	pings      int
	pingsSince time.Time
}

var errNotText = errors.New("a binary frame")

// bodies are buffers for messages: an idle connection has none.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// maxKeptBody is the size of a buffer that is used again, in bytes.
const maxKeptBody = 8 << 10

// Read returns the next message.
func (t *transport) Read(idle func()) ([]byte, error) {
	t.release()
	t.conn.idle = idle
	kind, r, err := t.ws.Reader(context.Background())
	if err != nil {
		return nil, t.broken(err)
	}
	if kind != websocket.MessageText {
		t.Close(rpc.CloseNotText, "only text frames")
		return nil, errNotText
	}
	t.conn.inMessage = true
	body := bodies.Get().(*[]byte)
	t.body = body
	for {
		if len(*body) == cap(*body) {
			*body = append(*body, 0)[:len(*body)]
		}
		n, err := r.Read((*body)[len(*body):cap(*body)])
		*body = (*body)[:len(*body)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, t.broken(err)
		}
	}
	t.conn.message()
	if !utf8.Valid(*body) {
		t.Close(rpc.CloseNotUTF8, "text frames are UTF-8")
		return nil, errNotText
	}
	return *body, nil
}

// release gives the last message's buffer back.
func (t *transport) release() {
	if t.body != nil && cap(*t.body) <= maxKeptBody {
		*t.body = (*t.body)[:0]
		bodies.Put(t.body)
	}
	t.body = nil
}

// broken closes a connection whose peer broke a limit, and returns err. The library has closed for the rest.
func (t *transport) broken(err error) error {
	if t.conn.flooded {
		t.Close(rpc.ClosePolicy, "too many fragments or pings")
	}
	return err
}

// control counts a ping or pong, and reports whether a ping is answered.
func (t *transport) control() bool {
	now := time.Now()
	if now.Sub(t.pingsSince) > pingWindow {
		t.pings, t.pingsSince = 0, now
	}
	if t.pings++; t.pings > maxPings {
		t.conn.flooded = true
	}
	return !t.conn.flooded
}

// Write takes a message into the buffer that Flush sends.
func (t *transport) Write(message []byte) error {
	t.conn.cork()
	return t.ws.Write(context.Background(), websocket.MessageText, message)
}

// Flush sends what was written.
func (t *transport) Flush() error { return t.conn.uncork() }

// Close says why and ends the connection.
func (t *transport) Close(code int, reason string) { t.ws.Close(websocket.StatusCode(code), reason) }

// Abort ends the connection at once: CloseNow alone would wait for a Close that is under way.
func (t *transport) Abort() {
	t.conn.Conn.Close()
	t.ws.CloseNow()
}
