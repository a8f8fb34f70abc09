package models

import (
	"context"
	"errors"
	"slices"
	"time"
)

// endSteps are how many days before a token's end it is told of, the last step being the end itself. A token's row says how
// many of them have been told: so they are told once, whichever node finds them due, and a change of the end begins anew.
// Of several that are due at once only the last is told.
var endSteps = []int64{30, 7, 1, 0}

const (
	day       = 24 * hour // in milliseconds
	endsBatch = 500       // ends that are read at a time
)

// tellEnds tells of the ends of tokens, from when there is an observer until ctx ends.
func (s *Store) tellEnds(ctx context.Context) {
	select {
	case <-s.observed:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(s.options.EndsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for more := true; more && ctx.Err() == nil; {
			more, _ = s.TellEnds(ctx) // what failed is tried again at the next tick
		}
	}
}

// ending is a token that is near its end.
type ending struct {
	ID, UserID string
	ExpiresAt  Time
	EndTold    int64
}

// TellEnds tells of the ends of tokens that are due, and reports whether there may be more of them. What it looks through
// are those only: they stand together in an index.
func (s *Store) TellEnds(ctx context.Context) (more bool, err error) {
	now := s.now()
	for told, days := range slices.Backward(endSteps) { // the most urgent first
		var due []ending
		err := s.read.WithContext(ctx).Model(&Token{}).Where("end_told = ? AND expires_at <= ?", told, now+Time(days)*day).
			Order("expires_at").Limit(endsBatch).Find(&due).Error
		if err != nil {
			return false, err
		}
		var failed error
		for _, t := range due {
			failed = errors.Join(failed, s.tellEnd(ctx, t))
			if Away(failed) {
				break
			}
		}
		if failed != nil {
			return false, failed
		}
		more = more || len(due) == endsBatch
	}
	return more, nil
}

// tellEnd tells of the end of one token, if it is still what it was when it was found due.
func (s *Store) tellEnd(ctx context.Context, t ending) error {
	return s.change(ctx, Actor{ChangeID: NewChangeID()}, func(c *change) error {
		step := int64(len(endSteps)) - 1
		for step >= t.EndTold && c.now < t.ExpiresAt-Time(endSteps[step])*day {
			step--
		}
		if step < t.EndTold { // the clock has been put back
			return nil
		}
		result, err := c.exec("UPDATE api_tokens SET end_told = ? WHERE id = ? AND end_told = ? AND expires_at = ?", step+1, t.ID, t.EndTold, t.ExpiresAt)
		if err != nil {
			return err
		}
		if found, err := result.RowsAffected(); err != nil || found == 0 {
			return err
		}
		if days := endSteps[step]; days > 0 {
			return c.record(t.UserID, TokenExpiring, t.ID, TokenExpiringParams{t.ID, t.ExpiresAt, days})
		}
		return c.record(t.UserID, TokenExpired, t.ID, TokenExpiredParams{t.ID, t.ExpiresAt})
	})
}
