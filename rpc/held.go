package rpc

import "sync/atomic"

// What verifiers hold on a node, under all their leases together: also under those whose connections have ended, which last until
// they run out. Each takes 90 to 320 bytes, by how many hold the same token. What is asked beyond is answered and not held.
const (
	maxHeldByAll  = 1_000_000
	maxHeldByUser = maxHeldByAll / 2 // so that one who holds all that he can leaves as much to the others
)

// share is how many tokens are held of those that may be: by all verifiers, or by one user's.
type share struct {
	held atomic.Int64
	most int64
}

// take counts one more, or reports false where there is no room.
func (s *share) take() bool {
	if s.held.Add(1) > s.most {
		s.give(1)
		return false
	}
	return true
}

// give counts n less.
func (s *share) give(n int) { s.held.Add(-int64(n)) }

// takeShares counts one more token of the lease, or reports false where there is no room.
func (l *lease) takeShares() bool {
	if !l.holder.held.take() {
		return false
	}
	if !l.all.take() {
		l.holder.held.give(1)
		return false
	}
	return true
}

// giveShares counts n tokens of the lease less.
func (l *lease) giveShares(n int) {
	l.holder.held.give(n)
	l.all.give(n)
}
