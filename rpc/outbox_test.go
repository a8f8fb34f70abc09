package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/jsonrpc2"
)

// pipe is a Transport in memory. It fails the test where the outbox breaks the Transport's rules: one writer at a time,
// nothing after the end.
type pipe struct {
	t    testing.TB
	in   chan string
	gone chan struct{}

	mu      sync.Mutex
	stuck   chan struct{} // if not nil, Flush waits for it: a peer that does not read
	fails   bool          // writes fail
	writing bool
	got     []string
	code    int
	aborted bool
}

func newPipe(t testing.TB) *pipe {
	return &pipe{t: t, in: make(chan string), gone: make(chan struct{})}
}

func (p *pipe) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing {
		p.t.Error("two write at once")
	}
	if p.code != 0 {
		p.t.Error("written after the close frame")
	}
	p.writing = true
}

func (p *pipe) exit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = false
}

func (p *pipe) Read(idle func()) ([]byte, error) {
	idle()
	select {
	case m := <-p.in:
		return []byte(m), nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Write(message []byte) error {
	p.enter()
	defer p.exit()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails {
		return net.ErrClosed
	}
	p.got = append(p.got, string(message))
	return nil
}

func (p *pipe) Flush() error {
	p.enter()
	defer p.exit()
	p.mu.Lock()
	stuck := p.stuck
	p.mu.Unlock()
	if stuck == nil {
		return nil
	}
	select {
	case <-stuck:
		return nil
	case <-p.gone:
		return net.ErrClosed
	}
}

func (p *pipe) Close(code int, _ string) {
	p.enter()
	defer p.exit()
	p.mu.Lock()
	p.code = code
	p.mu.Unlock()
	p.Abort()
}

func (p *pipe) Abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.aborted {
		p.aborted = true
		close(p.gone)
	}
}

// written returns what was written until everything is still, with the close code at the end.
func (p *pipe) written() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := slices.Clone(p.got)
	if p.code != 0 {
		got = append(got, fmt.Sprint(p.code))
	}
	return strings.Join(got, " ")
}

func newOutbox(t testing.TB) (*outbox, *pipe) {
	p := newPipe(t)
	o := &outbox{}
	o.init(p, newMetrics(prometheus.NewRegistry()))
	return o, p
}

// TestReplyFirst: the reply to a call comes before the notification of what it changed, wherever the commit's event falls
// between the two; what does not depend on it is not held back.
func TestReplyFirst(t *testing.T) {
	type step = func(o *outbox)
	begin := func(id string) step { return func(o *outbox) { o.begin(id, 1) } }
	reply := func(id string) step { return func(o *outbox) { o.reply(id, 1, []byte("r"+id), nil) } }
	event := func(id string) step { return func(o *outbox) { o.push([]byte("e"+id), id) } }
	none := func(id string) step { return func(o *outbox) { o.reply(id, 1, nil, nil) } }
	end := func(id string) step { return func(o *outbox) { o.end([]byte("ended"), id, CloseEnded, "") } }
	for name, c := range map[string]struct {
		steps []step
		want  string
	}{
		"event before the reply":        {[]step{begin("1"), event("1"), reply("1")}, "r1 e1"},
		"event after the reply":         {[]step{begin("1"), reply("1"), event("1")}, "r1 e1"},
		"several events of one change":  {[]step{begin("1"), event("1"), event("1"), reply("1")}, "r1 e1 e1"},
		"another's event first":         {[]step{begin("1"), event("x"), event("1"), reply("1")}, "ex r1 e1"},
		"another's event waits behind":  {[]step{begin("1"), event("1"), event("x"), reply("1")}, "r1 e1 ex"},
		"in turn":                       {[]step{begin("1"), begin("2"), event("1"), event("2"), reply("1"), reply("2")}, "r1 e1 r2 e2"},
		"crossed":                       {[]step{begin("1"), begin("2"), event("1"), event("2"), reply("2"), reply("1")}, "r2 r1 e1 e2"},
		"the first is slow":             {[]step{begin("1"), begin("2"), event("2"), reply("2"), event("1"), reply("1")}, "r2 e2 r1 e1"},
		"three, the middle one last":    {[]step{begin("1"), begin("2"), begin("3"), event("1"), event("2"), event("3"), reply("1"), reply("3"), reply("2")}, "r1 e1 r3 r2 e2 e3"},
		"a notification has no reply":   {[]step{begin("1"), event("1"), none("1")}, "e1"},
		"it ends its own session":       {[]step{begin("1"), end("1"), reply("1")}, "r1 ended 4401"},
		"another call ends the session": {[]step{begin("1"), event("1"), end("x"), reply("1")}, "e1 ended 4401"}, // at once, whatever is under way
		"nothing after the end":         {[]step{end("x"), event("y"), begin("1")}, "ended 4401"},
	} {
		t.Run(name, func(t *testing.T) {
			for pause := range 2 { // with and without writing in between
				synctest.Test(t, func(t *testing.T) {
					o, p := newOutbox(t)
					for _, s := range c.steps {
						s(o)
						if pause == 1 {
							synctest.Wait()
						}
					}
					if got := p.written(); got != c.want {
						t.Errorf("%q, want %q", got, c.want)
					}
					o.close()
				})
			}
		})
	}
}

