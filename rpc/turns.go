package rpc

import (
	"context"
	"sync"
)

// maxReadsOfUser is how many calls that go through many rows one user may have under way here, over all his connections. The
// databases' readers are few, and one who asks again and again must leave some of them to all others.
const maxReadsOfUser = 2

// turns lets each user have a few such calls under way. More wait for their turn, in their order.
type turns struct {
	mu    sync.Mutex
	users map[string]*turn
}

// turn is one user's: room that is taken, and how many have or want it.
type turn struct {
	taken chan struct{}
	refs  int // guarded by turns.mu
}

func newTurns() *turns { return &turns{users: map[string]*turn{}} }

// enter returns when it is a call's turn, and what to call when that is over; or as ctx ends, with its error.
func (t *turns) enter(ctx context.Context, userID string) (leave func(), err error) {
	t.mu.Lock()
	own := t.users[userID]
	if own == nil {
		own = &turn{taken: make(chan struct{}, maxReadsOfUser)}
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

func (t *turns) release(userID string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.refs--; own.refs == 0 {
		delete(t.users, userID)
	}
}

// call runs a method, in its turn if it is one that goes through many rows.
func (s *Service) call(ctx context.Context, m *method, c *Call, params []byte) ([]byte, error) {
	if m.scans {
		leave, err := s.turns.enter(ctx, c.caller.UserID)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	return m.call(ctx, c, params)
}
