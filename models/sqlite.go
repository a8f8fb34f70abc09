package models

import (
	"errors"
	"net/url"

	"github.com/glebarez/go-sqlite"
	gormsqlite "github.com/glebarez/sqlite"
	"gorm.io/gorm"
)

// sqliteReaders is how many reads may be under way at once beside the one writer: more would only share the cores.
const sqliteReaders = 4

// openSQLite opens a file with two pools: one connection that writes, and a few that only read. Readers see the last
// commit and never wait for the writer (WAL); what is committed is on the disk (synchronous=FULL).
func openSQLite(file string) (write, read *gorm.DB, err error) {
	if file == "" {
		return nil, nil, errors.New("the database must be sqlite:<file>, for example sqlite:tokenwire.db")
	}
	if err := privateFile(file); err != nil {
		return nil, nil, err
	}
	dsn := func(more string) string {
		return "file:" + (&url.URL{Path: file}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)" + more
	}
	write, err = openPool(dsn("&_pragma=journal_mode(WAL)&_txlock=immediate"), 1)
	if err != nil {
		return nil, nil, err
	}
	read, err = openPool(dsn("&_pragma=query_only(1)"), sqliteReaders)
	return write, read, err
}

func openPool(dsn string, conns int) (*gorm.DB, error) {
	db, err := gorm.Open(gormsqlite.Open(dsn), gormConfig())
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return db, nil
}

// Primary result codes of SQLite (sqlite.org/rescode.html).
const (
	sqliteCodeBusy     = 5
	sqliteCodeLocked   = 6
	sqliteCodeReadOnly = 8
	sqliteCodeIOErr    = 10
	sqliteCodeFull     = 13
	sqliteCodeCantOpen = 14
)

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// sqliteBusy reports whether another process holds the file's write lock.
func sqliteBusy(err error) bool {
	code := sqliteCode(err)
	return code == sqliteCodeBusy || code == sqliteCodeLocked
}

// sqliteAway reports whether the file could not be read or written.
func sqliteAway(err error) bool {
	switch sqliteCode(err) {
	case sqliteCodeBusy, sqliteCodeLocked, sqliteCodeReadOnly, sqliteCodeIOErr, sqliteCodeFull, sqliteCodeCantOpen:
		return true
	}
	return false
}