// TestOverflow: who does not read gets a bounded queue, by count and by size, and 4008 once it can be told. Replies that
// wait are not lost.
func TestOverflow(t *testing.T) {
	for name, size := range map[string]int{"count": 1, "bytes": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, p := newOutbox(t)
				p.stuck = make(chan struct{})
				o.push([]byte("first"), "")
				synctest.Wait() // it is being written, and stays so
				o.begin("1", 1)
				o.reply("1", 1, []byte("reply"), nil)
				for range 100 * maxNotifications {
					o.push(bytes.Repeat([]byte("x"), size), "")
					o.mu.Lock()
					if waiting := len(o.queue) + len(o.held); waiting > maxNotifications+maxUnderWay+1 || o.backlog > maxBacklog {
						t.Fatalf("%d entries, %d bytes wait", waiting, o.backlog)
					}
					o.mu.Unlock()
				}
				close(p.stuck)
				if got := p.written(); got != "first reply 4008" {
					t.Errorf("%.100q", got)
				}
				o.close()
			})
		})
	}
}

// TestSlots: with 32 requests under way the reader waits, until an answer is written and not merely made.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := newOutbox(t)
		p.stuck = make(chan struct{})
		for n := range maxUnderWay {
			o.begin(fmt.Sprint(n), 1)
		}
		taken := false
		go func() { taken = o.begin("one more", 1) }()
		go o.reply("0", 1, []byte("r"), nil)
		synctest.Wait()
		if taken {
			t.Error("a request is taken while its predecessor's answer is not written")
		}
		close(p.stuck)
		synctest.Wait()
		if !taken {
			t.Error("no request is taken though there is room")
		}
		waits := make(chan bool)
		go func() { waits <- o.begin("yet one more", 1) }()
		synctest.Wait()
		p.fails = true
		go o.reply("1", 1, []byte("r"), nil)
		if <-waits {
			t.Error("a request is taken after the end")
		}
		o.close()
	})
}

// TestFinish waits for the calls under way, and then says goodbye.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := newOutbox(t)
		o.begin("1", 1)
		o.begin("2", 1)
		o.push([]byte("e1"), "1")
		o.finish(CloseGoingAway, "")
		if o.begin("3", 1) {
			t.Error("a request is taken though the server is going")
		}
		o.reply("1", 1, []byte("r1"), nil)
		if got := p.written(); got != "r1 e1" {
			t.Errorf("%q", got)
		}
		o.reply("2", 1, []byte("r2"), nil)
		if got := p.written(); got != "r1 e1 r2 1001" {
			t.Errorf("%q", got)
		}
		idle, q := newOutbox(t)
		idle.finish(CloseGoingAway, "")
		if got := q.written(); got != "1001" {
			t.Errorf("idle: %q", got)
		}
		o.close()
		idle.close()
	})
}

// TestAbort: when writing fails, or is cut off in its middle, nothing is left behind and everybody who waits is let go.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := newOutbox(t)
		p.fails = true
		for range maxUnderWay {
			o.begin("", 1)
		}
		o.reply("", 1, []byte("x"), nil)
		if o.begin("", 1) {
			t.Error("a request is taken though writing failed")
		}
		o.close()
		if !p.aborted {
			t.Error("the transport was not aborted")
		}

		o, p = newOutbox(t)
		p.stuck = make(chan struct{})
		o.push([]byte("x"), "")
		synctest.Wait()
		o.close() // returns although Flush would wait for ever
		o.push([]byte("y"), "")
		if got := p.written(); got != "x" {
			t.Errorf("%q", got)
		}
	})
}

// TestPushNeverWaits: a transport that is slow to end must hold up nobody who has events for it: he has locks that others
// wait for.
func TestPushNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &slowToEnd{newPipe(t)}
		o := &outbox{}
		o.init(p, newMetrics(prometheus.NewRegistry()))
		go o.close()
		synctest.Wait()
		begun := time.Now()
		o.push([]byte("x"), "")
		if waited := time.Since(begun); waited > 0 {
			t.Error("an event waited for", waited)
		}
		time.Sleep(time.Minute)
	})
}

type slowToEnd struct{ *pipe }

func (s *slowToEnd) Abort() { time.Sleep(5 * time.Second); s.pipe.Abort() }

// TestPanic: a panic in a method is an internal error of that call alone. The caller gets an id under which the log has
// the rest, and nothing of the rest.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s, store := newTestService(t, &log)
	for name, err := range map[string]error{"/test/panic": nil, "/test/error": errors.New("SELECT secret FROM /var/lib/x")} {
		m := define(name, anybody, "", func(context.Context, *Call, noParams) (Empty, error) {
			if err == nil {
				panic("SELECT secret FROM /var/lib/x")
			}
			return Empty{}, err
		})
		m.metrics = s.metrics.forMethod(name)
		s.methods[name] = m
	}
	_, _, secret, err := signInAdmin(store)
	if err != nil {
		t.Fatal(err)
	}
	who, err := store.Authenticate(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	for name := range map[string]bool{"/test/panic": true, "/test/error": true} {
		log.Reset()
		_, failed := s.Call(t.Context(), who, Door{}, name, nil)
		if failed == nil || failed.Code != jsonrpc2.CodeInternalError || failed.Data == nil {
			t.Fatal(name, failed)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(string(*failed.Data), `{"requestId":"`), `"}`)
		if len(id) < 8 || !strings.Contains(log.String(), "requestId="+id) || !strings.Contains(log.String(), "SELECT secret") {
			t.Errorf("%s: the log does not say what happened to %s: %s", name, id, log.String())
		}
		if answer := string(marshalError(failed)); strings.Contains(answer, "SELECT") || strings.Contains(answer, "/var") {
			t.Error(answer)
		}
	}
	if _, failed := s.Call(t.Context(), who, Door{}, "/v1/api-tokens/read", nil); failed != nil {
		t.Error("afterwards:", failed)
	}
}
