package server_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// heap returns the bytes that are reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flood sends b again and again until the server takes no more, or n times, and returns what it sent.
func (w *wire) flood(b []byte, n int) (sent int64) {
	for range n {
		w.SetWriteDeadline(time.Now().Add(2 * time.Second))
		k, err := w.Write(b)
		if sent += int64(k); err != nil {
			return sent
		}
	}
	return sent
}

// TestFloods sends for ever what is no message. Each flood must end with 1008, or the connection be cut.
func TestFloods(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	for name, c := range map[string]struct{ first, again []byte }{
		"pings":               {nil, frame(last|ping, "x")},
		"pongs":               {nil, frame(last|pong, strings.Repeat("x", 125))},
		"empty continuations": {frame(text, "{"), frame(continuation, "")},
		"empty messages":      {frame(text, ""), slices.Concat(frame(continuation, ""), frame(continuation, ""))},
		"pings in a message":  {frame(text, "{"), frame(last|ping, "")},
	} {
		t.Run(name, func(t *testing.T) {
			w := i.upgrade(t, i.session)
			go func() {
				w.Write(c.first)
				w.flood(slices.Repeat(c.again, 1000), 10_000)
			}()
			w.SetReadDeadline(time.Now().Add(2 * patience))
			if code := w.end(); code != 1008 && code != cut {
				t.Error("closed with", code)
			}
			innocent.works()
		})
	}
}

// TestPolitePings: pings at a rate that a client may have are all answered.
func TestPolitePings(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	w := i.upgrade(t, i.session)
	w.put(slices.Repeat(frame(last|ping, "x"), 50))
	for pongs := 0; pongs < 50; {
		opcode, payload, err := w.frame()
		if err != nil || opcode == closeFrame {
			t.Fatalf("after %d pongs: %v %q", pongs, err, payload)
		}
		if opcode == pong {
			pongs++
		}
	}
}

// TestUnreadAnswers: a peer that asks and does not read costs what 32 answers cost, whatever it asks for and however
// much. The kernel's buffers are bounded too, so that the server stops to take requests.
func TestUnreadAnswers(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	batch := "[" + strings.Repeat(call(1, "rpc.discover", "[]")+",", 99) + call(1, "rpc.discover", "[]") + "]"
	for _, c := range []struct {
		name, message string
		n             int
	}{
		{"from memory", call(1, "/v1/session/read", "[]"), 20_000},
		{"from the database", call(1, "/v1/api-tokens/read", "[]"), 20_000},
		{"large", call(1, "rpc.discover", "[]"), 20_000},
		{"batches", batch, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heap()
			w := i.upgrade(t, i.session)
			w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			w.Conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
			request := frame(last|text, c.message)
			flooded := make(chan int64, 1)
			go func() { flooded <- w.flood(request, c.n) }()
			grown := int64(0)
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				grown = max(grown, heap()-before) // before the server cuts it off, which sets all of it free
			}
			innocent.works()
			w.Close()
			sent := <-flooded / int64(len(request))
			t.Logf("sent %d of %d requests; the heap grew by %d KiB", sent, c.n, grown>>10)
			if grown > 16<<20 {
				t.Errorf("one connection holds %d MiB", grown>>20)
			}
			if sent == 0 || sent >= int64(c.n) {
				t.Errorf("%d of %d requests were taken", sent, c.n)
			}
		})
	}
	i.stopsWithin(t, 12*time.Second) // a reader that was cut off in the middle of its writing must come to its end
}

