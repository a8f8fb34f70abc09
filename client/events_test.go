package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

const methodEnabled = "/v1/api-tokens/enabled-changed"

func (l *line) event(n int) {
	l.tell(methodEnabled, map[string]any{"position": fmt.Sprintf("%d-x", n), "tokenId": fmt.Sprint(n)})
}

// Events come in order, each once, over as many connections as it takes.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		o := s.options()
		o.Since = "41-x"
		s.ready["position"] = "41-x"
		s.on("/tell", func(l *line, _ *request) any { l.event(42); return nil })
		c := s.client(o)
		if err := c.Call(t.Context(), "/tell", nil, nil); err != nil { // told before anybody ranges
			t.Fatal(err)
		}
		events := c.Events(t.Context())
		go func() {
			for n := 43; n < 100; n++ {
				s.last().tell(methodHeartbeat, map[string]any{"position": fmt.Sprintf("%d-x", n-1)})
				if s.last().event(n); n%10 == 0 {
					synctest.Wait()
					s.mu.Lock()
					s.ready["position"], s.ready["reset"] = fmt.Sprintf("%d-x", n), n == 90
					s.mu.Unlock()
					s.last().cut()
					time.Sleep(20 * time.Second) // less than the silence that ends a connection
				}
			}
		}()
		next, resets, readies := 42, 0, 0
		for e, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			var params struct{ TokenID string }
			switch {
			case e.Reset:
				resets++
			case e.Method == methodReady:
				readies++
			case e.Decode(&params) != nil || e.Method != methodEnabled || e.Position != fmt.Sprintf("%d-x", next) || params.TokenID != fmt.Sprint(next):
				t.Fatalf("%+v where %d was due", e, next)
			default:
				next++
			}
			if next == 100 {
				break
			}
		}
		if resets != 1 || readies != 5 {
			t.Errorf("%d resets, %d ready", resets, readies)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, query := range s.queries[1:] {
			if want := fmt.Sprintf("since=%d-x", 50+10*min(i, 4)); i < 5 && query != want {
				t.Errorf("it connected with %s, not %s", query, want)
			}
		}
		if s.queries[0] != "since=41-x" || len(c.streams) != 0 {
			t.Errorf("%s, %d streams", s.queries[0], len(c.streams))
		}
	})
}

// Who reads too slowly is told so, after what was kept, and holds up nobody.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		c := s.client(s.options())
		slow, quick := c.Events(t.Context()), c.Events(t.Context())
		heard := make(chan int)
		go func() {
			n := 0
			for _, err := range quick {
				if err != nil {
					break
				}
				n++
			}
			heard <- n
		}()
		for n := range 2 * maxWaiting {
			s.last().event(n)
			synctest.Wait()
		}
		n, last := 0, ""
		for e, err := range slow {
			if err != nil {
				if !errors.Is(err, ErrTooSlow) {
					t.Error(err)
				}
				break
			}
			n, last = n+1, e.Position
		}
		if n != maxWaiting || last != fmt.Sprintf("%d-x", maxWaiting-1) {
			t.Errorf("%d events, the last is %s", n, last)
		}
		c.Close()
		if n := <-heard; n != 2*maxWaiting {
			t.Errorf("the other one heard %d", n)
		}
	})
}

func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		c := s.client(s.options())
		ctx, cancel := context.WithCancel(t.Context())
		events, never := c.Events(ctx), c.Events(ctx)
		_ = never // not ranged over: it ends with ctx nevertheless
		s.last().event(1)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(c.streams) != 0 {
			t.Errorf("%d streams are left", len(c.streams))
		}
		n := 0
		for _, err := range events {
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d", n)
		}
		rest := c.Events(t.Context())
		s.last().tell(methodEnded, map[string]any{"reason": "token-deleted"})
		s.last().ws.Close(closeEnded, "")
		var ended *EndedError
		for _, err := range rest {
			if err != nil && !errors.As(err, &ended) {
				t.Error(err)
			}
		}
		if ended == nil || ended.Reason != "token-deleted" {
			t.Errorf("%v", ended)
		}
	})
}
