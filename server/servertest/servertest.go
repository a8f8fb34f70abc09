// Package servertest runs Tokenwire for tests as its users run it: the program itself, with a database, a key file and an
// address, over any number of starts.
//
//	p := servertest.Start(t, modelstest.SQLite(t))
//	admin := p.SignIn("admin", servertest.Password)
//	p.Kill()
//	p.Start()
//
// It promises that:
//
//   - the address stays the same, so that clients which knew it come back after a restart, browsers above all;
//   - the program is built once for all tests of a process, and built without the race detector;
//   - it ends with the test, and does not outlive the test process, however that ends;
//   - nothing waits for ever, and a test that fails shows the end of the program's log.
//
// Whatever ends a test here belongs to the goroutine that runs the test, as t.Fatal does; Post, URL, Ready and Running may be
// used from any.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { programs.Main(m) }
package servertest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// Password is the administrator's, whose username is admin.
const Password = "correct horse battery"

const (
	// readyLimit bounds a start, which may have to make the database's tables or recover them, and waits 30 s for the database.
	readyLimit = 45 * time.Second
	// stopLimit bounds an end: the program gives calls under way 10 s.
	stopLimit = 20 * time.Second
	// logTail is how many bytes of the log a failed test shows.
	logTail = 4000
)

// Program is Tokenwire on one database and address.
type Program struct {
	t        testing.TB
	binary   string
	database string
	key      string
	args     []string
	under    []string
	host     string
	port     int

	process *programs.Process
	greets  programs.Output // its standard output since it was started last
	log     programs.Output // its standard error, of all starts
}

// Setup is what a program is made of, beside what Start chooses by itself.
type Setup struct {
	Database string   // its URL
	Key      string   // the key's file; "" for a new one
	Args     []string // more of them
	Binary   string   // from Build; "" for Tokenwire as it is
	Under    []string // a command that runs the program: its own arguments, then those of the program
	Host     string   // the address of this machine that it listens on; "" for 127.0.0.1
}

// Start returns Tokenwire, ready on a database and a free port, with a key of its own. It ends when the test does. More
// arguments go to the program.
func Start(t testing.TB, database string, args ...string) *Program {
	t.Helper()
	return StartWith(t, Setup{Database: database, Args: args})
}

// StartWith is Start for who chooses more.
func StartWith(t testing.TB, s Setup) *Program {
	t.Helper()
	if programs.Unsupported != nil {
		programs.Missing(t, "program to test", programs.Unsupported)
	}
	if s.Key == "" {
		s.Key = filepath.Join(t.TempDir(), "key")
	}
	if s.Binary == "" {
		s.Binary = build(t)
	}
	if s.Host == "" {
		s.Host = programs.Host
	}
	return launch(&Program{t: t, binary: s.Binary, database: s.Database, key: s.Key, args: s.Args, under: s.Under, host: s.Host})
}

// Beside returns another node with the same key, the URL that it reaches the same database at, and arguments of its own. A
// database in a file is not for that.
func (p *Program) Beside(database string, args ...string) *Program {
	p.t.Helper()
	return StartWith(p.t, Setup{Database: database, Key: p.key, Args: args, Binary: p.binary, Host: p.host})
}

// StartTogether returns nodes that start at the same moment on one database, which may be empty, with a key file that none has
// made yet.
func StartTogether(t testing.TB, n int, database string, args ...string) []*Program {
	t.Helper()
	if programs.Unsupported != nil {
		programs.Missing(t, "program to test", programs.Unsupported)
	}
	binary, key := build(t), filepath.Join(t.TempDir(), "key")
	nodes, failed := make([]*Program, n), make([]error, n)
	var starts sync.WaitGroup
	for i := range nodes {
		nodes[i] = &Program{t: t, binary: binary, database: database, key: key, args: args, host: programs.Host}
		t.Cleanup(nodes[i].end)
		starts.Go(func() { failed[i] = nodes[i].startAnywhere() })
	}
	starts.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatalf("start Tokenwire: %v", err)
	}
	return nodes
}

func launch(p *Program) *Program {
	p.t.Helper()
	p.t.Cleanup(p.end)
	p.must("start", p.startAnywhere())
	return p
}

