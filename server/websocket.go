package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/sourcegraph/jsonrpc2"

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

// Why a node takes no connection.
var (
	errTooManyConnections = &models.Error{Code: models.Unavailable, Message: "this node has all the connections that it can hold; try again"}
	errStopping           = &models.Error{Code: models.Unavailable, Message: "this node is stopping; try again"}
)

// closed returns why this node takes no connection now, or nil.
func (s *Server) closed() error {
	switch {
	case s.stopping.Load():
		return errStopping
	case s.open.Load() >= maxConnections:
		return errTooManyConnections
	}
	return nil
}

// upgrade makes a connection of GET /api, for a good credential only, and returns while it is served: a handler that
// waited would cost 11 KiB a connection.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), upgradeTimeout)
	defer cancel()
	s.cors(w, r)
	id, start, err := s.admit(ctx, r)
	if err != nil {
		s.refuse(ctx, w, err)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket") // RFC 9110, section 15.5.22
		writeJSON(w, http.StatusUpgradeRequired, rpc.ErrorObject(&jsonrpc2.Error{
			Code: http.StatusUpgradeRequired, Message: "this is the WebSocket's door; without one, POST a JSON-RPC 2.0 message here",
		}))
		return
	}
	t := &transport{}
	t.ws, err = websocket.Accept(&hijacker{w, t}, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // its check of origins compares hosts only; ours is in credential
		OnPingReceived:     func(context.Context, []byte) bool { return t.control() },
		OnPongReceived:     func(context.Context, []byte) { t.control() },
	})
	if err != nil {
		return // Accept has answered
	}
	t.ws.SetReadLimit(-1) // Read has its own
	door := rpc.Door{Address: s.address(r), Agent: r.UserAgent()}
	s.open.Add(1)
	s.underWay.Go(func() {
		defer s.open.Add(-1)
		s.Service.Serve(t, id, door, start)
		t.ws.CloseNow()
	})
}

// admit decides whether whoever asks for a connection gets one, and where it begins.
func (s *Server) admit(ctx context.Context, r *http.Request) (id *models.Identity, start rpc.Start, err error) {
	if err := s.closed(); err != nil {
		return nil, start, err
	}
	leave, err := s.gate.enter(ctx)
	if err != nil {
		return nil, start, err
	}
	defer leave()
	if id, err = s.identify(ctx, r); err != nil {
		return nil, start, err
	}
	start, err = s.Service.Resume(ctx, id, r.URL.Query().Get("since"))
	return id, start, err
}

// transport carries messages over a WebSocket.
type transport struct {
	ws   *websocket.Conn
	conn *gatherer
	body *[]byte // the message that was read last

	pings      int
	pingsSince time.Time
	told       bool // that it floods
}

// What a peer may not send, and how it is told.
var (
	errNotText = &rpc.Refusal{Code: rpc.CloseNotText, Reason: "only text frames"}
	errNotUTF8 = &rpc.Refusal{Code: rpc.CloseNotUTF8, Reason: "text frames are UTF-8"}
	errTooBig  = &rpc.Refusal{Code: rpc.CloseTooBig, Reason: "a message has at most 64 KiB"}
	errFlooded = &rpc.Refusal{Code: rpc.ClosePolicy, Reason: "too many fragments or pings"}
)

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
		return nil, errNotText
	}
	t.conn.inMessage = true
	body := bodies.Get().(*[]byte)
	t.body = body
	for err == nil {
		if len(*body) > rpc.MaxMessage {
			return nil, errTooBig
		}
		if len(*body) == cap(*body) {
			*body = append(*body, 0)[:len(*body)]
		}
		var n int
		n, err = r.Read((*body)[len(*body):cap(*body)])
		*body = (*body)[:len(*body)+n]
	}
	if err != io.EOF {
		return nil, t.broken(err)
	}
	t.conn.message()
	switch {
	case len(*body) > rpc.MaxMessage:
		return nil, errTooBig
	case !utf8.Valid(*body):
		return nil, errNotUTF8
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

// broken sees to the end of a connection that cannot be read any more, and returns why. Where the peer broke the
// protocol the library has said so.
func (t *transport) broken(err error) error {
	if t.conn.flooded && !t.told {
		t.told = true
		return errFlooded
	}
	var goodbye websocket.CloseError
	if !errors.As(err, &goodbye) && !errors.Is(err, io.EOF) {
		t.conn.end(nil)
		t.conn.drain()
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

// Write takes a message into the buffer that Flush sends. The library's own Write would take two locks and copy twice, for
// a frame that is the same for every connection.
func (t *transport) Write(message []byte) error { return t.conn.gather(opText, message) }

// Flush sends what was written.
func (t *transport) Flush() error { return t.conn.flushAll() }

// Close says why and lets the peer go: Read returns when it has gone, or when its time is over. The library's own Close
// would wait for what the goroutine that reads, and may be the one that closes, could never read.
func (t *transport) Close(code int, reason string) {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code)) // RFC 6455, section 5.5.1
	if t.conn.end(appendFrame(nil, opClose, append(payload, reason...))) != nil {
		t.Abort()
	}
}

// Abort ends the connection at once. The library's CloseNow would wait for the goroutine that reads, and may be the one
// that aborts.
func (t *transport) Abort() { t.conn.Conn.Close() }
