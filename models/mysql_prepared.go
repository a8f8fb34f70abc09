package models

import (
	"context"
	"database/sql/driver"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxPrepared is how many statements a connection keeps prepared; the one unused for longest makes way. Changes have some
// 50 of them, and a server allows 16,382 in all.
const maxPrepared = 100

// conn is what go-sql-driver's connections are to database/sql.
type conn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn is a connection that prepares each statement once, by text. GORM's PrepareStmt cannot do that for
// transactions: what it prepares inside of one ends with it, which costs two round trips a statement; outside, a statement
// would wait for connections that transactions hold which wait for that statement. One goroutine at a time uses it.
type preparedConn struct {
	conn
	prepared *lru.Cache[string, statement]
}

func prepared(c conn) (*preparedConn, error) {
	statements, err := lru.NewWithEvict(maxPrepared, func(_ string, s statement) { s.Close() })
	return &preparedConn{c, statements}, err
}

// ExecContext executes a statement that returns no rows.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.conn.ExecContext(ctx, query, nil)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args)
}

// QueryContext executes a statement that returns rows.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.conn.QueryContext(ctx, query, nil)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args)
}

func (c *preparedConn) prepare(ctx context.Context, query string) (statement, error) {
	if s, ok := c.prepared.Get(query); ok {
		return s, nil
	}
	made, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := made.(statement)
	c.prepared.Add(query, s)
	return s, nil
}
