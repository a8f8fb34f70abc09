//go:build linux

package server_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// The tests of this file run the program itself, since what is tested is what a process leaves behind.
func TestCrashes(t *testing.T) {
	t.Parallel()
	t.Run("program killed", func(t *testing.T) { modelstest.Each(t, killProgram) })
	t.Run("database killed", killDatabase)
	t.Run("database frozen", freezeDatabase)
	t.Run("terminated", func(t *testing.T) { modelstest.Each(t, terminate) })
}

// chase follows the administrator's feed through every end of the program until a token "the end" is made.
func (p *program) chase(ctx context.Context) (f *follower, done chan struct{}) {
	f, done = &follower{credential: p.session}, make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := f.follow(ctx, p.URL(), 0, nil); err != nil {
			p.t.Error(err)
		}
		close(begun)
		for {
			finished, err := f.follow(ctx, p.URL(), 1<<30, isEnd)
			var bad wrong
			if finished || ctx.Err() != nil || errors.As(err, &bad) {
				if !finished {
					p.t.Error("the follower ended:", err)
				}
				return
			}
			time.Sleep(10 * time.Millisecond) // as a client does, if not for as long
		}
	}()
	<-begun
	return f, done
}

// finish stops the load, ends the chase and holds everything against everything.
func (p *program) finish(l *load, f *follower, done chan struct{}) {
	p.t.Helper()
	l.stop()
	if status, answer, err := p.post(context.Background(), "/v1/api-tokens/create", `["the end"]`); err != nil || status != 200 {
		p.t.Fatalf("%d %s %v", status, answer, err)
	}
	<-done
	f.mustCheck(p.t, l.verify(p.t, p, false))
	l.mu.Lock()
	defer l.mu.Unlock()
	p.t.Logf("%d changes were answered; answers by status: %v; the follower had %d connections", len(l.answered), l.statuses, f.cuts)
}

// What was answered is there, whole, with its event; what was not is there whole or not at all; followers get it all.
func killProgram(t *testing.T, url string) {
	t.Parallel()
	p := run(t, url)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	for range times(3) {
		l.more(t, 120)
		p.Kill()
		p.Start()
	}
	l.more(t, 20)
	p.finish(l, f, done)
	if n := l.status(http.StatusOK) + l.status(0); n != sum(l.statuses) {
		t.Errorf("answers by status: %v", l.statuses)
	}
}

func sum(statuses map[int]int) (n int) {
	for _, count := range statuses {
		n += count
	}
	return n
}

// While its database is away the program lives, says 503, and afterwards goes on by itself.
func killDatabase(t *testing.T) {
	t.Parallel()
	server := modelstest.StartServer(t)
	p := run(t, server.URL())
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	for range times(2) {
		l.more(t, 60)
		refusals := l.status(http.StatusServiceUnavailable)
		server.Kill()
		until(t, patience, "/readyz to say 503", func() bool { return p.Ready() == http.StatusServiceUnavailable })
		until(t, patience, "calls to be refused", func() bool { return l.status(http.StatusServiceUnavailable) > refusals+10 })
		server.Start()
		until(t, patience, "/readyz to say 200", func() bool { return p.Ready() == http.StatusOK })
	}
	l.more(t, 20)
	p.finish(l, f, done)
	onlyGoodAnswers(t, p, l)
}

// frozenFor is longer than /readyz waits for the database, and shorter than a call does.
const frozenFor = 3 * time.Second

func freezeDatabase(t *testing.T) {
	t.Parallel()
	server := modelstest.StartServer(t)
	p := run(t, server.URL())
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	l.more(t, 60)
	server.Freeze()
	frozen := time.Now()
	until(t, patience, "/readyz to say 503", func() bool { return p.Ready() == http.StatusServiceUnavailable })
	time.Sleep(frozenFor*time.Duration(times(1)) - time.Since(frozen))
	server.Thaw()
	until(t, patience, "/readyz to say 200", func() bool { return p.Ready() == http.StatusOK })
	l.more(t, 20)
	p.finish(l, f, done)
	onlyGoodAnswers(t, p, l)
}

