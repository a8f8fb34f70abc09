package models

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// hosts makes the connections of a pool, each to the first host that can be worked with: it begins with the one that was
// good last, at first with any.
type hosts struct {
	all []*host
	*found
}

// found is what the pools of a store have found out about the hosts of its database. What one has, none has to find out again.
type found struct {
	last    atomic.Int64   // which of them was good last
	refused []atomic.Int64 // how often each said that it cannot be worked with, or nothing: connections of before are of no use
}

func newFound(addresses []string) *found {
	f := &found{refused: make([]atomic.Int64, len(addresses))}
	f.last.Store(rand.Int64N(int64(len(addresses))))
	return f
}

// host is one address of the database.
type host struct {
	driver.Connector
	*found
	n       int // which of them it is
	address string
	prepare bool // whether its connections prepare their statements
}

// isRefused has connections that were opened when it was so often be of no use.
func (h *host) isRefused(since int64) (first bool) {
	return h.refused[h.n].CompareAndSwap(since, since+1)
}

// isSilent has another host be tried first.
func (h *host) isSilent() {
	h.last.CompareAndSwap(int64(h.n), int64((h.n+1)%len(h.refused)))
}

// newHosts returns the hosts at addresses, which are all reached in the same way.
// Their connections prepare each statement once, or none.
func newHosts(config *mysql.Config, addresses []string, f *found, prepare bool) (*hosts, error) {
	h := &hosts{found: f}
	for i, address := range addresses {
		config := config.Clone()
		config.Addr = address
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return nil, err
		}
		h.all = append(h.all, &host{connector, f, i, address, prepare})
	}
	return h, nil
}

// Connect opens a connection.
func (h *hosts) Connect(ctx context.Context) (driver.Conn, error) {
	var failed error
	first := int(h.last.Load())
	for i := range h.all {
		n := (first + i) % len(h.all)
		c, err := h.all[n].connect(ctx, len(h.all) > 1)
		if err == nil {
			h.last.Store(int64(n))
			return c, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", h.all[n].address, err))
	}
	return nil, failed
}

// Driver returns the driver.
func (h *hosts) Driver() driver.Driver { return h.all[0].Driver() }

// errUnusable says that a host answers and is not one to work with.
var errUnusable = errors.New("the host is read-only, or not in its cluster")

// connect opens a connection to the host, if it is to be chosen only where it can be worked with.
func (h *host) connect(ctx context.Context, choose bool) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, mysqlDial) // a host that stands still takes the connection and says nothing
	defer cancel()
	since := h.refused[h.n].Load()
	opened, err := h.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &hostConn{conn: opened.(conn), host: h, since: since}
	if err := c.prepareSession(ctx, choose); err != nil {
		c.Close()
		return nil, err
	}
	if h.prepare && !c.clustered {
		c.conn, err = prepared(c.conn)
	}
	return c, err
}

// hostConn is a connection that is thrown away when its host says that it cannot be worked with. One goroutine at a time
// uses it.
type hostConn struct {
	conn
	host      *host
	since     int64 // how often the host had said so when it was opened
	clustered bool  // whether it is one of Galera's
	inTx      bool
}

// prepareSession looks whether the host can be worked with, if that is asked for, and has reads see what was committed
// on any host of its cluster before they began: Galera's hosts would show an older state for a moment. It comes after the
// look, since a host outside of its cluster could not tell.
func (c *hostConn) prepareSession(ctx context.Context, choose bool) error {
	galera, err := c.value(ctx, "SHOW GLOBAL VARIABLES LIKE 'wsrep_on'", 1)
	if err != nil {
		return err
	}
	c.clustered = galera == "ON"
	if choose {
		if err := c.check(ctx); err != nil {
			return err
		}
	}
	if c.clustered {
		_, err = c.conn.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 1", nil)
	}
	return err
}

