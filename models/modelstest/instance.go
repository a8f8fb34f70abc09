package modelstest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

const (
	// installLimit bounds the making of the system tables: below a second on
	// an idle machine, many times that on a busy one.
	installLimit = 60 * time.Second
	// readyLimit bounds the start of a server, recovery after a kill included.
	readyLimit = 30 * time.Second
	// stopLimit bounds the end of a server, which first writes what it holds.
	stopLimit = 30 * time.Second
	// answerLimit bounds one question to a server: a busy machine may take
	// seconds, and several must fit into readyLimit.
	answerLimit = 5 * time.Second
	// statementLimit bounds CREATE and DROP DATABASE, which wait for the disk.
	statementLimit = 30 * time.Second
	// lockLimit, in seconds, is how long DROP DATABASE waits for transactions
	// that a test left open; the server's own default is a day.
	lockLimit = "10"

	// logTail is how many bytes of a log an error quotes: the last start.
	logTail = 4096

	// The values of innodb-flush-log-at-trx-commit: on disk at every commit,
	// or faster, once a second, for servers that no test kills.
	flushPerCommit, flushPerSecond = 1, 2
)

// tools are the paths of the installed MariaDB programs.
type tools struct{ install, server string }

// findTools looks in PATH, and in /usr/sbin, which PATH often leaves out.
func findTools() (tools, error) {
	if programs.Unsupported != nil {
		return tools{}, programs.Unsupported
	}
	install, err := findTool("mariadb-install-db")
	if err != nil {
		return tools{}, err
	}
	server, err := findTool("mariadbd")
	return tools{install: install, server: server}, err
}

func findTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", name))
	if err != nil {
		return "", fmt.Errorf("%s is neither in PATH nor in /usr/sbin", name)
	}
	return path, nil
}

// instance is one server with its folder. It is not safe for concurrent use,
// except for createDatabase, exec and url while it runs.
type instance struct {
	tools     tools
	folder    string // absolute; holds all else
	flush     int
	port      int
	galera    []string // options of a host of a cluster, or none
	member    []string // those that say how the others reach it
	join      []string // those that say whom it joins
	group     string   // its address within the cluster
	process   *programs.Process
	databases atomic.Int64 // made so far; numbers the next
}

