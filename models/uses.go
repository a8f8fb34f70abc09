package models

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Uses of credentials are remembered in memory and written in batches, so that no call waits for such a write.
const (
	usesEvery = 5 * time.Second
	lastUses  = 2 * time.Second // for the last of them, as the store is closed: a database that is well takes milliseconds
	usesMax   = 100_000         // credentials, and hours of tokens, between two writes; more are not remembered until the next write
	usesOfOne = usesMax / 2     // of what one user reports: what he makes up must not crowd out what others count
	usesBatch = 200             // credentials in one transaction, which holds their rows
)

// tally is how often a token was used in an hour.
type tally struct {
	TokenID string
	Hour    Time // its beginning, in UTC
	Allowed int64
	Denied  int64
}

// TableName is the table's name.
func (tally) TableName() string { return "token_uses" }

// tallies are those of one write. It is done once: its id is written with it, and tells whether it was.
type tallies struct {
	id  string
	all []tally // in the order of the tokens' ids
}

// uses remembers when credentials were last used, and how often tokens were.
type uses struct {
	mu    sync.Mutex
	last  map[Credential]Time
	hours map[string][]tally // by token
	size  int                // of all in hours
	by    map[string]int     // of size, what users have reported since the last write

	writing chan struct{} // is full while somebody writes: one at a time
	doubt   *tallies      // of whose COMMIT it is not known whether it took effect; of who writes
}

func (u *uses) init() {
	u.last, u.hours, u.by, u.writing = map[Credential]Time{}, map[string][]tally{}, map[string]int{}, make(chan struct{}, 1)
}

func (u *uses) mark(c Credential, now Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.last[c]; known || len(u.last) < usesMax {
		u.last[c] = max(u.last[c], now)
	}
}

func (u *uses) count(more tally) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.add(more, usesMax)
}

// countAll counts all that a user reports or none of it, and says whether there was room.
func (u *uses) countAll(userID string, more []tally) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.size+len(more) > usesMax || u.by[userID]+len(more) > usesOfOne {
		return false
	}
	before := u.size
	for _, m := range more {
		u.add(m, usesMax)
	}
	u.by[userID] += u.size - before
	return true
}

// add is called with mu held.
func (u *uses) add(more tally, bound int) {
	if more.Allowed == 0 && more.Denied == 0 {
		return
	}
	hours := u.hours[more.TokenID]
	i := slices.IndexFunc(hours, func(t tally) bool { return t.Hour == more.Hour })
	switch {
	case i >= 0:
		hours[i].Allowed += more.Allowed
		hours[i].Denied += more.Denied
	case u.size < bound:
		u.hours[more.TokenID] = append(hours, more)
		u.size++
	}
}

// take returns what is remembered of a token, or of all credentials for "", and forgets it.
func (u *uses) take(tokenID string) (last map[Credential]Time, hours map[string][]tally) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last, hours = map[Credential]Time{}, map[string][]tally{}
	if tokenID == "" {
		last, u.last = u.last, last
		hours, u.hours = u.hours, hours
		u.size, u.by = 0, map[string]int{}
		return last, hours
	}
	token := Credential{KindToken, tokenID}
	if at, known := u.last[token]; known {
		last[token] = at
	}
	if of := u.hours[tokenID]; of != nil {
		hours[tokenID] = of
	}
	delete(u.last, token)
	delete(u.hours, tokenID)
	u.size -= len(hours[tokenID])
	return last, hours
}

// giveBack remembers again what could not be written: all of it, as it had room before.
func (u *uses) giveBack(last map[Credential]Time, hours map[string][]tally) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c, t := range last {
		u.last[c] = max(u.last[c], t)
	}
	for _, of := range hours {
		for _, t := range of {
			u.add(t, u.size+1)
		}
	}
}

// Seen notes that a credential is in use.
func (s *Store) Seen(c Credential) { s.uses.mark(c, s.now()) }

// Used counts uses of a token: how often it was good for what it was used for, and how often it was not.
func (s *Store) Used(tokenID string, allowed, denied int64) {
	now := s.now()
	s.uses.count(tally{tokenID, now - now%hour, allowed, denied})
	if allowed > 0 {
		s.uses.mark(Credential{KindToken, tokenID}, now)
	}
}

// writeUses writes what is remembered, every few seconds and once more when ctx ends.
func (s *Store) writeUses(ctx context.Context) {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.FlushUses(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUses)
			defer cancel()
			s.unwritten = s.FlushUses(last)
			return
		}
	}
}

