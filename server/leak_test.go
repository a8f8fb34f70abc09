//go:build linux

package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// usage is what connections could leave behind.
type usage struct{ goroutines, sockets, files int }

func used(t testing.TB) (u usage) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	u.goroutines = runtime.NumGoroutine()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the one that reads the folder
		}
		if u.files++; strings.HasPrefix(target, "socket:") {
			u.sockets++
		}
	}
	return u
}

// backTo waits until no more is used than before, and shows who is still there if it never comes to that.
func backTo(t testing.TB, before usage, what string) {
	t.Helper()
	var now usage
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now = used(t)
		if now.goroutines <= before.goroutines && now.sockets <= before.sockets && now.files <= before.files {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("%s: %+v is used, before it was %+v\n%.8000s", what, now, before, stacks)
}

// open makes a connection that is ready.
func (i *instance) open(ctx context.Context, credential string, client *http.Client) *websocket.Conn {
	i.t.Helper()
	ws, err := connect(ctx, i.url, credential, "", client)
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := (&follower{}).ready(ctx, ws); err != nil {
		i.t.Fatal(err)
	}
	return ws
}

// wantClose reads what a connection still tells, and then the code that the server closes it with.
func (i *instance) wantClose(ctx context.Context, ws *websocket.Conn, codes ...websocket.StatusCode) {
	i.t.Helper()
	defer ws.CloseNow()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			if !slices.Contains(codes, websocket.CloseStatus(err)) {
				i.t.Errorf("closed with %v, want %d", err, codes)
			}
			return
		}
	}
}

// ending makes a connection and ends it.
type ending struct {
	name string
	end  func()
}

// endings are how a connection may end while the server goes on; readers that are too slow take a test of their own.
func (i *instance) endings(ctx context.Context, ada person) []ending {
	return []ending{
		{"closed by the client", func() { i.open(ctx, ada.session, nil).Close(websocket.StatusNormalClosure, "") }},
		{"aborted", func() { i.open(ctx, ada.session, nil).CloseNow() }},
		{"reset", func() {
			var tcp *net.TCPConn
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, address)
				tcp, _ = c.(*net.TCPConn)
				return c, err
			}}}
			ws := i.open(ctx, ada.session, client)
			tcp.SetLinger(0)
			ws.CloseNow()
		}},
		{"aborted in the middle of calls", func() {
			ws := i.open(ctx, ada.session, nil)
			for id := range 20 {
				message := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"/v1/api-tokens/create","params":["x"]}`, id)
				if err := ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
					i.t.Fatal(err)
				}
			}
			ws.CloseNow()
		}},
		{"a binary frame (1003)", func() {
			ws := i.open(ctx, ada.session, nil)
			if err := ws.Write(ctx, websocket.MessageBinary, []byte("x")); err != nil {
				i.t.Fatal(err)
			}
			i.wantClose(ctx, ws, websocket.StatusUnsupportedData)
		}},
		{"its token disabled (4401)", func() {
			token, secret, err := i.store.CreateToken(ctx, ada.by(), "x", models.CreateTokenOptions{})
			if err != nil {
				i.t.Fatal(err)
			}
			ws := i.open(ctx, secret.Reveal(), nil)
			if _, err := i.store.SetTokenEnabled(ctx, ada.by(), token.ID, false, models.ChangeOptions{}); err != nil {
				i.t.Fatal(err)
			}
			i.wantClose(ctx, ws, 4401)
		}},
		{"signed out (4401)", func() {
			ws := i.open(ctx, i.signIn("ada", adminPassword), nil)
			if err := ws.Write(ctx, websocket.MessageText, []byte(`{"jsonrpc":"2.0","id":1,"method":"/v1/session/sign-out"}`)); err != nil {
				i.t.Fatal(err)
			}
			i.wantClose(ctx, ws, 4401)
		}},
		{"refused", func() {
			if _, err := connect(ctx, i.url, "tws_none", "", nil); err == nil {
				i.t.Fatal("a bad credential got a connection")
			}
		}},
	}
}

// However a connection ends, nothing of it is left: no goroutine, no socket.
func TestNothingIsLeftOfConnections(t *testing.T) {
	url := modelstest.SQLite(t) // whose pools do not grow; what is tested here knows nothing of databases
	before := used(t)
	i := start(t, url)
	ctx, cancel := context.WithTimeout(context.Background(), overall)
	defer cancel()
	ada := i.person("ada", models.Grants{models.PermissionVerify: true})
	many := times(15)
	i.end(ada)
	i.open(ctx, ada.session, nil).CloseNow() // the database's connections for reading are made when they are needed first
	for _, e := range i.endings(ctx, ada) {
		running := used(t)
		for range many {
			e.end()
		}
		running.files += 4 // SQLite's, which are made when they are needed and stay
		running.goroutines += 2
		backTo(t, running, e.name)
	}

	i.slowReaders(ctx, ada)

	var left []*websocket.Conn
	for range many {
		left = append(left, i.open(ctx, ada.session, nil))
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		i.stop()
	}()
	for _, ws := range left {
		i.wantClose(ctx, ws, websocket.StatusGoingAway)
	}
	<-stopped
	backTo(t, before, "the server stopped")
	if _, err := http.Get(i.url); err == nil {
		t.Error("it still answers")
	}
}

// slowReaders wants followers that do not read to be closed, and nothing of them to be left.
func (i *instance) slowReaders(ctx context.Context, ada person) {
	i.t.Helper()
	running := used(i.t)
	var slow []*websocket.Conn
	for range 3 {
		slow = append(slow, i.open(ctx, ada.session, tightClient()))
	}
	i.manyEvents(ada, 60, 70)
	for _, ws := range slow {
		i.wantClose(ctx, ws, 4008, -1) // or cut, where the events took over 10 s to make
	}
	running.files += 4 // as above
	running.goroutines += 2
	backTo(i.t, running, "too slow")
}

// TestNothingIsLeftOfVerifiers: however verifiers go, when their leases have run out no goroutine, no socket and no memory of
// them is left.
func TestNothingIsLeftOfVerifiers(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	_, token := i.make(`{}`)
	i.holding(t, time.Second, false, token) // and goes on: the database's connections are made when they are needed first
	running := used(t)
	for n := range times(5) {
		ctx, stop := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range 3 {
			v := newRawVerifier(i.url, i.session, time.Second)
			all.Go(func() { v.run(ctx) })
			v.mustHold(t, token)
			if n%2 == 0 {
				v.release(ctx)
			}
		}
		stop()
		all.Wait()
	}
	running.files += 4 // SQLite's, which are made when they are needed and stay
	running.goroutines += 2
	backTo(t, running, "verifiers came and went")
}
