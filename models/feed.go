package models

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gorm.io/gorm"
)

// The methods of events that clients are told.
const (
	TokenCreated              = "/v1/api-tokens/created"
	TokenUpdated              = "/v1/api-tokens/updated"
	TokenDeleted              = "/v1/api-tokens/deleted"
	TokenEnabledChanged       = "/v1/api-tokens/enabled-changed"
	TokenPermissionsChanged   = "/v1/api-tokens/permissions-changed"
	TokenExpiring             = "/v1/api-tokens/expiring"
	TokenExpired              = "/v1/api-tokens/expired"
	TokenLeaked               = "/v1/api-tokens/leaked"
	SessionPermissionsChanged = "/v1/session/permissions-changed"
)

// The methods of events that only nodes are told: their connections act on them.
const (
	internalPrefix = "$/"
	UserCreated    = "$/user-created"  // position 1 of every feed, so that a position always names an event
	SessionEnded   = "$/session-ended" // params: SessionEndedParams
	UserEnded      = "$/user-ended"    // params: UserEndedParams
	TokenRotated   = "$/token-rotated" // params: TokenRotatedParams; clients are told TokenUpdated
)

// Params of events, beside position, time and by.
type (
	// TokenCreatedParams are those of TokenCreated.
	TokenCreatedParams struct {
		Token *Token `json:"token"`
	}
	// TokenUpdatedParams are those of TokenUpdated.
	TokenUpdatedParams struct {
		Token *Token `json:"token"`
	}
	// TokenDeletedParams are those of TokenDeleted.
	TokenDeletedParams struct {
		TokenID string `json:"tokenId"`
	}
	// TokenEnabledChangedParams are those of TokenEnabledChanged.
	TokenEnabledChangedParams struct {
		TokenID string `json:"tokenId"`
		Enabled bool   `json:"enabled"`
		Version int64  `json:"version"`
	}
	// TokenPermissionsChangedParams are those of TokenPermissionsChanged.
	TokenPermissionsChangedParams struct {
		TokenID              string        `json:"tokenId"`
		Permissions          PermissionSet `json:"permissions"`
		EffectivePermissions []string      `json:"effectivePermissions"`
		Version              int64         `json:"version"`
	}
	// TokenExpiringParams are those of TokenExpiring.
	TokenExpiringParams struct {
		TokenID   string `json:"tokenId"`
		ExpiresAt Time   `json:"expiresAt"`
		Days      int64  `json:"days" minimum:"1" maximum:"30" doc:"30, 7 or 1: so many days, or less, are left"`
	}
	// TokenExpiredParams are those of TokenExpired.
	TokenExpiredParams struct {
		TokenID   string `json:"tokenId"`
		ExpiresAt Time   `json:"expiresAt"`
	}
	// TokenLeakedParams are those of TokenLeaked.
	TokenLeakedParams struct {
		TokenID string  `json:"tokenId"`
		URL     *string `json:"url" doc:"where it was found, as whoever reported it says; null where he does not"`
	}
	// SessionPermissionsChangedParams are those of SessionPermissionsChanged.
	SessionPermissionsChangedParams struct {
		Permissions PermissionSet `json:"permissions"`
	}
	// SessionEndedParams are those of SessionEnded.
	SessionEndedParams struct {
		SessionID string `json:"sessionId"`
		Reason    string `json:"reason"`
	}
	// TokenRotatedParams are those of TokenRotated.
	TokenRotatedParams struct {
		TokenID       string `json:"tokenId"`
		SecretNumber  int64  `json:"secretNumber"`  // of the new secret
		PreviousUntil *Time  `json:"previousUntil"` // when the one before it ends; nil if it has
	}
	// UserEndedParams are those of UserEnded.
	UserEndedParams struct {
		Reason string `json:"reason"`
	}
)

// Event is one entry of a user's feed.
type Event struct {
	UserID   string `gorm:"primaryKey"`
	Position int64  `gorm:"primaryKey;autoIncrement:false"`
	ChangeID string
	Method   string
	TokenID  string // the token that it is about, or ""
	Time     Time
	Params   []byte // a JSON object: by, and the params of the method
}

// Internal reports whether the event is for nodes only.
func (e *Event) Internal() bool { return strings.HasPrefix(e.Method, internalPrefix) }

// At returns the event's position.
func (e *Event) At() Position { return Position{e.Position, e.ChangeID} }

// Decode reads the event's params into p, a pointer to one of the Params structs.
func (e *Event) Decode(p any) error {
	return json.Unmarshal(e.Params, p)
}

