package models

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gorm.io/gorm"
	"modernc.org/sqlite"
)

// sqliteReaders is how many reads may be under way at once beside the one writer. More than there are cores only makes
// the writer wait for its turn on one of them.
var sqliteReaders = max(2, runtime.NumCPU())

// sqliteWait is how long a statement waits for a lock of another process: SQLite's busy timeout.
const sqliteWait = 5 * time.Second

// openSQLite opens a file: one connection that writes, and a few that only read. Readers see the last
// commit and never wait for the writer (WAL); what is committed is on the disk (synchronous=FULL).
func openSQLite(file string) (p pools, err error) {
	if file == "" {
		return p, errors.New("the database must be sqlite:<file>, for example sqlite:tokenwire.db")
	}
	if strings.HasPrefix(file, "//") {
		return p, errors.New("write sqlite:x.db for a file in this folder, or sqlite:/folder/x.db")
	}
	if err := createPrivate(file); err != nil {
		return p, err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return p, err
	}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: absolute}).String() + fmt.Sprintf("?_pragma=busy_timeout(%d)", sqliteWait.Milliseconds()) + "&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	p.write, err = openPool(dsn+"&mode=rw&_pragma=journal_mode(WAL)&_txlock=immediate", 1)
	if sqliteCode(err)&0xff == sqliteNotADBCode {
		return p, fmt.Errorf("%s is no database of SQLite, and was left as it is: name another file with --database, or put a backup in its place (%w)", file, err)
	}
	if err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	p.nodes = p.write
	const readOnly = "&mode=ro&_pragma=query_only(1)"
	if p.follow, err = openPool(dsn+readOnly, followConns); err == nil {
		p.read, err = openPool(dsn+readOnly, sqliteReaders)
	}
	if err != nil {
		return p, errors.Join(err, p.close())
	}
	return p, nil
}

func openPool(dsn string, conns int) (*gorm.DB, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	// The busy timeout is not for the switch of a new file to WAL: where several nodes are at it, all but one are refused.
	for deadline := time.Now().Add(sqliteWait); ; time.Sleep(firstBackoff) {
		if err = pool.Ping(); !sqliteBusy(err) || time.Now().After(deadline) {
			break
		}
	}
	var db *gorm.DB
	if err == nil {
		db, err = gorm.Open(sqliteDialector{pool}, gormConfig())
	}
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// createPrivate makes a file that is its owner's only. One that is there is left alone: to open and close it would drop
// the locks that SQLite holds on it in this process (fcntl(2), "Record locking and file descriptors").
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Result codes of SQLite (sqlite.org/rescode.html): primary ones are the low byte of extended ones.
const (
	sqliteBusyCode     = 5
	sqliteLockedCode   = 6
	sqliteReadOnlyCode = 8
	sqliteIOErrCode    = 10
	sqliteFullCode     = 13
	sqliteCantOpenCode = 14
	sqliteNotADBCode   = 26

	sqliteForeignKey = 787
	sqlitePrimaryKey = 1555
	sqliteTrigger    = 1811 // a foreign key that restricts a deletion
	sqliteUnique     = 2067
)

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// sqliteBusy reports whether another process holds the file's write lock.
func sqliteBusy(err error) bool {
	code := sqliteCode(err) & 0xff
	return code == sqliteBusyCode || code == sqliteLockedCode
}

// sqliteAway reports whether the file could not be read or written.
func sqliteAway(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqliteBusyCode, sqliteLockedCode, sqliteReadOnlyCode, sqliteIOErrCode, sqliteFullCode, sqliteCantOpenCode:
		return true
	}
	return false
}