// onlyGoodAnswers wants calls to have been answered, with success or 503, by a program that never went.
func onlyGoodAnswers(t *testing.T, p *program, l *load) {
	t.Helper()
	if n := l.status(http.StatusOK) + l.status(http.StatusServiceUnavailable); n != sum(l.statuses) || !p.Running() {
		t.Errorf("answers by status: %v; running: %v", l.statuses, p.Running())
	}
}

// stopLimit is how long a program may take to end when it is asked to.
const stopLimit = 10 * time.Second

// farewells are the codes that connections were closed with.
type farewells struct {
	t     *testing.T
	mu    sync.Mutex
	codes map[websocket.StatusCode]int
}

// add wants a connection to have been told to go.
func (f *farewells) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.codes[websocket.CloseStatus(err)]++; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		f.t.Errorf("a connection ended with %v", err)
	}
}

// overHTTP is a door for a load that goes on until the program is gone.
func (p *program) overHTTP(ctx context.Context, method, params string) (int, []byte, error) {
	status, answer, err := p.post(ctx, method, params)
	if errors.Is(err, syscall.ECONNREFUSED) {
		status = -1 // it is gone
	}
	return status, answer, err
}

// overWebSocket opens a door that is a connection, and lasts until that is closed.
func (p *program) overWebSocket(ctx context.Context, ends *farewells) perform {
	ws, err := connect(ctx, p.URL(), p.session, "", nil)
	if err != nil {
		p.t.Error(err)
		return p.overHTTP
	}
	p.t.Cleanup(func() { ws.CloseNow() })
	c := &caller{ws: ws}
	return func(ctx context.Context, method, params string) (int, []byte, error) {
		result, code, err := c.call(ctx, method, rawParams(params))
		if err != nil {
			ends.add(err)
			return -1, nil, err
		}
		if code == 0 {
			code = http.StatusOK
		}
		return code, result, nil
	}
}

// Asked to end, the program answers what is under way, tells its connections to go, and leaves the database closed:
// nothing is in it that was not answered.
func terminate(t *testing.T, url string) {
	p := run(t, url)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	idle, err := connect(ctx, p.URL(), p.session, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.CloseNow()
	ends := &farewells{t: t, codes: map[websocket.StatusCode]int{}}
	l := work(8, func(n int) perform {
		if n%2 == 0 {
			return p.overWebSocket(ctx, ends)
		}
		return p.overHTTP
	})
	defer l.stop()
	l.more(t, 80)
	asked := time.Now()
	p.Terminate()
	for { // what the feed still tells, and then the end
		if _, _, err := idle.Read(ctx); err != nil {
			ends.add(err)
			break
		}
	}
	p.Stopped(stopLimit - time.Since(asked))
	l.stop()
	if file := models.DatabaseFile(url); file != "" {
		if left, _ := filepath.Glob(file + "-*"); len(left) > 0 {
			t.Errorf("the database was not closed: it left %q", left)
		}
	}
	l.verify(t, p, true)
	ends.mu.Lock()
	defer ends.mu.Unlock()
	if ends.codes[websocket.StatusGoingAway] != 5 {
		t.Errorf("of 5 connections, by close code: %v", ends.codes)
	}
	if strings.Contains(p.Log(), "level=ERROR") {
		t.Errorf("it ended with errors in its log")
	}
	t.Logf("%d changes were answered, it ended after %v; answers by status: %v", l.changes(), time.Since(asked).Round(time.Millisecond), l.statuses)
}

// rawParams are params that are JSON already.
type rawParams string

// MarshalJSON returns them as they are.
func (r rawParams) MarshalJSON() ([]byte, error) { return []byte(r), nil }
