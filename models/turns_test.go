package models

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// Changes of one user take few of the database's connections. More wait, for as long as they like to, and hold up nobody else.
func TestChangesOfOneUser(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		by := func(userID string) Actor { return Actor{Identity: &Identity{UserID: userID}, ChangeID: NewChangeID()} }
		var entered, done atomic.Int64
		var all sync.WaitGroup
		hold := make(chan struct{})
		for range maxChangesOfUser + 1 {
			all.Go(func() {
				defer done.Add(1)
				if err := s.change(t.Context(), by("ada"), func(*change) error { entered.Add(1); <-hold; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		goOn := sync.OnceFunc(func() { close(hold); all.Wait() })
		defer goOn()
		at := int64(maxChangesOfUser)
		if s.write.Name() == "sqlite" {
			at = 1 // it has one writer
		}
		for deadline := time.Now().Add(10 * time.Second); entered.Load() < at || !s.turns.queue("ada"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d have begun", entered.Load())
			}
		}
		if n := entered.Load(); n != at {
			t.Errorf("%d are under way", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.change(ctx, by("ada"), func(*change) error { t.Error("a change of who has gone"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone is told %v", err)
		}
		if s.write.Name() != "sqlite" {
			if err := s.change(t.Context(), by("bob"), func(*change) error { return nil }); err != nil || done.Load() > 0 {
				t.Errorf("another user's: %v", err)
			}
		}
		goOn()
		if n := s.turns.Len(); n > 0 || entered.Load() != maxChangesOfUser+1 {
			t.Errorf("%d were made, and %d users have turns", entered.Load(), n)
		}
	})
}

// queue reports whether all of a user's turns are taken, and somebody waits.
func (t *Turns) queue(userID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.users[userID]
	return own != nil && len(own.taken) == t.most && own.refs > t.most
}
