package models

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// usesKept is how long it is kept how often tokens were used, and usageShown how much of it is shown by default.
const (
	usesKept   = 90 * 24 * time.Hour
	usageShown = 7 * 24 * time.Hour
)

// UsageOptions say of which time to tell.
type UsageOptions struct {
	From *Time `json:"from,omitzero" doc:"from the hour that this is in; 7 days before to by default"`
	To   *Time `json:"to,omitzero" doc:"up to the end of the hour that this is in, or to this if it is a full hour; now by default"`
}

// UsageHour is how often a token was used in an hour.
type UsageHour struct {
	From    Time  `json:"from" doc:"the hour's beginning, a full hour in UTC"`
	Allowed int64 `json:"allowed"`
	Denied  int64 `json:"denied"`
}

// Usage is how often a token was used: allowed, when it was good for what it was used for, and denied, when it was not.
type Usage struct {
	LastUsedAt *Time       `json:"lastUsedAt"`
	Allowed    int64       `json:"allowed" doc:"of all the hours"`
	Denied     int64       `json:"denied" doc:"of all the hours"`
	Hours      []UsageHour `json:"hours" doc:"those that had any uses, oldest first"`
	From       Time        `json:"from" doc:"the beginning of what is told of, a full hour in UTC"`
	To         Time        `json:"to" doc:"its end, a full hour in UTC"`
}

// span returns the full hours that are asked for, as far as they are kept.
func (o UsageOptions) span(now Time) (from, to Time, err error) {
	up := func(t Time) Time { return (t + hour - 1) / hour * hour }
	newest := now - now%hour + hour
	oldest := newest - Time(usesKept.Milliseconds())
	to = newest
	if o.To != nil {
		to = *o.To
	}
	from = to - Time(usageShown.Milliseconds())
	if o.From != nil {
		from = *o.From
	}
	if from >= to {
		return 0, 0, invalid("options.from", "from must be before to")
	}
	within := func(t Time) Time { return min(max(t, oldest), newest) }
	return within(from - from%hour), within(up(to)), nil
}

// ReadUsage tells how often a token of the caller's user was used, up to now where this node is concerned: what it still
// remembers is written first.
func (s *Store) ReadUsage(ctx context.Context, caller *Identity, tokenID string, o UsageOptions) (Usage, error) {
	out := Usage{Hours: []UsageHour{}}
	var err error
	if out.From, out.To, err = o.span(s.now()); err != nil {
		return out, err
	}
	if err := s.CheckToken(ctx, caller, tokenID); err != nil {
		return out, err
	}
	if err := s.flushUses(ctx, tokenID); err != nil {
		return out, err
	}
	err = s.snapshot(ctx, func(tx *gorm.DB) error {
		var token Token
		if err := tx.Select("last_used_at").Where("id = ? AND user_id = ?", tokenID, caller.UserID).Take(&token).Error; err != nil {
			return wrap(err, "token")
		}
		out.LastUsedAt = token.LastUsedAt
		return tx.Model(&tally{}).Select("hour AS `from`, allowed, denied").
			Where("token_id = ? AND hour >= ? AND hour < ?", tokenID, out.From, out.To).Order("hour").Scan(&out.Hours).Error
	})
	for _, h := range out.Hours {
		out.Allowed += h.Allowed
		out.Denied += h.Denied
	}
	return out, err
}

// Use is what a verifier tells of the uses of a token that it answered for.
type Use struct {
	TokenID string `json:"tokenId" doc:"the id of a token; of one that there is not nothing is counted"`
	Allowed int64  `json:"allowed,omitzero" minimum:"0" maximum:"1000000000" doc:"how often it was good for what it was used for, since the last report; 0 by default"`
	Denied  int64  `json:"denied,omitzero" minimum:"0" maximum:"1000000000" doc:"how often it was not, since the last report; 0 by default"`
}

// Bounds of a report.
const (
	maxUses  = 500           // of one report: beside the calls' own bounds, a batch's worth of work
	maxCount = 1_000_000_000 // more than a verifier can answer between two reports, and 90 days of them are no overflow
)

// ReportUses counts what a user's verifier has answered for by itself, all or nothing.
func (s *Store) ReportUses(userID string, uses []Use) error {
	if len(uses) < 1 || len(uses) > maxUses {
		return invalid("uses", fmt.Sprintf("1 to %d uses", maxUses))
	}
	now := s.now()
	more := make([]tally, len(uses))
	for i, u := range uses {
		at := fmt.Sprintf("uses.%d.", i)
		switch {
		case !isBase62(u.TokenID, idLength):
			return invalid(at+"tokenId", "that is not the form of a token's id")
		case u.Allowed < 0 || u.Allowed > maxCount:
			return invalid(at+"allowed", fmt.Sprintf("allowed is 0 to %d", maxCount))
		case u.Denied < 0 || u.Denied > maxCount:
			return invalid(at+"denied", fmt.Sprintf("denied is 0 to %d", maxCount))
		}
		more[i] = tally{u.TokenID, now - now%hour, u.Allowed, u.Denied}
	}
	if !s.uses.countAll(userID, more) {
		return ErrUnavailable
	}
	for _, u := range uses {
		if u.Allowed > 0 {
			s.uses.mark(Credential{KindToken, u.TokenID}, now)
		}
	}
	return nil
}

// pruneUses deletes one batch of the uses that are past their time, and the ids of batches that nobody asks for any more.
func (s *Store) pruneUses(ctx context.Context) (more bool, err error) {
	now := s.options.Now()
	err = s.transact(ctx, func(tx *gorm.DB) error {
		var old []tally
		if err := tx.Select("token_id", "hour").Where("hour < ?", TimeOf(now.Add(-usesKept))).
			Order("hour, token_id").Limit(pruneBatch).Find(&old).Error; err != nil {
			return err
		}
		if more = len(old) == pruneBatch; len(old) > 0 {
			last := old[len(old)-1]
			if err := tx.Where("hour < ? OR hour = ? AND token_id <= ?", last.Hour, last.Hour, last.TokenID).Delete(&tally{}).Error; err != nil {
				return err
			}
		}
		return tx.Exec("DELETE FROM use_batches WHERE time < ?", TimeOf(now.Add(-doubtKept))).Error
	})
	return more && err == nil, err
}

// doubtKept is how long a batch is known to have been written: longer than any database stays away from a node that is
// waiting for it.
const doubtKept = 24 * time.Hour
