package client

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/sourcegraph/jsonrpc2"
)

// stage is a server that does what a test says. Without being told it answers as Tokenwire does. It is reached in memory, so
// that a test in a synctest bubble decides what time it is, too.
type stage struct {
	t        testing.TB
	listener *pipes

	mu      sync.Mutex
	refusal int                       // the status of whoever wants in, if not 0
	after   string                    // and its Retry-After, if not ""
	ready   map[string]any            // params of /v1/session/ready beside the position
	tokens  map[digest]map[string]any // what verify answers; the others are inactive
	play    map[string]func(*line, *request) any
	lines   []*line // connections, in the order made
	seen    []*request
	frames  []string // all that clients have sent
	headers []http.Header
	queries []string
}

// line is one connection of a client, as the server sees it.
type line struct {
	*stage
	ws   *websocket.Conn
	gone chan struct{}

	numbering sync.Mutex
	seq       int
	confirmed int // guarded by stage.mu
}

type request struct {
	ID     *uint64         `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	line   *line
}

// silent is the result of what gets no answer yet.
type silent struct{}

// newStage returns a server that ends with the test.
func newStage(t testing.TB) *stage {
	s := &stage{
		t: t, listener: newPipes(), ready: map[string]any{}, tokens: map[digest]map[string]any{},
		play: map[string]func(*line, *request) any{},
	}
	s.play[methodBeat] = func(l *line, r *request) any {
		var params []struct{ Lease float64 }
		r.read(t, &params)
		l.numbering.Lock()
		defer l.numbering.Unlock()
		return map[string]any{"lease": params[0].Lease, "seq": l.seq}
	}
	s.play[methodVerify] = func(l *line, r *request) any { return l.facts(r) }
	server := &http.Server{Handler: s}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(s.listener) }()
	t.Cleanup(func() {
		server.Close()
		<-served
		for _, l := range s.all() {
			l.cut()
		}
	})
	return s
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refusal, after := s.refusal, s.after
	s.headers, s.queries = append(s.headers, r.Header.Clone()), append(s.queries, r.URL.RawQuery)
	s.mu.Unlock()
	if refusal != 0 {
		if refusal == http.StatusFound {
			w.Header().Set("Location", "http://elsewhere.example/api")
		}
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(refusal)
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	ws.SetReadLimit(maxFrame)
	l := &line{stage: s, ws: ws, gone: make(chan struct{})}
	defer close(l.gone)
	s.mu.Lock()
	s.lines = append(s.lines, l)
	ready := map[string]any{"position": "1-start", "reset": false}
	for name, value := range s.ready {
		ready[name] = value
	}
	s.mu.Unlock()
	l.tell(methodReady, ready)
	l.serve()
}

func (l *line) serve() {
	for {
		_, data, err := l.ws.Read(context.Background())
		if err != nil {
			l.ws.CloseNow()
			return
		}
		r := &request{line: l}
		if err := json.Unmarshal(data, r); err != nil {
			l.t.Errorf("the client sent %s", data)
		}
		l.mu.Lock()
		l.frames = append(l.frames, string(data))
		l.seen = append(l.seen, r)
		play := l.play[r.Method]
		l.mu.Unlock()
		var result any = struct{}{}
		if play != nil {
			result = play(l, r)
		}
		if _, ok := result.(silent); !ok && r.ID != nil {
			r.reply(result)
		}
	}
}

// reply answers with a result, or with an error if it is one.
func (r *request) reply(result any) {
	answer := map[string]any{"jsonrpc": "2.0", "id": *r.ID, "result": result}
	if err, ok := result.(*jsonrpc2.Error); ok {
		answer = map[string]any{"jsonrpc": "2.0", "id": *r.ID, "error": err}
	}
	r.line.send(answer)
}

func (r *request) read(t testing.TB, params any) {
	t.Helper()
	if err := json.Unmarshal(r.Params, params); err != nil {
		t.Errorf("%s: %s: %v", r.Method, r.Params, err)
	}
}

func (l *line) tell(method string, params any) {
	l.send(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
}

func (l *line) send(message any) {
	data, err := json.Marshal(message)
	if err != nil {
		l.t.Error(err)
	}
	_ = l.ws.Write(context.Background(), websocket.MessageText, data) // the client may be gone
}

// changed tells that tokens have changed.
func (l *line) changed(ids ...string) {
	l.numbering.Lock()
	defer l.numbering.Unlock()
	l.seq++
	l.tell(methodChanged, map[string]any{"seq": l.seq, "tokenIds": ids})
}

// facts is the answer to a request to verify.
func (l *line) facts(r *request) map[string]any {
	var params struct{ Digest string }
	r.read(l.t, &params)
	l.numbering.Lock()
	defer l.numbering.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, facts := range l.tokens {
		if d.String() == params.Digest {
			answer := map[string]any{"active": true, "permissions": []string{}, "expiresAt": nil, "position": "1-x", "allowedIps": nil, "expiresInMs": nil, "held": true, "seq": l.seq}
			for name, value := range facts {
				answer[name] = value
			}
			return answer
		}
	}
	return map[string]any{"active": false}
}

// cut ends the connection without a word, and waits until it is served no more.
func (l *line) cut() {
	l.ws.CloseNow()
	<-l.gone
}

// on sets what a method does.
func (s *stage) on(method string, play func(*line, *request) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.play[method] = play
}

// refuse sets the status of whoever wants in; 0 lets in.
func (s *stage) refuse(status int) { s.refuseFor(status, "") }

// refuseFor is refuse that says when to come again.
func (s *stage) refuseFor(status int, after string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal, s.after = status, after
}

// attempts counts who wanted in so far.
func (s *stage) attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queries)
}

func (s *stage) all() []*line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// last returns the newest connection.
func (s *stage) last() *line {
	lines := s.all()
	if len(lines) == 0 {
		s.t.Fatal("nobody has connected")
	}
	return lines[len(lines)-1]
}

// of returns the requests of a method so far.
func (s *stage) of(method string) (requests []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		if r.Method == method {
			requests = append(requests, r)
		}
	}
	return requests
}

// mint makes a token that is good, with more facts if there are any, and returns its text.
func (s *stage) mint(id string, facts map[string]any) string {
	body := tokenPrefix + id + strings.Repeat("Z", idEnd-len(tokenPrefix)-len(id)) + "_" + strings.Repeat("s", 43)
	return s.mintSecret(body, id, facts)
}

func (s *stage) mintSecret(body, id string, facts map[string]any) string {
	token := body + "_" + checksum(body)
	known := map[string]any{"tokenId": id, "userId": "u-" + id, "username": "user of " + id}
	for name, value := range facts {
		known[name] = value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[digestOf(token)] = known
	return token
}

// disable makes a token one that is no good, and tells nobody.
func (s *stage) disable(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, digestOf(token))
}

// http returns a client that reaches the stage.
func (s *stage) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.listener.dial, DisableKeepAlives: true}}
}

// credential is what the tests' clients show.
var credential = NewSecret("tws_" + strings.Repeat("c", 71))

// options are those of a client of the stage.
func (s *stage) options() Options {
	return Options{URL: "ws://stage.example/api", Token: credential, HTTPClient: s.http()}
}

// client connects one, which is closed with the test.
func (s *stage) client(o Options) *Client {
	s.t.Helper()
	c, err := Dial(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// verifier connects one, which is closed with the test.
func (s *stage) verifier(o VerifierOptions) *Verifier {
	s.t.Helper()
	o.URL, o.Token, o.HTTPClient = "ws://stage.example/api", credential, s.http()
	v, err := NewVerifier(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { v.Close() })
	return v
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the server's end of the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and whoever dials.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is of no use.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "stage", Net: "pipe"} }
