package models

import (
	"context"
	"sync"
)

// maxChangesOfUser is how many changes one user may have under way here. They wait for each other in the database, each with one of
// its connections: a user who makes many at once must leave some of them to all others. One at a time would leave it idle
// while the next one is on its way.
const maxChangesOfUser = 4

// Turns let each user do a few things of a kind at the same time. More wait for their turn, in their order.
type Turns struct {
	most  int
	mu    sync.Mutex
	users map[string]*turn
}

// turn is one user's: room that is taken, and how many have or want it.
type turn struct {
	taken chan struct{}
	refs  int // guarded by Turns.mu
}

// NewTurns returns turns of so many at the same time.
func NewTurns(most int) *Turns { return &Turns{most: most, users: map[string]*turn{}} }

// Enter returns when it is a caller's turn, and what to call when that is over; or as ctx ends, with its error.
func (t *Turns) Enter(ctx context.Context, userID string) (leave func(), err error) {
	t.mu.Lock()
	own := t.users[userID]
	if own == nil {
		own = &turn{taken: make(chan struct{}, t.most)}
		t.users[userID] = own
	}
	own.refs++
	t.mu.Unlock()
	select {
	case own.taken <- struct{}{}:
		return func() {
			<-own.taken
			t.release(userID, own)
		}, nil
	case <-ctx.Done():
		t.release(userID, own)
		return nil, ctx.Err()
	}
}

func (t *Turns) release(userID string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.refs--; own.refs == 0 {
		delete(t.users, userID)
	}
}

// Len returns how many users have or want a turn.
func (t *Turns) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.users)
}
