//go:build linux

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver
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
	if err := c.startHost("mariadb", dir, owner, port, answers); err != nil {
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
	join := ""
	for i := range galeraHosts {
		name := fmt.Sprint("galera ", i+1)
		dir, err := c.install(fmt.Sprint("galera-", i+1), owner)
		if err != nil {
			return err
		}
		port := c.freePort(firstDatabasePort)
		group := address(c.freePort(firstGroupPort))
		ist, sst := c.freePort(firstGroupPort), c.freePort(firstGroupPort)
		options := []string{
			"--wsrep-on=ON", "--wsrep-provider=" + provider, "--wsrep-cluster-name=tokenwire " + filepath.Base(c.dir)[len("tokenwire-cluster-"):],
			"--wsrep-cluster-address=gcomm://" + join, "--wsrep-node-address=" + group,
			"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + address(sst),
			"--wsrep-provider-options=gcache.size=16M;gmcast.listen_addr=tcp://" + group + ";ist.recv_addr=" + address(ist),
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-sync-wait=1",
		}
		if i == 0 {
			options = append(options, "--wsrep-new-cluster")
			join = group
		}
		if err := c.startHost(name, dir, owner, port, synced, options...); err != nil {
			return err
		}
		if i == 0 {
			if err := c.createDatabase(port); err != nil {
				return err
			}
			continue
		}
		c.databases = append(c.databases, "mysql://root@"+address(port)+"/"+database)
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
func (c *cluster) startHost(name, dir, owner string, port int, ready func(port int) error, more ...string) error {
	options := append(hostOptions(dir, owner), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port), "--socket=socket", "--character-set-server=utf8mb4",
		"--max-connections=500", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--performance-schema=OFF")
	p := &program{name: name, url: address(port)}
	return c.launch(p, nil, func() error { return ready(port) }, "mariadbd", append(options, more...)...)
}

func (c *cluster) createDatabase(port int) error {
	c.databases = append(c.databases, "mysql://root@"+address(port)+"/"+database)
	db, err := connect(port)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(c.ctx, "CREATE DATABASE "+database)
	return err
}

func connect(port int) (*sql.DB, error) {
	return sql.Open("mysql", fmt.Sprintf("root@tcp(%s)/?timeout=%v&readTimeout=%[2]v", address(port), askWithin))
}

// answers returns nil once a server does.
func answers(port int) error {
	if err := listens(port); err != nil { // the driver would log each attempt
		return err
	}
	db, err := connect(port)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Ping()
}

// synced returns nil once a host of Galera is part of the cluster and up to date.
func synced(port int) error {
	if err := listens(port); err != nil {
		return err
	}
	db, err := connect(port)
	if err != nil {
		return err
	}
	defer db.Close()
	var name, state string
	if err := db.QueryRow("SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state); err != nil {
		return err
	}
	if state != "Synced" {
		return errors.New("it is " + state)
	}
	return nil
}
