package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Actor is who makes a change, and the change's identifier.
type Actor struct {
	*Identity
	ChangeID string // from NewChangeID: the same for all events of the change
	Needs    string // the permission without which the change is not his to make, or ""
}

// change is one transaction under way: what it does to the rows, and the events that say so.
type change struct {
	*gorm.DB
	ctx    context.Context
	by     Actor
	now    Time
	events []Event
	parts  bool // the change ends the actor's own credential, which was good when it did
}

// change runs f in a transaction, numbers the events that f recorded as the last thing before COMMIT, and tells the
// observer. f may run several times and must have no effect outside the transaction.
func (s *Store) change(ctx context.Context, by Actor, f func(c *change) error) error {
	if by.Identity != nil {
		leave, err := s.turns.Enter(ctx, by.UserID)
		if err != nil {
			return err
		}
		defer leave()
	}
	var events []Event
	err := s.transact(ctx, func(tx *gorm.DB) error {
		c := &change{DB: tx, ctx: ctx, by: by, now: s.now()}
		if err := f(c); err != nil {
			return err
		}
		events = c.events
		return c.number()
	})
	var doubt inDoubt
	switch {
	case err == nil && len(events) > 0:
		s.observer.Committed(events)
	case errors.As(err, &doubt):
		s.observer.InDoubt(slices.Sorted(maps.Keys(byUser(events))))
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return err
}

// By is who made a change, as its events tell it. The credential is told to its own user only.
type By struct {
	UserID     string      `json:"userId"`
	Username   string      `json:"username"`
	Credential *Credential `json:"credential,omitzero" doc:"only if it is the same user's as is being told"`
}

// record adds an event to userID's feed. params is a struct; position, time and by are added to it.
func (c *change) record(userID, method, tokenID string, params any) error {
	event := Event{UserID: userID, ChangeID: c.by.ChangeID, Method: method, TokenID: tokenID, Time: c.now}
	var who *By
	if c.by.Identity != nil {
		who = &By{UserID: c.by.UserID, Username: c.by.Username}
		if c.by.UserID == userID && c.by.Credential.ID != "" { // who signs in has none yet
			who.Credential = &c.by.Credential
		}
	}
	whoJSON, err1 := json.Marshal(who)
	own, err2 := json.Marshal(params, json.Deterministic(true))
	event.Params = slices.Concat([]byte(`{"by":`), whoJSON, []byte(","), own[1:])
	c.events = append(c.events, event)
	return errors.Join(err1, err2)
}

// exec is for the statements that every change has: GORM's Exec takes as long again as the driver, and keeps the result's
// LAST_INSERT_ID to itself.
func (c *change) exec(query string, args ...any) (sql.Result, error) {
	return c.Statement.ConnPool.ExecContext(c.Statement.Context, query, args...)
}

// number gives the events their positions. Bumping the counter row is what orders the commits of one user, and it is
// held until COMMIT only: it comes last, users in the order of their ids, so that two changes cannot wait for each other.
func (c *change) number() error {
	groups := byUser(c.events)
	if c.by.Identity != nil && c.by.Credential.ID != "" && groups[c.by.UserID] == nil {
		groups[c.by.UserID] = nil // nothing to number there, but to wait for
	}
	for _, userID := range slices.Sorted(maps.Keys(groups)) {
		if err := c.bump(userID, groups[userID]); err != nil {
			return err
		}
	}
	if err := c.stillGood(); err != nil {
		return err
	}
	if len(c.events) == 0 {
		return nil
	}
	if len(c.events) == 1 {
		e := &c.events[0]
		_, err := c.exec("INSERT INTO events (user_id, position, change_id, method, token_id, time, params) VALUES (?, ?, ?, ?, ?, ?, ?)",
			e.UserID, e.Position, e.ChangeID, e.Method, e.TokenID, e.Time, e.Params)
		return err
	}
	return c.CreateInBatches(&c.events, rowsPerInsert).Error
}

// bump takes the next positions of a user's feed for a group of events, or only its turn among who is taking some. That is
// written too: a mere lock would not hold between the hosts of a cluster.
func (c *change) bump(userID string, group []*Event) error {
	if len(group) == 0 {
		_, err := c.exec("UPDATE feeds SET turns = turns + 1 WHERE user_id = ?", userID)
		return err
	}
	last, err := c.addToPosition(userID, len(group))
	if err == nil && last == 0 {
		err = notFound("user")
	}
	for i, event := range group {
		event.Position = last - int64(len(group)-1-i)
	}
	return err
}

// addToPosition moves a user's position on by n and returns it, or 0 where there is no such user. The new position comes
// back with the UPDATE, each database having its own way: the row is held for one round trip less.
func (c *change) addToPosition(userID string, n int) (last int64, err error) {
	if c.Name() == "sqlite" {
		const update = "UPDATE feeds SET position = position + ?, change_id = ? WHERE user_id = ? RETURNING position"
		err = c.Raw(update, n, c.by.ChangeID, userID).Scan(&last).Error
		return last, err
	}
	const update = "UPDATE feeds SET position = LAST_INSERT_ID(position + ?), change_id = ? WHERE user_id = ?"
	result, err := c.exec(update, n, c.by.ChangeID, userID)
	if err != nil {
		return 0, err
	}
	found, err := result.RowsAffected()
	if err != nil || found == 0 {
		return 0, err
	}
	return result.LastInsertId()
}

// stillGood refuses the change of an actor whose credential has ended, or lost the permission that it takes, while the
// change was under way. What ends a credential is an event of its user's feed, whose counter row this change holds: it
// has either committed and is seen here, or comes after this change.
func (c *change) stillGood() error {
	if c.by.Identity == nil || c.by.Credential.ID == "" || c.parts {
		return nil
	}
	if err := c.good(""); err != nil {
		return err
	}
	if c.by.Needs != "" {
		return c.require(c.by.Needs)
	}
	return nil
}

// good refuses an actor whose credential has ended, or is a token that is not good by his secret any more, or from where
// he is.
func (c *change) good(lock string) error {
	query, args := goodSession, []any{c.by.Credential.ID, c.now}
	if c.by.Credential.Kind == KindToken {
		query, args = goodToken, append(args, c.by.SecretNumber, c.by.SecretNumber+1, c.now)
	}
	var allowed *Addresses
	err := c.Statement.ConnPool.QueryRowContext(c.Statement.Context, query+lock, args...).Scan(&allowed)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !allowed.Contain(c.by.From) {
		err = ErrUnauthorized
	}
	return err
}

const (
	goodSession = "SELECT NULL FROM sessions c JOIN users u ON u.id = c.user_id AND u.enabled WHERE c.id = ? AND c.expires_at > ?"
	goodToken   = `SELECT c.allowed_ips FROM api_tokens c JOIN users u ON u.id = c.user_id AND u.enabled
		WHERE c.id = ? AND c.enabled AND (c.expires_at IS NULL OR c.expires_at > ?) AND (c.secret_number = ? OR c.secret_number = ? AND c.previous_until > ?)`
)

// ends notes that the change is about to end a session, token or user. Where that is the actor's own, stillGood could not
// tell any more whether somebody else has ended it before: that is asked here, and the rows are held.
func (c *change) ends(id string) error {
	if c.parts || c.by.Identity == nil || id != c.by.Credential.ID && id != c.by.UserID {
		return nil
	}
	c.parts = true
	return c.good(c.forUpdate())
}

// takes notes that the change is about to take permissions from a user or token whose rows it holds. Where that is the actor,
// and he needs one of them for this very change, stillGood could not tell any more whether he held it: that is asked here.
func (c *change) takes(id string, permissions []string) error {
	needs := c.by.Needs
	if c.by.Identity == nil || id != c.by.Credential.ID && id != c.by.UserID || !slices.Contains(permissions, needs) {
		return nil
	}
	c.by.Needs = ""
	return c.require(needs)
}

// rowsPerInsert keeps a statement below the databases' limit of 32,766 variables, with the widest table in mind.
const rowsPerInsert = 500

func byUser(events []Event) map[string][]*Event {
	groups := make(map[string][]*Event, 1)
	for i := range events {
		groups[events[i].UserID] = append(groups[events[i].UserID], &events[i])
	}
	return groups
}

// forUpdate locks the rows that a query finds until the transaction ends. SQLite has one writer and needs no such lock;
// its dialect leaves the clause out.
//
// Between the hosts of a cluster such a lock holds off who writes these rows and, in the same transaction, another one that
// this one writes too. It does not hold off who only locks them as well: whatever has something to itself must write it.
var forUpdate = clause.Locking{Strength: "UPDATE"}

// forUpdate is the same for statements that are written out.
func (c *change) forUpdate() string {
	if c.Name() == "sqlite" {
		return ""
	}
	return " FOR UPDATE"
}

// lockUsers has users to itself until the transaction ends, by writing to their rows in the order of their ids, and returns
// them by id. A user who is not there is not in the answer.
func (c *change) lockUsers(ids ...string) (map[string]*User, error) {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if _, err := c.exec("UPDATE users SET turns = turns + 1 WHERE id = ?", id); err != nil {
			return nil, err
		}
	}
	var users []*User
	err := c.Where("id IN ?", ids).Find(&users).Error
	found := make(map[string]*User, len(users))
	for _, u := range users {
		found[u.ID] = u
	}
	return found, err
}

// lockUser does so with one user.
func (c *change) lockUser(id string) (*User, error) {
	users, err := c.lockUsers(id)
	if err == nil && users[id] == nil {
		err = notFound("user")
	}
	return users[id], err
}
