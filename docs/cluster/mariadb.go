//go:build linux

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	galeraHosts = 3 // the least of which one may fail
	galeraUser  = "mysql"
	database    = "tokenwire"
	askWithin   = 2 * time.Second
)

// providers are where distributions put Galera's library.
var providers = []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/libgalera_smm.so"}

// startMariaDB starts one server.
func (c *cluster) startMariaDB() error {
	owner := ""
	if os.Geteuid() == 0 {
		owner = "root"
	}
	dir, err := c.install("mariadb", owner)
	if err != nil {
		return err
	}
	port := c.freePort(firstDatabasePort)
	p := &program{name: "mariadb", url: address(port), ready: func() error { return answers(port) }}
	if err := c.startHost(p, dir, owner, port); err != nil {
		return err
	}
	return c.createDatabase(port)
}

// startGalera starts a cluster of three. The first makes it, the others copy what it has.
func (c *cluster) startGalera() error {
	provider := ""
	for _, path := range providers {
		if _, err := os.Stat(path); err == nil {
			provider = path
		}
	}
	if _, err := exec.LookPath("rsync"); err != nil || provider == "" {
		return errors.New("galera-4 or rsync is not installed; see go doc ./docs/cluster")
	}
	owner := ""
	if os.Geteuid() == 0 {
		owner = galeraUser // rsync, by which hosts copy, does not serve root
	}
	var groups []string // the addresses at which the hosts speak with each other
	for range galeraHosts {
		groups = append(groups, address(c.freePort(firstGroupPort)))
	}
	for i, group := range groups {
		dir, err := c.install(fmt.Sprint("galera-", i+1), owner)
		if err != nil {
			return err
		}
		port := c.freePort(firstDatabasePort)
		ist, sst := c.freePort(firstGroupPort), c.freePort(firstGroupPort)
		options := []string{
			"--wsrep-on=ON", "--wsrep-provider=" + provider, "--wsrep-cluster-name=tokenwire " + filepath.Base(c.dir)[len("tokenwire-cluster-"):],
			"--wsrep-cluster-address=gcomm://" + strings.Join(slices.Delete(slices.Clone(groups), i, i+1), ","), "--wsrep-node-address=" + group,
			"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + address(sst),
			"--wsrep-provider-options=gcache.size=16M;gmcast.listen_addr=tcp://" + group + ";ist.recv_addr=" + address(ist),
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-sync-wait=1",
		}
		p := &program{name: fmt.Sprint("galera ", i+1), url: address(port), ready: func() error { return synced(port) }}
		p.free = func() error { return c.missed(p) }
		if i == 0 {
			p.once = []string{"--wsrep-new-cluster"}
		}
		if err := c.startHost(p, dir, owner, port, options...); err != nil {
			return err
		}
		if i == 0 {
			if err := c.createDatabase(port); err != nil {
				return err
			}
		}
	}
	return nil
}

// install makes a server's folder with its system tables, whose root needs no password.
func (c *cluster) install(name, owner string) (dir string, err error) {
	dir = filepath.Join(c.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := giveTo(dir, owner); err != nil {
		return "", err
	}
	program, err := find("mariadb-install-db")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(c.ctx, program, append(hostOptions(dir, owner), "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mariadb-install-db: %w\n%s", err, output)
	}
	return dir, nil
}

// giveTo makes a user the owner of a folder, if root has made it.
func giveTo(dir, owner string) error {
	if owner == "" {
		return nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return errors.Join(err1, err2, os.Chown(dir, uid, gid))
}

func hostOptions(dir, owner string) []string {
	options := []string{"--no-defaults", "--skip-name-resolve", "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + dir}
	if owner != "" {
		options = append(options, "--user="+owner)
	}
	return options
}

// startHost starts a server.
func (c *cluster) startHost(p *program, dir, owner string, port int, more ...string) error {
	c.hosts = append(c.hosts, p.url)
	options := append(hostOptions(dir, owner), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--socket=socket", "--character-set-server=utf8mb4",
		"--max-connections=500", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--performance-schema=OFF")
	return c.launch(p, "mariadbd", append(options, more...)...)
}

func (c *cluster) createDatabase(port int) error {
	db, err := connect(port)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(c.ctx, "CREATE DATABASE "+database)
	return err
}

// connect returns a pool that logs nothing: a server that starts may end a connection, and is asked again.
func connect(port int) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", address(port)
	config.Timeout, config.ReadTimeout = askWithin, askWithin
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// answers returns nil once a server does.
func answers(port int) error {
	db, err := connect(port)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Ping()
}

// synced returns nil once a host of Galera is part of the cluster and up to date.
func synced(port int) error {
	state, err := status(port, "wsrep_local_state_comment")
	if err != nil {
		return err
	}
	if state != "Synced" {
		return errors.New("it is " + state)
	}
	return nil
}

// runningHosts returns how many hosts of Galera run.
func (c *cluster) runningHosts() (n int) {
	for _, p := range c.programs {
		if p.free != nil && p.runs() {
			n++
		}
	}
	return n
}

// missed returns nil once the other hosts know which are gone: one that comes back before that keeps all from agreeing on who is
// there for long. Hosts that do not answer are not asked.
func (c *cluster) missed(gone *program) error {
	for _, host := range c.hosts {
		_, text, _ := net.SplitHostPort(host)
		port, err := strconv.Atoi(text)
		if host == gone.url || err != nil {
			continue
		}
		if size, err := status(port, "wsrep_cluster_size"); err == nil && size > strconv.Itoa(c.runningHosts()) { // both of one digit
			return errors.New("the others take it for running")
		}
	}
	return nil
}

// status returns what a host says of itself.
func status(port int, name string) (value string, err error) {
	db, err := connect(port)
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRow("SHOW STATUS LIKE '"+name+"'").Scan(&name, &value)
	return value, err
}
