package server_test

import (
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// stopsWithin stops the server and fails the test if that takes longer. It does not wait for ever, so that a server that
// hangs fails one test and not all.
func (i *instance) stopsWithin(t testing.TB, limit time.Duration) {
	t.Helper()
	begun := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); i.stop() }()
	select {
	case <-done:
		if took := time.Since(begun); took > limit {
			t.Errorf("the server took %v to stop", took)
		}
	case <-time.After(limit + patience):
		t.Errorf("the server has not stopped after %v:\n%s", time.Since(begun), strings.Join(goroutines(), "\n\n"))
	}
}

// goroutines returns the stacks of those that run the product's code.
func goroutines() []string {
	b := make([]byte, 4<<20)
	var ours []string
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, "tokenwire/server.") || strings.Contains(stack, "tokenwire/rpc.") || strings.Contains(stack, "tokenwire/models.") {
			ours = append(ours, stack)
		}
	}
	return ours
}

// TestStopUnderWay stops the server while calls are under way. Each gets its reply, then the connection is told to go.
func TestStopUnderWay(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		c := i.dial(i.session, "")
		c.next()
		// A sign-in's hash, through the other door, takes tens of milliseconds: it is under way when the server stops.
		signedIn := make(chan int, 1)
		go func() {
			response, err := http.Post(i.url+"/api/v1/session/sign-in", "", strings.NewReader(`["admin","`+adminPassword+`"]`))
			if err != nil {
				signedIn <- 0
				return
			}
			response.Body.Close()
			signedIn <- response.StatusCode
		}()
		const n = 32
		for id := range n {
			c.send(call(id, "/v1/api-tokens/create", `["t"]`))
		}
		first := c.next() // the server works on them now
		go i.stop()
		replies := 0
		for message := first; ; {
			if strings.Contains(message, `"id":`) && strings.Contains(message, `"result":{"id"`) {
				replies++
			}
			var err error
			if message, err = c.read(); err != nil {
				if !strings.Contains(err.Error(), "StatusGoingAway") {
					t.Error(err)
				}
				break
			}
		}
		// What the server had read is answered. What was still on its way to it is not; the client tries that again.
		if replies == 0 {
			t.Error("no call was answered")
		}
		if status := <-signedIn; status != 200 && status != 0 {
			t.Error("a sign-in under way got", status)
		}
	})
}

// TestDoorsOfAStoppingServer: while connections are told to go, a proxy hears that it is to leave, nobody connects, and calls are
// answered.
func TestDoorsOfAStoppingServer(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	_, token := i.make(`{}`)
	v := i.holding(t, time.Minute, true, token)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		i.stopsWithin(t, patience/2)
	}()
	until(t, patience, "the verifier to be asked to let go", func() bool { return v.told() > 0 }) // it does not, and is waited for
	get := func(path string) *http.Response {
		response, err := http.Get(i.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	if r := get("/readyz"); r.StatusCode != 503 {
		t.Error("/readyz:", r.Status)
	}
	if r := get("/api"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Error("an upgrade:", r.Status, r.Header)
	}
	r, err := http.Post(i.url+"/api/rpc.discover", "", strings.NewReader("[]"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 || !r.Close {
		t.Error("a call:", r.Status, r.Close)
	}
	<-stopped
}

// TestStopped: when Serve has returned, nothing of the server is left, whatever its connections were doing, and nobody
// gets in any more.
func TestStopped(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	idle := i.dial(i.session, "")
	idle.next()
	go idle.read() // answers the closing handshake
	i.upgrade(t, i.session)
	i.upgrade(t, i.session).put(frame(text, "{")) // in the middle of a message
	i.upgrade(t, i.session).put(frame(last|text, call(1, "/v1/api-tokens/create", `["x"]`)))
	i.tcp(t).put([]byte("GET /api HT"))
	i.tcp(t).put([]byte("POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")) // in the middle of a body
	i.tcp(t)
	i.stopsWithin(t, 12*time.Second)
	if _, err := net.Dial("tcp", strings.TrimPrefix(i.url, "http://")); err == nil {
		t.Error("a stopped server takes connections")
	}
	for end := time.Now().Add(time.Second); len(goroutines()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left behind:\n%s", strings.Join(goroutines(), "\n\n"))
		}
	}
}

// TestStopHostile: no peer can delay the stop beyond the 10 s that calls under way are given, and what it takes to cut off.
func TestStopHostile(t *testing.T) {
	t.Parallel()
	for name, misbehave := range map[string]func(w *wire){
		"reads nothing": func(w *wire) {
			w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			go w.flood(frame(last|text, call(1, "rpc.discover", "[]")), 2000)
		},
		"claims an endless binary frame": func(w *wire) { w.put(header(last|binaryFrame, 1<<40)) },
		"claims an endless frame":        func(w *wire) { w.put(header(last|text, 1<<40)) },
		"says no goodbye":                func(*wire) {},
		"is cut off while it is written to": func(w *wire) {
			w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			w.flood(frame(last|text, call(1, "rpc.discover", "[]")), 2000)
			w.Conn.(*net.TCPConn).SetLinger(0)
			w.Close()
		},
		"answers goodbye with an endless frame": func(w *wire) {
			go func() {
				w.end()
				w.Write(header(last|text, 1<<40))
			}()
		},
		"breaks the protocol when told to go": func(w *wire) {
			go func() {
				w.end()
				w.Write([]byte{last | text, 2, '{', '}'})
			}()
		},
		"goes on sending when told to go": func(w *wire) {
			go func() {
				w.end()
				w.flood(frame(last|text, call(1, "/v1/session/read", "[]")), 1_000_000)
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := start(t, modelstest.SQLite(t))
			w := i.upgrade(t, i.session)
			w.message()
			misbehave(w)
			time.Sleep(200 * time.Millisecond) // for the server to have read it; nothing says when
			i.stopsWithin(t, 12*time.Second)
		})
	}
}
