package models

import (
	"context"
	"database/sql"
	"strings"
)

// Lookout tells cheaply whether anything was committed to many feeds. One goroutine uses it.
type Lookout struct {
	store *Store
	conn  *sql.Conn // of SQLite: the one that commits are counted on; nil for none
	seen  int64     // the count at the last look
	now   int64     // and at this one
}

// Lookout returns one. Close ends it.
func (s *Store) Lookout() *Lookout { return &Lookout{store: s} }

// Quiet reports whether nothing at all was committed since Seen was last called: never, where the database cannot say that at
// once.
func (l *Lookout) Quiet(ctx context.Context) bool {
	if l.store.follow.Name() != "sqlite" {
		return false
	}
	if l.conn == nil {
		pool, err := l.store.follow.DB()
		if err != nil {
			return false
		}
		if l.conn, err = pool.Conn(ctx); err != nil {
			l.conn = nil
			return false
		}
		l.seen = 0
	}
	// It counts what others than this connection have committed.
	if err := l.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&l.now); err != nil {
		l.Close()
		return false
	}
	return l.now == l.seen
}

// Seen notes that all that was committed before the last Quiet has been seen to.
func (l *Lookout) Seen() { l.seen = l.now }

// Close gives back what it has of the store. It may be used again.
func (l *Lookout) Close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn, l.now, l.seen = nil, 0, 0
	}
}

// Group is users whose feeds are looked at together.
type Group struct{ query string }

// NewGroup returns a group of users, or nil if one of the ids is none.
func NewGroup(userIDs []string) *Group {
	var b strings.Builder
	b.Grow(len(userIDs)*(idLength+3) + 100)
	b.WriteString("SELECT COUNT(*), COALESCE(SUM(position), 0) FROM feeds WHERE user_id IN (")
	for i, id := range userIDs {
		if !isBase62(id, idLength) { // so that it can stand in the statement, which need not be made again for each look
			return nil
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		b.WriteString(id)
		b.WriteByte('\'')
	}
	b.WriteByte(')')
	return &Group{b.String()}
}

// SumPositions returns how many users of a group have feeds, and the sum of where these stand: it grows with each event.
func (s *Store) SumPositions(ctx context.Context, g *Group) (feeds int, sum int64, err error) {
	pool, err := s.follow.DB()
	if err == nil {
		err = pool.QueryRowContext(ctx, g.query).Scan(&feeds, &sum)
	}
	return feeds, sum, err
}