// TestUnreadEvents: a peer that never reads does not slow down who makes changes, is bounded in what it costs, and is
// sent off.
func TestUnreadEvents(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	publisher := i.dial(i.session, "")
	publisher.next()
	ask := func(method, params string) string {
		publisher.send(call(7, method, params))
		for {
			if answer := publisher.next(); strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":7`) {
				return answer
			}
		}
	}
	// Permissions with long names make events of 30 KiB, so that few of them overflow any queue.
	given := []string{}
	for n := range 200 {
		id := fmt.Sprintf("%064d", n)
		if answer := ask("/v1/permissions/create", `["`+id+`"]`); !strings.Contains(answer, `"result"`) {
			t.Fatal(answer)
		}
		given = append(given, `"`+id+`":true`)
	}
	token := ask("/v1/api-tokens/create", `["t",{"permissions":{`+strings.Join(given, ",")+`}}]`)
	_, token, _ = strings.Cut(token, `"id":"`)
	token, _, _ = strings.Cut(token, `"`)
	before := heap()
	var deaf []*wire
	for range 5 {
		w := i.upgrade(t, i.session)
		w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		deaf = append(deaf, w)
	}
	var slowest time.Duration
	for n := range 150 {
		begun := time.Now()
		if answer := ask("/v1/api-tokens/update-permissions", fmt.Sprintf(`[%q,{"%064d":%t}]`, token, 0, n%2 == 1)); !strings.Contains(answer, `"result"`) {
			t.Fatal(answer)
		}
		slowest = max(slowest, time.Since(begun))
	}
	if slowest > prompt {
		t.Error("a change took", slowest)
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("five deaf connections hold %d MiB", grown>>20)
	}
	var all sync.WaitGroup
	for _, w := range deaf {
		all.Go(func() {
			w.Conn.(*net.TCPConn).SetReadBuffer(1 << 20) // what is left shall come quickly
			w.SetReadDeadline(time.Now().Add(2 * patience))
			if code := w.end(); code != 4008 && code != cut {
				t.Error("closed with", code)
			}
		})
	}
	all.Wait()
}

// TestComeAndGo opens and drops 500 connections, each at a step of its life drawn by lot, while changes are made.
func TestComeAndGo(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	hello := fmt.Sprintf(handshake, i.session)
	request := string(frame(last|text, call(1, "/v1/api-tokens/read", "[]")))
	var all sync.WaitGroup
	slots := make(chan struct{}, 20)
	for range 500 {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			c, err := net.Dial("tcp", strings.TrimPrefix(i.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			whole := hello + strings.Repeat(request, 3)
			io.WriteString(c, whole[:rand.N(len(whole))])
			switch rand.N(3) {
			case 0: // gone without having read: the server gets a reset
				c.(*net.TCPConn).SetLinger(0)
			case 1:
				c.SetDeadline(time.Now().Add(100 * time.Millisecond)) // half a handshake has no answer
				c.Read(make([]byte, 1+rand.N(400)))
			}
		})
		if rand.N(20) == 0 {
			innocent.works()
		}
	}
	all.Wait()
	innocent.works()
	// Of all of them nothing may be left but the innocent one.
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(i.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if strings.Contains(string(body), "\ntokenwire_connections 1\n") {
			return
		}
		if time.Now().After(end) {
			_, count, _ := strings.Cut(string(body), "\ntokenwire_connections ")
			t.Fatalf("connections left: %.5s", count)
		}
	}
}

// TestBadGoodbye: a peer that is being sent off and goes on to misbehave must not make others wait. The server's part of
// the closing handshake gives such a peer seconds; they are nobody else's.
func TestBadGoodbye(t *testing.T) {
	t.Parallel()
	i := start(t, modelstest.SQLite(t))
	publisher := i.dial(i.session, "")
	for name, bad := range map[string][]byte{
		"unmasked frame":  {last | text, 2, '{', '}'},
		"negative length": header(last|text, 1<<63),
		"endless frame":   header(last|text, 1<<40),
		"endless binary":  header(last|binaryFrame, 1<<40),
		"silence":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			victim := i.signIn("admin", adminPassword)
			w := i.upgrade(t, victim)
			w.message()
			if status, answer := i.post("/api/v1/session/sign-out", victim, ""); status != 200 {
				t.Fatal(status, answer)
			}
			if code := w.end(); code != 4401 {
				t.Fatal("closed with", code)
			}
			w.put(bad)
			// What it sent must have been read before anybody can suffer; when it was, nothing says.
			time.Sleep(100 * time.Millisecond)
			publisher.works()
			w.Close()
		})
	}
	i.stopsWithin(t, 12*time.Second)
}

// TestEndlessMessage: a message that has begun must come to its end within 30 s, however busily its peer goes on.
func TestEndlessMessage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 30 s that such a message is given")
	}
	t.Parallel()
	i := start(t, modelstest.SQLite(t))
	silent, busy := i.upgrade(t, i.session), i.upgrade(t, i.session)
	silent.put(header(last|text, 1<<62))
	busy.put(header(last|text, 60<<10))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if _, err := busy.Write([]byte(" ")); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	begun := time.Now()
	for _, w := range []*wire{silent, busy} {
		w.SetReadDeadline(time.Now().Add(40 * time.Second))
		if code := w.end(); code != cut && code != int(websocket.StatusPolicyViolation) {
			t.Error("closed with", code)
		}
	}
	if took := time.Since(begun); took < 25*time.Second {
		t.Error("cut already after", took)
	}
}
