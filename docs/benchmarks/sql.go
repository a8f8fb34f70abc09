package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// statements are those of one set-enabled, without START TRANSACTION and COMMIT. setEnabled holds them against the
// server's log, so they cannot drift.
var statements = []string{
	"SELECT * FROM api_tokens WHERE id = ? AND user_id = ? FOR UPDATE",
	"SELECT '' AS token_id, permission_id FROM user_permissions WHERE user_id = ?\n" +
		"\tUNION ALL SELECT token_id, permission_id FROM api_token_permissions WHERE token_id IN (?)",
	"UPDATE api_tokens SET enabled = ?, version = ?, updated_at = ? WHERE id = ? AND user_id = ?",
	"UPDATE feeds SET position = LAST_INSERT_ID(position + ?), change_id = ? WHERE user_id = ?",
	"SELECT NULL FROM sessions c JOIN users u ON u.id = c.user_id AND u.enabled WHERE c.id = ? AND c.expires_at > ?",
	"INSERT INTO events (user_id, position, change_id, method, token_id, time, params) VALUES (?, ?, ?, ?, ?, ?, ?)",
}

// poolSize is Tokenwire's (mysqlConns in models/database.go).
const poolSize = 32

// session is a connection with every statement prepared, once.
type session struct {
	conn     driver.Conn
	prepared []driver.Stmt
}

// runSQL sends the statements of set-enabled to MariaDB through go-sql-driver and nothing else: from as many goroutines as
// there are callers, over as many connections as Tokenwire has, as prepared statements. Standard input is the callers,
// then a line for each measurement; each is answered with the rate.
func runSQL() error {
	flags := flag.NewFlagSet("reference-sql", flag.ExitOnError)
	server := flags.String("server", "", "address of MariaDB")
	flags.Parse(os.Args[2:])
	fmt.Println("talking to", *server)
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var all []*setter
	if err := json.Unmarshal(line, &all); err != nil {
		return err
	}
	pool, err := openSessions(*server)
	if err != nil {
		return err
	}
	versions := make([]int64, len(all))
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		period, err := time.ParseDuration(strings.TrimSpace(line))
		if err != nil {
			return err
		}
		rate, err := closedLoop(len(all), period, func(i int) error {
			s := <-pool
			defer func() { pool <- s }()
			versions[i]++
			return s.setEnabled(all[i], versions[i]+1)
		})
		if err != nil {
			return err
		}
		fmt.Println(rate)
	}
}

func openSessions(server string) (chan *session, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = "root", "tcp", server, "ours"
	config.ClientFoundRows = true
	config.Params = map[string]string{"tx_isolation": "'READ-COMMITTED'", "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	pool := make(chan *session, poolSize)
	for range poolSize {
		conn, err := connector.Connect(context.Background())
		if err != nil {
			return nil, err
		}
		s := &session{conn: conn}
		for _, text := range statements {
			statement, err := conn.Prepare(text)
			if err != nil {
				return nil, err
			}
			s.prepared = append(s.prepared, statement)
		}
		pool <- s
	}
	return pool, nil
}

// setEnabled is one transaction.
func (s *session) setEnabled(who *setter, version int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tx, err := s.conn.(driver.ConnBeginTx).BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return err
	}
	now, changeID, enabled := time.Now().UnixMilli(), rand.Text()[:12], version%2
	var position int64
	for i, args := range [][]any{
		{who.TokenID, who.UserID}, {who.UserID, who.TokenID},
		{enabled, version, now, who.TokenID, who.UserID}, {int64(1), changeID, who.UserID},
		{who.SessionID, now}, nil,
	} {
		if args == nil {
			params := fmt.Sprintf(`{"by":{"userId":"%s","username":"%s","credential":{"kind":"session","id":"%s"}},"tokenId":"%s","enabled":%t,"version":%d}`,
				who.UserID, who.Username, who.SessionID, who.TokenID, enabled == 1, version)
			args = []any{who.UserID, position, changeID, "/v1/api-tokens/enabled-changed", who.TokenID, now, []byte(params)}
		}
		got, err := s.send(ctx, i, args)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if strings.HasPrefix(statements[i], "UPDATE feeds") {
			position = got.(int64)
		}
	}
	return tx.Commit()
}

// send executes a statement, and returns the first column of the last row that a query brings, or LAST_INSERT_ID.
func (s *session) send(ctx context.Context, i int, args []any) (got any, err error) {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	if !strings.HasPrefix(statements[i], "SELECT") {
		result, err := s.prepared[i].(driver.StmtExecContext).ExecContext(ctx, values)
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); n != 1 || err != nil {
			return nil, fmt.Errorf("%s: %d rows, %v", statements[i], n, err)
		}
		return result.LastInsertId()
	}
	rows, err := s.prepared[i].(driver.StmtQueryContext).QueryContext(ctx, values)
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		if err = rows.Next(row); err == nil {
			got = row[0]
		}
	}
	if err == io.EOF {
		err = nil
	}
	return got, errors.Join(err, rows.Close())
}

// closedLoop has workers do something again and again for a while, and returns how often a second it was done.
func closedLoop(workers int, period time.Duration, do func(worker int) error) (float64, error) {
	var count atomic.Int64
	var stop atomic.Bool
	var running sync.WaitGroup
	failed := make(chan error, workers)
	for i := range workers {
		running.Go(func() {
			for !stop.Load() {
				if err := do(i); err != nil {
					failed <- err
					return
				}
				count.Add(1)
			}
		})
	}
	time.Sleep(period / 10) // to get going
	from, started := count.Load(), time.Now()
	time.Sleep(period)
	n, took := count.Load()-from, time.Since(started)
	stop.Store(true)
	running.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(n) / took.Seconds(), nil
	}
}
