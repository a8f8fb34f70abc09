package rpc

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// signsIn tries to sign in from an address, and returns what came of it: 0, or the code of the error.
func (l *lab) signsIn(username, password, address string) int64 {
	door := Door{Address: address, SignedIn: func(models.Secret, models.Time) {}}
	_, failed := l.s.Call(context.Background(), nil, door, "/v1/session/sign-in", fmt.Appendf(nil, "[%q,%q]", username, password))
	if failed != nil {
		return failed.Code
	}
	return 0
}

const signInPassword = "correct horse battery"

// TestGuessesAtSeveralNodes: who asks several nodes has no more guesses than who asks one, and others have theirs.
func TestGuessesAtSeveralNodes(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		key := filepath.Join(t.TempDir(), "key")
		a, b := newNode(t, url, key, Options{}), newNode(t, url, key, Options{})
		for n := range limitPair.burst {
			if code := []*lab{a, b}[n%2].signsIn("admin", "wrong", "192.0.2.1"); code != CodeUnauthorized {
				t.Fatalf("guess %d: %d", n, code)
			}
		}
		for _, l := range []*lab{a, b} {
			if code := l.signsIn("admin", signInPassword, "192.0.2.1"); code != CodeTooManyRequests {
				t.Errorf("one guess too many: %d", code)
			}
			if code := l.signsIn("admin", signInPassword, "192.0.2.2"); code != 0 {
				t.Errorf("from elsewhere: %d", code)
			}
		}
	})
}

// TestGuessesInTime: of attempts at two nodes there are as many as the limit says, however long it goes on.
func TestGuessesInTime(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		guesses := 0
		const minutes = 10
		for range minutes * 12 {
			for _, l := range nodes {
				if l.signsIn("admin", "wrong", "192.0.2.1") == CodeUnauthorized {
					guesses++
				}
			}
			time.Sleep(5 * time.Second)
		}
		if most := limitPair.burst + minutes*int(time.Minute/limitPair.every); guesses > most || guesses < most-2 {
			t.Errorf("%d guesses, want %d", guesses, most)
		}
	})
}

// TestWaitAsTold: who comes again when he was told to is let in.
func TestWaitAsTold(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		for range limitPair.burst {
			l.signsIn("admin", "wrong", "192.0.2.1")
			time.Sleep(1234567 * time.Nanosecond)
		}
		for range 10 {
			_, err := l.s.attempt(t.Context(), "admin", "192.0.2.1")
			if !isTooMany(err) {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(err.(*models.Error).Data["retryAfterMs"].(int64)) * time.Millisecond)
			if code := l.signsIn("admin", "wrong", "192.0.2.1"); code != CodeUnauthorized {
				t.Error("who waited waits again")
			}
		}
	})
}

// TestKnownToAllNodes: a source that has signed in to an account through one node is not locked out by others' guesses through
// another one.
func TestKnownToAllNodes(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		if code := a.signsIn("admin", signInPassword, "192.0.2.1"); code != 0 {
			t.Fatal(code)
		}
		if err := a.store.Take(t.Context(), a.store.Now(), []models.Bucket{{Key: "account admin", Take: 20 * time.Minute, Most: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		if code := b.signsIn("admin", signInPassword, "192.0.2.2"); code != CodeTooManyRequests {
			t.Error("a stranger:", code)
		}
		if code := b.signsIn("admin", signInPassword, "192.0.2.1"); code != 0 {
			t.Error("who is known:", code)
		}
		if n := b.row("SELECT COUNT(*) FROM attempts"); n != 2 {
			t.Error("rows:", n)
		}
	})
}

// TestSourceAtSeveralNodes: a source that tries one password on many accounts has no more attempts at several nodes.
func TestSourceAtSeveralNodes(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		for n := range limitSource.burst {
			if code := nodes[0].signsIn(fmt.Sprint("nobody", n), "wrong", "192.0.2.1"); code != CodeUnauthorized {
				t.Fatalf("attempt %d: %d", n, code)
			}
		}
		if code := nodes[1].signsIn("somebody", "wrong", "192.0.2.1"); code != CodeTooManyRequests {
			t.Error("one too many:", code)
		}
	})
}
