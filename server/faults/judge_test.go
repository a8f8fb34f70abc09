package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// stored is what the database has of an owner, at one moment.
type stored struct {
	events []models.Event
	rows   map[string]row
	on     bool
}

// judge holds an owner against all oracles, in the order in which they need each other.
func (o *owner) judge(s stored) (faults []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, said := range o.odd {
		faults = append(faults, fmt.Sprintf("answers: to %s: %s", o.name, said))
	}
	faults = append(faults, o.judgeChanges(s.events)...)
	faults = append(faults, o.judgeRows(s.events, s.rows, s.on)...)
	faults = append(faults, o.judgeFollowers(s.events)...)
	return append(faults, o.judgeLooks()...)
}

// judgeAll judges the owners that are over, and forgets them but for secrets that must never be good again. It is called while the
// database can be read.
func (l *load) judgeAll() (faults []string) {
	l.mu.Lock()
	over := l.over
	l.over = nil
	faults, l.wrong = l.wrong, nil
	l.mu.Unlock()
	for _, o := range over {
		s, err := l.readStored(l.sql[0], o)
		if err != nil {
			faults = append(faults, fmt.Sprintf("database: %s cannot be read: %v", o.name, err))
			continue
		}
		faults = append(faults, o.judge(s)...)
		faults = append(faults, l.judgeHosts(o, s)...)
		l.remember(o)
	}
	return faults
}

// judgeHosts tells which hosts of a cluster have something else of an owner than the first has.
func (l *load) judgeHosts(o *owner, first stored) (faults []string) {
	for i, db := range l.sql[1:] {
		other, err := l.readStored(db, o)
		if err == nil && !reflect.DeepEqual(other, first) { // a change that was in doubt may have come meanwhile
			first, err = l.readStored(l.sql[0], o)
		}
		if err != nil || !reflect.DeepEqual(other, first) {
			faults = append(faults, fmt.Sprintf("database: of %s host %d has %+v, and the first %+v %v", o.name, i+1, other, first, err))
		}
	}
	return faults
}

// check fails the test for all that the oracles find.
func (l *load) check(after string) {
	l.t.Helper()
	for _, fault := range l.judgeAll() {
		l.t.Errorf("after %s: %s", after, fault)
	}
}

// remember keeps secrets that were good and are so no more, and counts.
func (l *load) remember(o *owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range o.tokens {
		if o.standing(t).deleted && !o.doubtful && len(l.ended) < endedKept {
			l.ended = append(l.ended, &token{id: t.id, secret: t.secret})
		}
	}
	l.numbers.owners.Add(1)
	l.numbers.changes.Add(int64(len(o.changes)))
	if o.doubtful {
		l.numbers.unknown.Add(1)
	}
	for _, c := range o.changes {
		if l.waited(c) {
			l.numbers.waited.Add(1)
		}
	}
	for _, f := range o.followers {
		l.numbers.notices.Add(int64(len(f.got)))
	}
}

// waited reports whether a node was killed while the receipt of a change waited there: somebody had heard of the change already.
func (l *load) waited(c *change) bool {
	for _, t := range c.lost {
		for _, at := range t.node.killed {
			killed := int64(at.Sub(l.began))
			if t.began < killed && killed < t.ended && c.seen != never && c.seen < killed {
				return true
			}
		}
	}
	return false
}

// readStored reads what a host has of an owner. One that has just come back may take a moment.
func (l *load) readStored(db *sql.DB, o *owner) (s stored, err error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if s, err = l.readOnce(db, o.id); err == nil || time.Now().After(deadline) {
			return s, err
		}
	}
}

func (l *load) readOnce(db *sql.DB, userID string) (s stored, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil) // both databases' own isolation has all reads see one moment
	if err != nil {
		return s, err
	}
	defer tx.Rollback()
	err = each(ctx, tx, "SELECT position, change_id, method, token_id, time, params FROM events WHERE user_id = ? ORDER BY position", userID, func(rows *sql.Rows) error {
		e := models.Event{UserID: userID}
		err := rows.Scan(&e.Position, &e.ChangeID, &e.Method, &e.TokenID, &e.Time, &e.Params)
		s.events = append(s.events, e)
		return err
	})
	if err != nil {
		return s, err
	}
	s.rows = map[string]row{}
	const tokens = `SELECT t.id, t.name, t.enabled, t.version, COALESCE(GROUP_CONCAT(p.permission_id), '') FROM api_tokens t
		LEFT JOIN api_token_permissions p ON p.token_id = t.id WHERE t.user_id = ? GROUP BY t.id, t.name, t.enabled, t.version`
	err = each(ctx, tx, tokens, userID, func(rows *sql.Rows) error {
		var id, permissions string
		var r row
		err := rows.Scan(&id, &r.name, &r.enabled, &r.version, &permissions)
		r.bits = scopesOf(strings.Split(permissions, ","))
		s.rows[id] = r
		return err
	})
	if err != nil {
		return s, err
	}
	err = tx.QueryRowContext(ctx, "SELECT enabled FROM users WHERE id = ?", userID).Scan(&s.on)
	if errors.Is(err, sql.ErrNoRows) { // he is deleted
		err = nil
	}
	return s, err
}

// each calls f for each row of a query.
func each(ctx context.Context, tx *sql.Tx, query, argument string, f func(rows *sql.Rows) error) error {
	rows, err := tx.QueryContext(ctx, query, argument)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
