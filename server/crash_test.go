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
	binary := build(t)
	t.Run("program killed", func(t *testing.T) {
		modelstest.Each(t, func(t *testing.T, url string) { killProgram(t, binary, url) })
	})
	t.Run("database killed", func(t *testing.T) { killDatabase(t, binary) })
	t.Run("database frozen", func(t *testing.T) { freezeDatabase(t, binary) })
	t.Run("terminated", func(t *testing.T) {
		modelstest.Each(t, func(t *testing.T, url string) { terminate(t, binary, url) })
	})
}

// What was answered is there, whole, with its event; what was not is there whole or not at all; followers get it all.
func killProgram(t *testing.T, binary, url string) {
	p := run(t, binary, url)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	for range times(3) {
		l.more(t, 120)
		p.kill()
		p.start()
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
func killDatabase(t *testing.T, binary string) {
	server := modelstest.StartServer(t)
	p := run(t, binary, server.URL())
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	for range times(2) {
		l.more(t, 60)
		refusals := l.status(http.StatusServiceUnavailable)
		server.Kill()
		until(t, patience, "/readyz to say 503", func() bool { return p.ready() == http.StatusServiceUnavailable })
		until(t, patience, "calls to be refused", func() bool { return l.status(http.StatusServiceUnavailable) > refusals+10 })
		server.Start()
		until(t, patience, "/readyz to say 200", func() bool { return p.ready() == http.StatusOK })
	}
	l.more(t, 20)
	p.finish(l, f, done)
	onlyGoodAnswers(t, p, l)
}

// frozenFor is longer than /readyz waits for the database, and shorter than a call does.
const frozenFor = 3 * time.Second

func freezeDatabase(t *testing.T, binary string) {
	server := modelstest.StartServer(t)
	p := run(t, binary, server.URL())
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	f, done := p.chase(ctx)
	l := work(6, func(int) perform { return p.post })
	defer l.stop()
	l.more(t, 60)
	server.Freeze()
	frozen := time.Now()
	until(t, patience, "/readyz to say 503", func() bool { return p.ready() == http.StatusServiceUnavailable })
	time.Sleep(frozenFor*time.Duration(times(1)) - time.Since(frozen))
	server.Thaw()
	until(t, patience, "/readyz to say 200", func() bool { return p.ready() == http.StatusOK })
	l.more(t, 20)
	p.finish(l, f, done)
	onlyGoodAnswers(t, p, l)
}

// onlyGoodAnswers wants calls to have been answered, with success or 503, by a program that never went.
func onlyGoodAnswers(t *testing.T, p *program, l *load) {
	t.Helper()
	if n := l.status(http.StatusOK) + l.status(http.StatusServiceUnavailable); n != sum(l.statuses) || !p.running() {
		t.Errorf("answers by status: %v; running: %v", l.statuses, p.running())
	}
}

// stopLimit is how long a program may take to end when it is asked to.
const stopLimit = 10 * time.Second

// Asked to end, the program answers what is under way, tells its connections to go, and leaves the database closed:
// nothing is in it that was not answered.
func terminate(t *testing.T, binary, url string) {
	p := run(t, binary, url)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
	defer cancel()
	idle, err := connect(ctx, p.url(), p.session, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.CloseNow()
	var mu sync.Mutex
	codes := map[websocket.StatusCode]int{}
	ended := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if codes[websocket.CloseStatus(err)]++; websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("a connection ended with %v", err)
		}
	}
	overHTTP := func(ctx context.Context, method, params string) (int, []byte, error) {
		status, answer, err := p.post(ctx, method, params)
		if errors.Is(err, syscall.ECONNREFUSED) {
			status = -1 // it is gone
		}
		return status, answer, err
	}
	overWebSocket := func() perform {
		ws, err := connect(ctx, p.url(), p.session, "", nil)
		if err != nil {
			t.Error(err)
			return overHTTP
		}
		t.Cleanup(func() { ws.CloseNow() })
		c := &caller{ws: ws}
		return func(ctx context.Context, method, params string) (int, []byte, error) {
			result, code, err := c.call(ctx, method, rawParams(params))
			if err != nil {
				ended(err)
				return -1, nil, err
			}
			if code == 0 {
				code = http.StatusOK
			}
			return code, result, nil
		}
	}
	l := work(8, func(n int) perform {
		if n%2 == 0 {
			return overWebSocket()
		}
		return overHTTP
	})
	defer l.stop()
	l.more(t, 80)
	asked := time.Now()
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // what the feed still tells, and then the end
		if _, _, err := idle.Read(ctx); err != nil {
			ended(err)
			break
		}
	}
	select {
	case <-p.exited:
	case <-time.After(stopLimit - time.Since(asked)):
		t.Fatalf("still there after %v", stopLimit)
	}
	if p.state != nil {
		t.Errorf("ended with %v", p.state)
	}
	l.stop()
	if file := models.DatabaseFile(url); file != "" {
		if left, _ := filepath.Glob(file + "-*"); len(left) > 0 {
			t.Errorf("the database was not closed: it left %q", left)
		}
	}
	l.verify(t, p, true)
	mu.Lock()
	defer mu.Unlock()
	if codes[websocket.StatusGoingAway] != 5 {
		t.Errorf("of 5 connections, by close code: %v", codes)
	}
	if strings.Contains(p.log.String(), "level=ERROR") {
		t.Errorf("it ended with errors in its log")
	}
	t.Logf("%d changes were answered, it ended after %v; answers by status: %v", l.changes(), time.Since(asked).Round(time.Millisecond), l.statuses)
}

// rawParams are params that are JSON already.
type rawParams string

// MarshalJSON returns them as they are.
func (r rawParams) MarshalJSON() ([]byte, error) { return []byte(r), nil }
