package main

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver
)

// Ports below those that the kernel gives to outgoing connections.
const firstPort, lastPort = 20000, 32767

// mariaDB is a private server in the temporary directory, whose commits are on the disk when they return.
type mariaDB struct {
	addr string
	root *sql.DB // outside of any database
}

func startMariaDB(o *options) (*mariaDB, error) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	dir := filepath.Join(o.dir, "mariadb")
	common := []string{"--no-defaults", "--datadir=" + dir, "--tmpdir=" + o.dir, "--skip-name-resolve"}
	if os.Geteuid() == 0 {
		common = append(common, "--user=root")
	}
	install := exec.Command("mariadb-install-db", append(common, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if output, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db (Debian: apt install mariadb-server): %w\n%s", err, output)
	}
	port := firstPort + rand.IntN(lastPort-firstPort)
	cmd := exec.Command("mariadbd", append(common, "--bind-address=127.0.0.1", fmt.Sprint("--port=", port), "--socket=socket",
		"--character-set-server=utf8mb4", "--max-connections=300", "--innodb-log-file-size=64M", "--innodb-buffer-pool-size=256M",
		"--innodb-flush-log-at-trx-commit=1", "--performance-schema=OFF", "--log-output=TABLE")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &mariaDB{addr: net.JoinHostPort("127.0.0.1", fmt.Sprint(port))}
	children = append(children, &process{cmd: cmd, addr: m.addr})
	var err error
	if m.root, err = sql.Open("mysql", "root@tcp("+m.addr+")/"); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err = m.root.Exec("SELECT 1"); err == nil || time.Now().After(deadline) {
			return m, err
		}
	}
}

// statements returns what the server was sent while f ran, in order, from its general log.
func (m *mariaDB) statements(f func() error) ([]string, error) {
	_, err := m.root.Exec("SET GLOBAL general_log = ON")
	if err == nil {
		err = f()
	}
	_, off := m.root.Exec("SET GLOBAL general_log = OFF")
	if err = errors.Join(err, off); err != nil {
		return nil, err
	}
	rows, err := m.root.Query("SELECT CONCAT(command_type, ' ', argument) FROM mysql.general_log ORDER BY event_time")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}
