package models

import (
	"context"

	"gorm.io/gorm"
)

// TokenCount is how many tokens a user has. Each token is one of enabled, disabled and expired.
type TokenCount struct {
	Total    int64    `json:"total"`
	Enabled  int64    `json:"enabled" doc:"switched on, and not expired"`
	Disabled int64    `json:"disabled" doc:"switched off, and not expired"`
	Expired  int64    `json:"expired" doc:"past expiresAt, whether switched on or off"`
	Position Position `json:"position"`
}

// countTokens is one pass over a user's tokens. NULL is not past anything.
const countTokens = `COUNT(*), COUNT(CASE WHEN expires_at <= ? THEN 1 END), COUNT(CASE WHEN enabled AND (expires_at IS NULL OR expires_at > ?) THEN 1 END)`

// CountOptions say which tokens to count.
type CountOptions struct {
	Where TokenWhere `json:"where,omitzero" doc:"conditions, all of which must hold"`
}

// CountTokens counts the tokens of the caller's user.
func (s *Store) CountTokens(ctx context.Context, caller *Identity, o CountOptions) (TokenCount, error) {
	var out TokenCount
	now := s.now()
	err := s.snapshot(ctx, func(tx *gorm.DB) (err error) {
		if out.Position, err = position(tx, caller.UserID); err != nil {
			return err
		}
		q := o.Where.on(tx.Model(&Token{}).Where("user_id = ?", caller.UserID), now)
		return q.Select(countTokens, now, now).Row().Scan(&out.Total, &out.Expired, &out.Enabled)
	})
	out.Disabled = out.Total - out.Enabled - out.Expired
	return out, err
}

const (
	maxCounted = 10_000    // positions of a feed that are looked at to count changes: a few milliseconds' work, which anybody may ask for
	hour       = 3_600_000 // in milliseconds
)

// EventHour is how many changes an hour had.
type EventHour struct {
	From    Time  `json:"from" doc:"the hour's beginning, a full hour in UTC"`
	Changes int64 `json:"changes"`
}

// EventCount is how many changes a feed tells of, by the hour.
type EventCount struct {
	Hours    []EventHour `json:"hours" doc:"the hours that had any, oldest first"`
	From     Time        `json:"from" doc:"the time of the oldest change that is counted, or now if there is none"`
	Complete bool        `json:"complete" doc:"whether the whole feed was looked at, as far as it is kept"`
}

// CountEvents counts, by the hour, what ReadEvents would give of the newest maxCounted positions.
func (s *Store) CountEvents(ctx context.Context, caller *Identity) (EventCount, error) {
	out := EventCount{Hours: []EventHour{}, From: s.now()}
	var rows []struct {
		Began, Oldest Time
		Changes       int64
	}
	err := s.snapshot(ctx, func(tx *gorm.DB) error {
		last, err := position(tx, caller.UserID)
		if err != nil {
			return err
		}
		before := last.Number - maxCounted // the last position that is not looked at
		const none = "SELECT NOT EXISTS (SELECT 1 FROM events WHERE user_id = ? AND position <= ?)"
		if err := tx.Raw(none, caller.UserID, before).Scan(&out.Complete).Error; err != nil {
			return err
		}
		// The remainder, as integers are divided differently by the two databases.
		return told(tx.Model(&Event{}), caller).Where("position > ?", before).Select("time - time % ? AS began, MIN(time) AS oldest, COUNT(*) AS changes", hour).
			Group("began").Order("began").Scan(&rows).Error
	})
	for _, r := range rows {
		out.Hours = append(out.Hours, EventHour{r.Began, r.Changes})
	}
	if len(rows) > 0 {
		out.From = rows[0].Oldest
	}
	return out, err
}
