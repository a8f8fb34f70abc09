package models

import (
	"context"
	"sync"
	"time"

	"gorm.io/gorm"
)

// Uses of credentials are remembered in memory and written in batches, so that no call waits for such a write.
const (
	seenEvery = 5 * time.Second
	seenMax   = 100_000 // credentials between two writes; more are not remembered until the next write
	seenBatch = 500     // updates in one transaction
)

// seen remembers when credentials were last used.
type seen struct {
	mu   sync.Mutex
	last map[Credential]Time
}

func (s *seen) init() { s.last = map[Credential]Time{} }

func (s *seen) mark(c Credential, now Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.last[c]; known || len(s.last) < seenMax {
		s.last[c] = max(s.last[c], now)
	}
}

func (s *seen) take() map[Credential]Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	s.last = map[Credential]Time{}
	return last
}

// Seen notes that a credential is in use.
func (s *Store) Seen(c Credential) { s.seen.mark(c, s.now()) }

// writeSeen writes what seen remembers, every few seconds and once more when ctx ends.
func (s *Store) writeSeen(ctx context.Context) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.FlushSeen(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenEvery)
			defer cancel()
			s.FlushSeen(last)
			return
		}
	}
}

// FlushSeen writes when credentials were last used. What cannot be written is remembered again.
func (s *Store) FlushSeen(ctx context.Context) error {
	var failed error
	batch := make(map[Credential]Time, seenBatch)
	flush := func() {
		if err := s.writeSeenBatch(ctx, batch); err != nil {
			failed = err
			for c, t := range batch {
				s.seen.mark(c, t)
			}
		}
		clear(batch)
	}
	for c, t := range s.seen.take() {
		if batch[c] = t; len(batch) == seenBatch {
			flush()
		}
	}
	if len(batch) > 0 {
		flush()
	}
	return failed
}

func (s *Store) writeSeenBatch(ctx context.Context, batch map[Credential]Time) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		for c, t := range batch {
			statement := "UPDATE api_tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"
			if c.Kind == KindSession {
				statement = "UPDATE sessions SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?"
			}
			if err := tx.Exec(statement, t, c.ID, t).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// Used counts uses of a token.
func (s *Store) Used(tokenID string, allowed, denied int64) {}
