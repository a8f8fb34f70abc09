package models

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"gorm.io/gorm"
)

// Limits and defaults of a store.
const (
	maxAttempts     = 16                   // tries of a transaction that loses to others: beyond that the database is in trouble
	firstBackoff    = 2 * time.Millisecond // wait before the second try, doubled for each further one
	longestBackoff  = 100 * time.Millisecond
	lostWait        = 5 * time.Second     // how long a call looks for another host: one that says nothing takes longer, and its caller knows best
	openTimeout     = 30 * time.Second    // for the first contact with the database and its migrations' lock
	DefaultTokens   = 1000                // tokens that one user may have
	DefaultKept     = 7 * 24 * time.Hour  // how long events are kept
	DefaultSession  = 30 * 24 * time.Hour // how long a session lasts
	DefaultEnds     = 2 * time.Second     // how often tokens are looked for that are near their end: nobody waits longer to be told
	MaxPermissions  = 1000                // permissions in the catalogue, so that every set of them fits a message
	MaxUserSessions = 100                 // sessions of one user: the oldest makes way for a new one
)

// Options are a store's settings. Zero values mean the defaults.
type Options struct {
	Key             KeySource
	TokensPerUser   int
	EventsKept      time.Duration
	SessionLifetime time.Duration
	EndsEvery       time.Duration    // how often tokens are looked for that are near their end
	Now             func() time.Time // the clock; time.Now by default
}

func (o Options) withDefaults() Options {
	if o.TokensPerUser == 0 {
		o.TokensPerUser = DefaultTokens
	}
	if o.EventsKept == 0 {
		o.EventsKept = DefaultKept
	}
	if o.SessionLifetime == 0 {
		o.SessionLifetime = DefaultSession
	}
	if o.EndsEvery == 0 {
		o.EndsEvery = DefaultEnds
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store reads and changes the database. Its methods may be called from any number of goroutines.
type Store struct {
	pools
	key      Key
	options  Options
	observer Observer
	uses     uses
	lookups  lookups
	turns    *Turns // of changes

	observed   chan struct{}      // closed when there is an observer
	begin      sync.Once          // closes it
	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup
	unwritten  error // why the last uses could not be written
}

// Observer is told of what a store commits.
type Observer interface {
	// Committed is called after each commit with the events that it numbered, before the method that made the change
	// returns. Commits of one user may be told out of order.
	Committed(events []Event)
	// InDoubt is called when COMMIT was sent and its outcome is unknown: the user's feed may have moved.
	InDoubt(userIDs []string)
}

// Open connects to the database at url, migrates it, and holds the key against it. The store works in the background
// (pruning, batched writes) until Close.
func Open(ctx context.Context, url string, options Options) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout+migrationWait)
	defer cancel()
	opened, err := openDatabase(ctx, url)
	if err != nil {
		return nil, err
	}
	s := &Store{pools: opened, options: options.withDefaults(), observer: nobody{}, observed: make(chan struct{}), turns: NewTurns(maxChangesOfUser)}
	s.uses.init()
	migrations, done, err := migrationPool(url, s.write)
	if err == nil {
		err = errors.Join(migrate(ctx, migrations), done())
	}
	if err == nil {
		err = s.adoptKey(ctx, options.Key)
	}
	if err == nil {
		err = s.createBuiltins(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.pools.close())
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.background.Go(func() { s.prune(background) })
	s.background.Go(func() { s.writeUses(background) })
	s.background.Go(func() { s.tellEnds(background) })
	return s, nil
}

// Observe sets who is told of commits. It is called before the first change, or while there is none; what the store changes
// by itself begins then.
func (s *Store) Observe(o Observer) {
	s.observer = o
	s.begin.Do(func() { close(s.observed) })
}

// nobody is told until there is an observer.
type nobody struct{}

// Committed tells nobody.
func (nobody) Committed([]Event) {}

// InDoubt tells nobody.
func (nobody) InDoubt([]string) {}

// Close ends the background work, writes what it still holds, and closes the database.
func (s *Store) Close() error {
	s.stop()
	s.background.Wait()
	return errors.Join(s.unwritten, s.pools.close())
}

// Ping reports whether the database answers and can be written to.
func (s *Store) Ping(ctx context.Context) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE meta SET value = ? WHERE name = ?", NewChangeID(), pingName).Error
	})
}

// pingName is the row of table meta that Ping writes to.
const pingName = "ping"

func (s *Store) now() Time { return TimeOf(s.options.Now()) }

// Now returns the time by the store's clock.
func (s *Store) Now() Time { return s.now() }

// transact runs f in a transaction and repeats it when it lost to another one, or its host. A COMMIT that fails otherwise
// may have taken effect: its error is inDoubt. A caller who has gone is told so, whatever the driver made of it at that moment.
func (s *Store) transact(ctx context.Context, f func(tx *gorm.DB) error) error {
	return again(ctx, func() error { return once(ctx, s.write, f) })
}

// again repeats f for as long as it loses to others.
func again(ctx context.Context, f func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := f()
		if ctx.Err() != nil && !decided(err) {
			return ctx.Err()
		}
		again := transient(err) || lost(err) && !isInDoubt(err) && time.Since(began) < lostWait
		if err == nil || !again || attempt == maxAttempts {
			return err
		}
		pause := rand.N(min(firstBackoff<<attempt, longestBackoff))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// decided reports whether a transaction came to an end of its own: it was committed, or perhaps, or refused.
func decided(err error) bool {
	var refused *Error
	return err == nil || errors.As(err, &refused) || isInDoubt(err)
}

// inDoubt marks the error of a COMMIT that was sent and did not succeed: whether it took effect is not known.
type inDoubt struct{ error }

// Unwrap returns the error of the COMMIT.
func (e inDoubt) Unwrap() error { return e.error }

func isInDoubt(err error) bool {
	var doubt inDoubt
	return errors.As(err, &doubt)
}

// onConn runs f on one connection. The end of ctx ends the wait for it. It does not cut off a statement: the drivers would throw
// the connection away, and each watch each statement for it. Statements are bounded by the database's own times.
func onConn(ctx context.Context, db *gorm.DB, f func(db *gorm.DB) error) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	db = db.Session(&gorm.Session{NewDB: true, Context: context.WithoutCancel(ctx)})
	db.Statement.ConnPool = conn
	return f(db)
}

// once runs f in one transaction on one connection. The end of ctx also ends what is not committed by then.
func once(ctx context.Context, db *gorm.DB, f func(tx *gorm.DB) error) error {
	return onConn(ctx, db, func(db *gorm.DB) error { return commit(ctx, db.Begin(), f) })
}

func commit(ctx context.Context, tx *gorm.DB, f func(tx *gorm.DB) error) error {
	if tx.Error != nil {
		return tx.Error
	}
	committed := false
	defer func() {
		if !committed {
			tx.Rollback() // also when f panics
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	if ctx.Err() != nil { // known not to be committed, which COMMIT's own error could not say
		return ctx.Err()
	}
	committed = true
	err := tx.Commit().Error
	if err != nil && !rolledBack(err) {
		return inDoubt{err}
	}
	return err
}
