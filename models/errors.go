package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
)

// Code says what kind of refusal an [Error] is.
type Code int

// The codes, each with the HTTP status that it becomes on the wire.
const (
	Invalid      Code = iota + 1 // a param is wrong: -32602, HTTP 400
	Unauthorized                 // no good credential: 401
	Forbidden                    // a permission is missing: 403
	NotFound                     // not there, or not the caller's: 404
	Conflict                     // the state does not allow it: 409
	Gone                         // the position is too old: 410
	TooMany                      // a limit on attempts: 429
	Unavailable                  // the database is away: 503
)

// Error is a refusal that may be shown to the caller: its message is for people, and its data holds no secret.
type Error struct {
	Code    Code
	Message string
	Data    map[string]any // what a program needs to know of it, e.g. {"param": "name"}; may be nil
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func invalid(param, message string) *Error {
	return &Error{Invalid, message, map[string]any{"param": param}}
}

func notFound(what string) *Error { return &Error{Code: NotFound, Message: "no such " + what} }

// ErrUnauthorized is the answer to every kind of bad credential alike.
var ErrUnauthorized = &Error{Code: Unauthorized, Message: "no valid credential; sign in, or send a token that is enabled and has not expired"}

// ErrUnavailable says that the database did not do its part. A change under way did not take effect.
var ErrUnavailable = &Error{Code: Unavailable, Message: "the database is not available and nothing was changed; try again shortly"}

// ErrInDoubt is ErrUnavailable after COMMIT was sent.
var ErrInDoubt = &Error{Code: Unavailable, Message: "the database did not answer in time; whether the change took effect is not known: read before you repeat it"}

// wrap turns a missing row into NotFound and leaves the rest alone.
func wrap(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return notFound(what)
	}
	return err
}

// mysqlDeadlock is also how a cluster says that a transaction lost to one of another host.
const mysqlDeadlock = 1213

// MySQL error numbers (dev.mysql.com/doc/mysql-errors): what goes away by trying again at once, and what means that the
// server is away, full or read-only.
var (
	mysqlTransient   = []uint16{1205, mysqlDeadlock}
	mysqlUnavailable = []uint16{1021, 1040, 1041, 1047, 1053, 1077, 1079, 1080, 1158, 1159, 1160, 1161, 1180, 1203, 1205, 1290, 1317, 1792, 1836, 1927, 3024, 3101, 4031}
)

// transient reports whether the transaction lost to another one and may be tried again.
func transient(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return slices.Contains(mysqlTransient, my.Number)
	}
	return sqliteBusy(err)
}

// lost reports whether a transaction ended because its host could not be worked with, or its connection broke.
func lost(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn)
}

// rolledBack reports whether the error of a COMMIT says that nothing came of it: the transaction lost to one of another host
// of the cluster, or the host took no COMMIT, or none was sent.
func rolledBack(err error) bool {
	var my *mysql.MySQLError
	return errors.Is(err, sql.ErrTxDone) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &my) && my.Number == mysqlDeadlock
}

// Away reports whether err means that the database could not be reached or could not work, which is nobody's mistake
// and passes.
func Away(err error) bool {
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return slices.Contains(mysqlUnavailable, my.Number) || slices.Contains(mysqlTransient, my.Number)
	}
	var netErr net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, errUnusable) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr) ||
		errors.Is(err, context.DeadlineExceeded) || isClosed(err) || sqliteAway(err)
}

// MySQL's refusals of who connects, each with what mends it.
var mysqlAdvice = map[uint16]string{
	1045: "the user or the password is wrong, or the user must not connect from here: the password goes into TOKENWIRE_DATABASE_PASSWORD, or after the user and a colon into TOKENWIRE_DATABASE",
	1044: mysqlMakeFirst,
	1049: mysqlMakeFirst,
}

// mysqlMakeFirst is also for a database that is not there: who may not see it is refused alike.
const mysqlMakeFirst = "make the database and its user first, with CREATE DATABASE and GRANT as README.md has it under MySQL"

// advise adds to an error of the start what is to be done about it.
func advise(err error) error {
	var my *mysql.MySQLError
	if !errors.As(err, &my) || mysqlAdvice[my.Number] == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, mysqlAdvice[my.Number])
}

// isClosed finds database/sql's own error for a pool that is closed, which it does not export.
func isClosed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "sql: database is closed")
}

// FormatError says, in words for people, how a value in JSON must be written.
type FormatError string

// Error returns the message.
func (e FormatError) Error() string { return string(e) }