// append appends the event's method and params, and closes the object that b has opened.
func (e *Event) append(b []byte) []byte {
	b = append(b, `"method":"`...)
	b = append(b, e.Method...)
	b = append(b, `","params":{"position":"`...)
	b = append(b, e.At().String()...)
	b = append(b, `","time":"`...)
	b = append(b, e.Time.String()...)
	b = append(b, `",`...)
	return append(append(b, e.Params[1:]...), '}')
}

// Notification returns the event as a JSON-RPC 2.0 notification.
func (e *Event) Notification() []byte {
	return e.append([]byte(`{"jsonrpc":"2.0",`))
}

// SessionPermissions returns the notification of a connection's permissions that an event of its token brings about, at
// the event's position.
func (e *Event) SessionPermissions(permissions PermissionSet) []byte {
	own := *e
	own.Method = SessionPermissionsChanged
	var who struct {
		By jsontext.Value `json:"by"`
	}
	var err error
	if err = e.Decode(&who); err == nil {
		own.Params, err = json.Marshal(struct {
			By          jsontext.Value `json:"by"`
			Permissions PermissionSet  `json:"permissions"`
		}{who.By, permissions})
	}
	if err != nil {
		return nil
	}
	return own.Notification()
}

// Schema is the JSON Schema of Event.
func (Event) Schema() string {
	return `{"type":"object","description":"a notification as it was pushed","properties":{"method":{"type":"string"},"params":{"type":"object"}},"required":["method","params"]}`
}

// MarshalJSON writes {"method": …, "params": …}.
func (e *Event) MarshalJSON() ([]byte, error) { return e.append([]byte("{")), nil }

type feed struct {
	UserID   string `gorm:"primaryKey"`
	Position int64
	ChangeID string
}

// Position is a place in one user's feed: the number of an event and the identifier of its change. The latter makes a
// position from before a restore, or of another user, recognisable. It is written "<number>-<change>".
type Position struct {
	Number   int64
	ChangeID string
}

// String returns the position as clients see it.
func (p Position) String() string { return strconv.FormatInt(p.Number, 10) + "-" + p.ChangeID }

// MarshalText writes the position as clients see it.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Schema is the JSON Schema of Position.
func (Position) Schema() string {
	return `{"type":"string","description":"a place in the caller's feed; opaque"}`
}

