package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Bounds of the connections to MySQL.
const (
	mysqlConns       = 32               // more only queue in the database; a server of the default size has 151
	mysqlConnLife    = 5 * time.Minute  // so that a pool lets go of a host that is being replaced
	mysqlDial        = 5 * time.Second  //
	mysqlNetwork     = 10 * time.Second // silence in the middle of a statement: within a call's own time, beyond the next
	mysqlLockSeconds = 5                // wait for a row's lock
)

// followConns is how many connections are kept for following what others commit: one that looks where feeds stand, one that counts
// commits, one that reads what was missed of feeds, and one that says so. What people ask for must not make a node late, or its
// verifiers lose their leases.
const followConns = 4

// pools are the connections to the database. They are several for MySQL too: changes that wait for each other's rows must not
// hold up who asks whether a credential is good.
type pools struct {
	write  *gorm.DB // changes, always in transactions; for SQLite a pool of one connection
	follow *gorm.DB // what this node reads to stay current
	nodes  *gorm.DB // what it says to other nodes; one of the others
	read   *gorm.DB // everything else
}

// close closes the pools that are open.
func (p pools) close() error {
	var errs []error
	for _, db := range []*gorm.DB{p.read, p.follow, p.write} {
		if db == nil {
			continue
		}
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func openDatabase(ctx context.Context, raw string) (pools, error) {
	scheme, rest, _ := strings.Cut(raw, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(rest)
	case "mysql":
		return openMySQL(ctx, raw)
	}
	return pools{}, errors.New("the database must be sqlite:<file>, such as sqlite:tokenwire.db, or mysql://<user>@<host>:<port>/<name>, with more hosts after commas if there are more, with the password in TOKENWIRE_DATABASE_PASSWORD")
}

// DatabaseFile returns the file of a SQLite URL, or "".
func DatabaseFile(url string) string {
	file, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return ""
	}
	return file
}

func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true, // every transaction here is a named one
		TranslateError:         true,
		Logger:                 logger.Discard, // errors are returned, and logged once at the edge; statements hold values
		NowFunc:                func() time.Time { return time.Now().UTC() },
	}
}

// openMySQL opens pools whose sessions are READ COMMITTED: a read after a lock sees what the lock waited for, and there
// are no gap locks. The pool for changes prepares its statements, few and always the same; those for reads, whose
// statements are of many shapes, send each as one text.
func openMySQL(ctx context.Context, raw string) (p pools, err error) {
	config, addresses, err := mysqlConfig(raw)
	if err != nil {
		return p, err
	}
	variable, err := isolationVariable(ctx, config, addresses)
	if err != nil {
		return p, fmt.Errorf("connecting to the database: %w", advise(err))
	}
	config.Params[variable] = "'READ-COMMITTED'"
	f := newFound(addresses)
	if p.write, err = mysqlPool(config, addresses, f, mysqlConns, true); err != nil {
		return p, err
	}
	if p.follow, err = mysqlPool(config, addresses, f, followConns, false); err == nil {
		p.read, err = mysqlPool(config, addresses, f, mysqlConns, false)
	}
	if err != nil {
		return p, errors.Join(err, p.close())
	}
	p.nodes = p.follow
	return p, nil
}

// migrationPool returns what to migrate through, and what closes it. To make an index, or to wait for another node that
// makes one, takes longer than a statement of a call may.
func migrationPool(raw string, write *gorm.DB) (db *gorm.DB, done func() error, err error) {
	if write.Name() == "sqlite" {
		return write, func() error { return nil }, nil
	}
	config, addresses, err := mysqlConfig(raw)
	if err != nil {
		return nil, nil, err
	}
	config.ReadTimeout = migrationWait
	if db, err = mysqlPool(config, addresses, newFound(addresses), mysqlConns, false); err != nil {
		return nil, nil, err
	}
	pool, err := db.DB()
	return db, pool.Close, err
}

func mysqlPool(config *mysqldriver.Config, addresses []string, f *found, conns int, prepare bool) (*gorm.DB, error) {
	hosts, err := newHosts(config, addresses, f, prepare)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(hosts)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxLifetime(mysqlConnLife)
	return gorm.Open(mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true}), gormConfig())
}

// mysqlConfig returns how to reach the hosts of a URL, and their addresses.
func mysqlConfig(raw string) (config *mysqldriver.Config, addresses []string, err error) {
	wrong := errors.New("the database must be mysql://<user>@<host>:<port>/<name>, optionally with more hosts after commas and with ?tls=true; the password goes into TOKENWIRE_DATABASE_PASSWORD, or percent-encoded after the user and a colon into TOKENWIRE_DATABASE")
	u, err := url.Parse(raw)
	if err != nil || u.User == nil || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" {
		return nil, nil, wrong // without err, which would repeat the password
	}
	if addresses, err = hostAddresses(u.Host); err != nil {
		return nil, nil, wrong
	}
	config = mysqldriver.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net = "tcp"
	config.DBName = strings.Trim(u.Path, "/")
	for name, values := range u.Query() {
		if name != "tls" {
			return nil, nil, wrong
		}
		config.TLSConfig = values[0]
	}
	config.InterpolateParams = true // what is not prepared for good is not prepared for one time either
	config.ClientFoundRows = true   // an UPDATE to the same value has found its row
	config.Timeout, config.ReadTimeout, config.WriteTimeout = mysqlDial, mysqlNetwork, mysqlNetwork
	config.Logger = &mysqldriver.NopLogger{}
	config.Params = map[string]string{
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", // refuse what does not fit, rather than cut it off
		"innodb_lock_wait_timeout": fmt.Sprint(mysqlLockSeconds),
		"time_zone":                "'+00:00'",
	}
	return config, addresses, nil
}

// hostAddresses reads hosts with commas between them, each with its port or without.
func hostAddresses(list string) (addresses []string, err error) {
	for address := range strings.SplitSeq(list, ",") {
		one := url.URL{Host: address}
		if one.Hostname() == "" {
			return nil, errors.New("a host without a name")
		}
		if one.Port() == "" {
			address = net.JoinHostPort(one.Hostname(), "3306")
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// isolationVariable returns the session variable of the isolation level: MariaDB got MySQL's name for it in 11.1.
func isolationVariable(ctx context.Context, config *mysqldriver.Config, addresses []string) (string, error) {
	hosts, err := newHosts(config, addresses, newFound(addresses), false)
	if err != nil {
		return "", err
	}
	pool := sql.OpenDB(hosts)
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var name, value string
	err = pool.QueryRowContext(ctx, "SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')").Scan(&name, &value)
	return name, err
}

// snapshot runs f on a consistent view of the database: all its reads see the same moment.
func (s *Store) snapshot(ctx context.Context, f func(tx *gorm.DB) error) error {
	options := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	if s.read.Dialector.Name() == "sqlite" {
		options = &sql.TxOptions{} // always serializable, and the pool is read-only
	}
	return s.read.WithContext(ctx).Transaction(f, options)
}