// startAnywhere starts the program on a port that is its own from then on.
func (p *Program) startAnywhere() error {
	return programs.OnFreePort(func(port int) error {
		p.port = port
		return p.start()
	})
}

// start starts the program on its port and waits until it has said that it is there.
func (p *Program) start() error {
	command := slices.Concat(p.under, []string{p.binary, "--listen", p.address(), "--key-file", p.key}, p.args)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "TOKENWIRE_DATABASE="+p.database, "TOKENWIRE_ADMIN_PASSWORD="+Password)
	p.greets.Reset()
	cmd.Stdout, cmd.Stderr = &p.greets, &p.log
	process, err := programs.Start(cmd)
	if err != nil {
		return err
	}
	p.process = process
	err = process.Poll(readyLimit, func() error {
		if !strings.Contains(p.greets.String(), "is at "+p.URL()+",") {
			return errors.New("it has not said where it is")
		}
		return nil
	})
	if err != nil && strings.Contains(p.log.String(), "address already in use") {
		err = fmt.Errorf("%w: %w", programs.ErrPortTaken, err)
	}
	return err
}

// end ends the program with the test.
func (p *Program) end() {
	if p.process.Running() {
		if err := p.process.Kill(stopLimit); err != nil {
			p.t.Errorf("end Tokenwire: %v", err)
		}
	}
	if p.t.Failed() {
		log := p.log.String()
		end := max(0, len(log)-logTail)
		p.t.Logf("Tokenwire's log has\n%sand ends with\n%s", errorsIn(log[:end]), log[end:])
	}
}

// errorsIn returns the lines of a log that tell of errors, which nobody expects.
func errorsIn(log string) (lines string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, " level=ERROR ") {
			lines += line
		}
	}
	return lines
}

// Start starts the program again after Kill or Stop, on the same address, database and key, and waits until it is ready.
func (p *Program) Start() {
	p.t.Helper()
	if p.process.Running() {
		p.t.Fatal("start Tokenwire: it is running already")
	}
	p.must("start", p.start())
}

// Kill ends the program as a crash would, and waits until it is gone. A frozen one can be killed, too.
func (p *Program) Kill() {
	p.t.Helper()
	p.must("kill", p.process.Kill(stopLimit))
}

// Terminate asks the program to end, and does not wait; see Stopped.
func (p *Program) Terminate() {
	p.t.Helper()
	p.must("terminate", p.process.Signal(syscall.SIGTERM))
}

// Stopped waits until the program has ended, and wants it to have done so without an error.
func (p *Program) Stopped(limit time.Duration) {
	p.t.Helper()
	p.must("stop", p.process.Wait(limit))
	p.must("stop", p.process.Err())
}

// Stop ends the program as its users do, and waits until it has ended.
func (p *Program) Stop() {
	p.t.Helper()
	p.Terminate()
	p.Stopped(stopLimit)
}

// Freeze suspends the program: connections stay open, new ones are still accepted by the kernel, and nothing is answered.
func (p *Program) Freeze() {
	p.t.Helper()
	p.must("freeze", p.process.Freeze(stopLimit))
}

// Thaw lets a frozen program run on.
func (p *Program) Thaw() {
	p.t.Helper()
	p.must("thaw", p.process.Thaw())
}

func (p *Program) must(action string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s Tokenwire: %v", action, err)
	}
}

// URL is where the program is, http://<host>:<port>, over all starts.
func (p *Program) URL() string { return "http://" + p.address() }

func (p *Program) address() string { return net.JoinHostPort(p.host, strconv.Itoa(p.port)) }

// Database is the URL of its database.
func (p *Program) Database() string { return p.database }

// KeyFile is the file of its key.
func (p *Program) KeyFile() string { return p.key }

// Log is what the program has written to its log so far, over all starts.
func (p *Program) Log() string { return p.log.String() }

// Running reports whether the program has yet to end.
func (p *Program) Running() bool { return p.process.Running() }

// Ready returns the status of /readyz, or 0 where there is no answer.
func (p *Program) Ready() int {
	response, err := clients.Get(p.URL() + "/readyz")
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// clients keeps connections to the program, unlike http.DefaultClient as many as there are workers in a test.
var clients = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: readyLimit}