// ParsePosition reads what String writes, and nothing else.
func ParsePosition(s string) (Position, error) {
	number, changeID, _ := strings.Cut(s, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != number || !isBase62(changeID, idRandom) {
		return Position{}, errors.New("not a position")
	}
	return Position{n, changeID}, nil
}

// EventsPage is how many events are read at a time.
const EventsPage = 500

// EventsAfter returns the user's events after a position's number, oldest first, at most EventsPage.
func (s *Store) EventsAfter(ctx context.Context, userID string, after int64) ([]Event, error) {
	return eventsAfter(s.read.WithContext(ctx), userID, after)
}

// NewEvents is EventsAfter for a node that stays current: it waits for no read but such ones.
func (s *Store) NewEvents(ctx context.Context, userID string, after int64) ([]Event, error) {
	return eventsAfter(s.follow.WithContext(ctx), userID, after)
}

func eventsAfter(db *gorm.DB, userID string, after int64) ([]Event, error) {
	var events []Event
	err := db.Where("user_id = ? AND position > ?", userID, after).Order("position").Limit(EventsPage).Find(&events).Error
	return events, err
}

// Positions returns where the feeds of users stand, by user id. A user without a feed is not in the answer. It waits for reads
// of new events and positions only.
func (s *Store) Positions(ctx context.Context, userIDs []string) (map[string]Position, error) {
	positions := make(map[string]Position, len(userIDs))
	if len(userIDs) == 0 {
		return positions, nil
	}
	args := make([]any, len(userIDs))
	for i, id := range userIDs {
		args[i] = id
	}
	pool, err := s.follow.DB()
	if err != nil {
		return nil, err
	}
	// Without GORM, which takes several times as long for many rows: this is asked for every user of a node.
	rows, err := pool.QueryContext(ctx, "SELECT user_id, position, change_id FROM feeds WHERE user_id IN (?"+strings.Repeat(",?", len(userIDs)-1)+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var userID string
		var position Position
		if err := rows.Scan(&userID, &position.Number, &position.ChangeID); err != nil {
			return nil, err
		}
		positions[userID] = position
	}
	return positions, rows.Err()
}

// Resumable reports whether a connection may go on after position p: the event that it names is still kept, or is the
// last one, and is the one that the client saw.
func (s *Store) Resumable(ctx context.Context, id *Identity, p Position) (bool, error) {
	if p.Number >= id.Position.Number {
		return p == id.Position, nil
	}
	return kept(s.read.WithContext(ctx), id.UserID, p)
}

func kept(db *gorm.DB, userID string, p Position) (bool, error) {
	var n int64
	err := db.Model(&Event{}).
		Where("user_id = ? AND position = ? AND change_id = ?", userID, p.Number, p.ChangeID).Count(&n).Error
	return n == 1, err
}

// position returns where a user's feed stands.
func position(db *gorm.DB, userID string) (p Position, err error) {
	err = db.Raw("SELECT position AS number, change_id FROM feeds WHERE user_id = ?", userID).Scan(&p).Error
	return p, err
}

// told adds the condition that an event is one of those that a caller is told of: of his user's feed what is not for
// nodes only, and of that what is about one token if that is all that he hears of.
func told(q *gorm.DB, caller *Identity) *gorm.DB {
	q = q.Where("user_id = ? AND method LIKE '/%'", caller.UserID)
	if only := caller.OnlyToken(); only != "" {
		q = q.Where("token_id = ?", only)
	}
	return q
}

// EventsOptions say which part of a feed to read.
type EventsOptions struct {
	After string `json:"after,omitzero" doc:"a next from an earlier answer: read what came before it"`
	Limit *int   `json:"limit,omitzero" minimum:"1" maximum:"100" doc:"events at most, 50 by default"`
}

// Events are a part of a feed, newest first.
type Events struct {
	Events   []*Event `json:"events"`
	Next     *string  `json:"next"`
	Position Position `json:"position"`
}

// ReadEvents reads the caller's own feed backwards, as far as it is kept. A caller who hears of one token only reads of
// that token only.
func (s *Store) ReadEvents(ctx context.Context, caller *Identity, o EventsOptions) (Events, error) {
	out := Events{}
	limit, err := pageLimit(o.Limit)
	if err != nil {
		return out, err
	}
	err = s.snapshot(ctx, func(tx *gorm.DB) (err error) {
		if out.Position, err = position(tx, caller.UserID); err != nil {
			return err
		}
		q := told(tx, caller)
		if o.After != "" {
			p, err := ParsePosition(o.After)
			if err != nil {
				return invalid("options.after", "after must be a next from an earlier answer")
			}
			if ok, err := kept(tx, caller.UserID, p); err != nil {
				return err
			} else if !ok {
				return &Error{Code: Gone, Message: "events that old are no longer kept; read again without after"}
			}
			q = q.Where("position < ?", p.Number)
		}
		return q.Order("position DESC").Limit(limit + 1).Find(&out.Events).Error
	})
	if len(out.Events) > limit {
		out.Events = out.Events[:limit]
		next := out.Events[limit-1].At().String()
		out.Next = &next
	}
	return out, err
}

// Pruning: how often old events are looked for, and how many are deleted in one transaction, so that no lock is held for long.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// prune deletes events, sessions and uses that are past their time, until ctx ends.
func (s *Store) prune(ctx context.Context) {
	for tick := time.NewTicker(pruneEvery); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		for more := true; more && ctx.Err() == nil; {
			more, _ = s.Prune(ctx) // what failed is tried again at the next tick
		}
	}
}

// Prune deletes one batch of what is past its time and reports whether there may be more.
func (s *Store) Prune(ctx context.Context) (more bool, err error) {
	events, err1 := s.pruneFeeds(ctx)
	uses, err2 := s.pruneUses(ctx)
	acknowledgements, err3 := s.pruneAcknowledgements(ctx)
	attempts, err4 := s.pruneAttempts(ctx)
	return events || uses || acknowledgements || attempts, errors.Join(err1, err2, err3, err4)
}

// pruneFeeds deletes events, and sessions. Of a feed it deletes from the beginning only, so that what is kept has no gap.
func (s *Store) pruneFeeds(ctx context.Context) (more bool, err error) {
	cutoff := TimeOf(s.options.Now().Add(-s.options.EventsKept))
	err = s.transact(ctx, func(tx *gorm.DB) error {
		var old []Event
		if err := tx.Select("user_id", "position").Where("time < ?", cutoff).Order("time").Limit(pruneBatch).Find(&old).Error; err != nil {
			return err
		}
		more = len(old) == pruneBatch
		upTo := map[string]int64{}
		for _, e := range old {
			upTo[e.UserID] = max(upTo[e.UserID], e.Position)
		}
		for userID, position := range upTo {
			if err := tx.Where("user_id = ? AND position <= ?", userID, position).Delete(&Event{}).Error; err != nil {
				return err
			}
		}
		const ended = "user_id IN ? AND user_id NOT IN (SELECT id FROM users) AND user_id NOT IN (SELECT user_id FROM events)"
		if err := tx.Where(ended, slices.Collect(maps.Keys(upTo))).Delete(&feed{}).Error; err != nil {
			return err
		}
		return tx.Where("expires_at < ?", s.now()).Delete(&Session{}).Error
	})
	return more, err
}