// FlushUses writes what is remembered of the uses of credentials. What cannot be written is remembered again.
func (s *Store) FlushUses(ctx context.Context) error { return s.flushUses(ctx, "") }

// flushUses does so for one token, or for all credentials for "". When it returns nothing of that is on its way.
func (s *Store) flushUses(ctx context.Context, tokenID string) error {
	select {
	case s.uses.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.uses.writing }()
	if s.uses.doubt != nil {
		if err := s.writeTallies(ctx, s.uses.doubt); err != nil {
			return err
		}
		s.uses.doubt = nil
	}
	last, hours := s.uses.take(tokenID)
	err := s.writeLast(ctx, last)
	if err == nil {
		err = s.writeHours(ctx, hours)
	}
	s.uses.giveBack(last, hours)
	return err
}

// writeLast writes when credentials were last used, and leaves of it what could not be written.
func (s *Store) writeLast(ctx context.Context, last map[Credential]Time) error {
	for batch := range slices.Chunk(slices.Collect(maps.Keys(last)), usesBatch) {
		slices.SortFunc(batch, func(a, b Credential) int { // tokens first, as changes lock them
			return cmp.Or(cmp.Compare(b.Kind, a.Kind), cmp.Compare(a.ID, b.ID))
		})
		err := s.transact(ctx, func(tx *gorm.DB) error {
			for _, c := range batch {
				statement := "UPDATE api_tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"
				if c.Kind == KindSession {
					statement = "UPDATE sessions SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?"
				}
				if err := tx.Exec(statement, last[c], c.ID, last[c]).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, c := range batch {
			delete(last, c)
		}
	}
	return nil
}

// writeHours writes how often tokens were used, and leaves of it what could not be written. What may have been written is
// not left: it is in doubt, and nothing is written before that is settled.
func (s *Store) writeHours(ctx context.Context, hours map[string][]tally) error {
	for batch := range slices.Chunk(slices.Collect(maps.Keys(hours)), usesBatch) {
		slices.Sort(batch)
		t := &tallies{id: NewChangeID()}
		for _, id := range batch {
			t.all = append(t.all, hours[id]...)
		}
		err := s.writeTallies(ctx, t)
		var doubt inDoubt
		if errors.As(err, &doubt) {
			s.uses.doubt = t
		} else if err != nil {
			return err
		}
		for _, id := range batch {
			delete(hours, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errWritten is found out in a transaction that would write tallies for the second time.
var errWritten = errors.New("written already")

// writeTallies adds tallies to what stands there, unless it has been done. Of tokens that there are not any more nothing
// is written.
func (s *Store) writeTallies(ctx context.Context, t *tallies) error {
	err := s.transact(ctx, func(tx *gorm.DB) error {
		err := tx.Exec("INSERT INTO use_batches (id, time) VALUES (?, ?)", t.id, s.now()).Error
		if errors.Is(err, gorm.ErrDuplicatedKey) {
			return errWritten
		}
		if err != nil {
			return err
		}
		var ids, there []string
		for _, one := range t.all {
			ids = append(ids, one.TokenID)
		}
		if err := tx.Clauses(forUpdate).Model(&Token{}).Where("id IN ?", slices.Compact(ids)).Order("id").Pluck("id", &there).Error; err != nil {
			return err
		}
		rows := slices.DeleteFunc(slices.Clone(t.all), func(one tally) bool {
			_, found := slices.BinarySearch(there, one.TokenID)
			return !found
		})
		if len(rows) == 0 {
			return nil
		}
		return tx.Clauses(addTallies(tx)).CreateInBatches(&rows, rowsPerInsert).Error
	})
	if err == errWritten {
		return nil
	}
	return err
}

// addTallies has an INSERT add to the row that is there. Each database names the row that is not inserted in its own way.
func addTallies(tx *gorm.DB) clause.OnConflict {
	sum := map[string]any{
		"allowed": gorm.Expr("token_uses.allowed + VALUES(allowed)"), "denied": gorm.Expr("token_uses.denied + VALUES(denied)"),
	}
	if tx.Name() == "sqlite" {
		sum = map[string]any{
			"allowed": gorm.Expr("token_uses.allowed + excluded.allowed"), "denied": gorm.Expr("token_uses.denied + excluded.denied"),
		}
	}
	return clause.OnConflict{Columns: []clause.Column{{Name: "token_id"}, {Name: "hour"}}, DoUpdates: clause.Assignments(sum)}
}