// check returns errUnusable where the host cannot be worked with.
func (c *hostConn) check(ctx context.Context) error {
	readOnly, err := c.value(ctx, "SELECT @@GLOBAL.read_only", 0)
	if err == nil && readOnly != "0" && readOnly != "OFF" {
		err = errUnusable
	}
	if err != nil || !c.clustered {
		return err
	}
	ready, err := c.value(ctx, "SHOW GLOBAL STATUS LIKE 'wsrep_ready'", 1)
	if err == nil && ready != "ON" {
		err = errUnusable
	}
	return err
}

// value returns a column of the one row that a query gives, or "" where it gives none.
func (c *hostConn) value(ctx context.Context, query string, column int) (string, error) {
	rows, err := c.conn.QueryContext(ctx, query, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if text, is := row[column].([]byte); is {
		return string(text), nil
	}
	return fmt.Sprint(row[column]), nil
}

// What hosts say that cannot be worked with: not in the primary component of their cluster, or read-only. Nothing came of
// the statement then, nor of a COMMIT. And what one of a cluster says that cannot find out what was committed there, outside
// of transactions: within, it is said of a row that somebody holds.
var (
	mysqlElsewhere = []uint16{1047, 1290, 1792, 1836}
	mysqlNoAnswer  = uint16(1205)
)

// heed has the connection, and all others to its host that are as old, thrown away if err says that the host cannot be
// worked with. What it returns then is database/sql's word for a connection that did nothing: another one is tried. A connection that
// broke in the middle of a statement is taken for all of them, too: where the host is gone without a word, or stands still, each would
// cost its statement the whole wait.
func (c *hostConn) heed(err error) error {
	var my *mysql.MySQLError
	if errors.Is(err, mysql.ErrInvalidConn) && c.host.isRefused(c.since) {
		c.host.isSilent()
	}
	if !errors.As(err, &my) {
		return err
	}
	noAnswer := my.Number == mysqlNoAnswer && c.clustered && !c.inTx
	if !noAnswer && !slices.Contains(mysqlElsewhere, my.Number) {
		return err
	}
	c.host.isRefused(c.since)
	c.since = -1
	return driver.ErrBadConn
}

func (c *hostConn) stale() bool { return c.since != c.host.refused[c.host.n].Load() }

// ResetSession is called before the connection is used again.
func (c *hostConn) ResetSession(ctx context.Context) error {
	if c.stale() {
		return driver.ErrBadConn
	}
	return c.conn.ResetSession(ctx)
}

// IsValid reports whether the connection may go back to the pool.
func (c *hostConn) IsValid() bool { return !c.stale() && c.conn.IsValid() }

// ExecContext executes a statement that returns no rows.
func (c *hostConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.conn.ExecContext(ctx, query, args)
	return result, c.heed(err)
}

// QueryContext executes a statement that returns rows.
func (c *hostConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.QueryContext(ctx, query, args)
	return rows, c.heed(err)
}

// errPrepared is what PrepareContext says on a cluster.
var errPrepared = errors.New("a host of a cluster does not tell of a transaction that it has ended to who prepares a statement next")

// PrepareContext prepares a statement, but not for a host of Galera's (seen in MariaDB 10.11): of a transaction that lost to one
// of another host, the statements after one that was prepared would be done, each by itself.
func (c *hostConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.clustered {
		return nil, errPrepared
	}
	return c.conn.PrepareContext(ctx, query)
}

// BeginTx begins a transaction.
func (c *hostConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.conn.BeginTx(ctx, o)
	if err != nil {
		return nil, c.heed(err)
	}
	c.inTx = true
	return &hostTx{tx, c}, nil
}

// hostTx is a transaction of a hostConn.
type hostTx struct {
	driver.Tx
	conn *hostConn
}

// Commit commits the transaction.
func (t *hostTx) Commit() error {
	err := t.conn.heed(t.Tx.Commit())
	t.conn.inTx = false
	return err
}

// Rollback ends it without effect.
func (t *hostTx) Rollback() error {
	t.conn.inTx = false
	return t.Tx.Rollback()
}