// newInstance makes a server with empty data and starts it.
func newInstance(installed tools, flush int) (*instance, error) {
	folder, err := os.MkdirTemp("", "tokenwire-mariadb-")
	if err != nil {
		return nil, err
	}
	s := &instance{tools: installed, folder: folder, flush: flush}
	if s.folder, err = filepath.Abs(folder); err == nil {
		err = s.install()
	}
	if err == nil {
		err = s.startOnFreePort()
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (s *instance) data() string { return filepath.Join(s.folder, "data") }

func (s *instance) log() string { return filepath.Join(s.folder, "log") }

func (s *instance) address() string { return programs.Address(s.port) }

func (s *instance) url(database string) string {
	return "mysql://root@" + s.address() + "/" + database
}

// install makes the system tables, with a root who needs no password.
func (s *instance) install() error {
	p, err := s.launch(s.tools.install,
		"--auth-root-authentication-method=normal",
		"--skip-test-db",
	)
	if err != nil {
		return err
	}
	if err := p.Wait(installLimit); err != nil {
		return s.explain("install", errors.Join(err, p.Kill(stopLimit)))
	}
	if p.Err() != nil {
		return s.explain("install", p.Err())
	}
	return nil
}

// options returns what both programs need, followed by more. A server that
// starts clears the temporary tables out of its tmpdir, those of other servers
// too: so each has its own.
func (s *instance) options(more ...string) []string {
	options := []string{"--no-defaults", "--skip-name-resolve", "--datadir=" + s.data(), "--tmpdir=" + s.folder}
	if os.Geteuid() == 0 {
		user := "root" // refused to everyone else
		if s.galera != nil {
			user = galeraUser
		}
		options = append(options, "--user="+user)
	}
	return append(options, more...)
}

// launch starts one of the programs, whose whole output replaces the log.
func (s *instance) launch(program string, more ...string) (*programs.Process, error) {
	output, err := os.Create(s.log())
	if err != nil {
		return nil, err
	}
	defer output.Close() // the child has its own copy
	cmd := exec.Command(program, s.options(more...)...)
	cmd.Stdout, cmd.Stderr = output, output
	return programs.Start(cmd)
}

// launchServer starts the server with its options, followed by more.
func (s *instance) launchServer(more ...string) (*programs.Process, error) {
	return s.launch(s.tools.server, slices.Concat(s.galera, s.member, s.join, []string{
		"--bind-address=127.0.0.1",
		"--port=" + strconv.Itoa(s.port),
		// Relative to the data folder: the path of a socket may not be longer
		// than about 100 bytes, and TMPDIR may be.
		"--socket=socket",
		"--character-set-server=utf8mb4",
		"--max-connections=500",
		"--innodb-log-file-size=16M",
		"--innodb-flush-log-at-trx-commit=" + strconv.Itoa(s.flush),
		"--performance-schema=OFF",
	}, more)...)
}

// startOnFreePort settles on the port that the server keeps from then on.
func (s *instance) startOnFreePort() error {
	return programs.OnFreePort(func(port int) error {
		s.port = port
		return s.start()
	})
}

// start starts the server on its port and data, and waits until it answers.
func (s *instance) start() error {
	if s.process.Running() {
		return errors.New("it is running already")
	}
	p, err := s.launchServer()
	if err != nil {
		return err
	}
	s.process = p
	if err := p.Poll(readyLimit, s.answers); err != nil {
		return s.explain("start", errors.Join(err, p.Kill(stopLimit)))
	}
	return nil
}

// end sends the server a signal that ends it and waits until it has exited.
func (s *instance) end(signal syscall.Signal) error {
	if !s.process.Running() {
		return s.notRunning()
	}
	if err := s.process.Signal(signal); err != nil {
		return err
	}
	if err := s.process.Wait(stopLimit); err != nil {
		return s.explain("end", err)
	}
	if signal == syscall.SIGTERM && s.process.Err() != nil {
		return s.explain("shutdown", s.process.Err())
	}
	return nil
}

func (s *instance) freeze() error {
	if !s.process.Running() {
		return s.notRunning()
	}
	return s.process.Freeze(stopLimit)
}

func (s *instance) thaw() error {
	if !s.process.Running() {
		return s.notRunning()
	}
	if err := s.process.Thaw(); err != nil {
		return err
	}
	return s.process.Poll(readyLimit, s.answers)
}

// remove ends the server, in whatever state it is, and deletes its folder.
func (s *instance) remove() error {
	var err error
	if s.process.Running() {
		err = s.process.Kill(stopLimit)
	}
	return errors.Join(err, os.RemoveAll(s.folder))
}

// answers returns nil if this very server answers. The servers of other test
// processes look alike, and one of them may have got the port first.
func (s *instance) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	var data string
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&data); err != nil {
		return err
	}
	if filepath.Clean(data) != s.data() {
		return fmt.Errorf("a server with other data answers: %s", data)
	}
	return nil
}

// createDatabase makes a database and returns its name, new on this server.
func (s *instance) createDatabase() (string, error) {
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	return name, s.exec("CREATE DATABASE " + name)
}

// exec runs one statement on a connection of its own.
func (s *instance) exec(statement string) error {
	if !s.process.Running() {
		return s.notRunning() // its log says more than a refused connection
	}
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// open returns connections to the server, outside of any database.
func (s *instance) open() (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", s.address()
	config.Params = map[string]string{"lock_wait_timeout": lockLimit}
	config.Logger = &mysql.NopLogger{} // a server that starts is no news
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (s *instance) notRunning() error {
	if s.process == nil {
		return errors.New("it is not running")
	}
	return s.explain("it is not running; last run", s.process.Err())
}

// explain adds to err the end of the server's log, and what is known from it.
func (s *instance) explain(action string, err error) error {
	log, readErr := os.ReadFile(s.log())
	if readErr != nil {
		return fmt.Errorf("%s: %w (no log: %v)", action, err, readErr)
	}
	if strings.Contains(string(log), "Bind on TCP/IP port") {
		err = fmt.Errorf("%w: %w", programs.ErrPortTaken, err)
	}
	tail := log[max(0, len(log)-logTail):]
	return fmt.Errorf("%s: %w\nend of its log:\n%s", action, err, tail)
}
