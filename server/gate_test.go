package server

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestGate: a few go through at once, more wait for their turn, and whom it takes too long for is sent away, the last at once.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(prometheus.NewRegistry())
		var leaves []func()
		for range maxUpgrades {
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		var mu sync.Mutex
		var through, refused int
		for range maxUpgradesWaiting {
			go func() {
				leave, err := g.enter(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused++
					return
				}
				through++
				leave()
			}()
		}
		synctest.Wait()
		if _, err := g.enter(t.Context()); err != errTooManyUpgrades {
			t.Error("one too many:", err)
		}
		if through+refused > 0 {
			t.Error(through, "are through before the first have left, and refused are", refused)
		}
		for _, leave := range leaves[1:] {
			leave()
		}
		synctest.Wait()
		if through != maxUpgradesWaiting {
			t.Error(through, "are through")
		}
	})
}

// TestGateIsLeft: who waits too long is told so, and one that has gone waits no longer.
func TestGateIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(prometheus.NewRegistry())
		for range maxUpgrades {
			g.enter(t.Context())
		}
		began := time.Now()
		if _, err := g.enter(t.Context()); err != errTooManyUpgrades || time.Since(began) != upgradeWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.enter(ctx); err == nil || g.waiting.Load() != 0 {
			t.Error(err, g.waiting.Load())
		}
	})
}

// TestUpgradeRetry: those who are sent away are not told to come again all at once.
func TestUpgradeRetry(t *testing.T) {
	s := &Server{}
	s.stopping.Store(true)
	s.origins, _ = parseOrigins(nil)
	after := map[string]int{}
	for range 200 {
		w := httptest.NewRecorder()
		s.upgrade(w, httptest.NewRequest("GET", "/api", nil))
		if w.Code != 503 {
			t.Fatal(w.Code)
		}
		after[w.Header().Get("Retry-After")]++
	}
	if len(after) != 4 || after["1"] == 0 || after["4"] == 0 {
		t.Error("they are told to come again after", after)
	}
}
