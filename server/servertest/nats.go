package servertest

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// NATS is a server of NATS that nodes are joined by.
type NATS struct {
	t       testing.TB
	binary  string
	port    int
	process *programs.Process
	log     programs.Output
}

// StartNATS returns a server of NATS on a free port. It ends when the test does.
func StartNATS(t testing.TB) *NATS {
	t.Helper()
	binary, err := exec.LookPath("nats-server")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/nats-server")
	}
	if err != nil {
		programs.Missing(t, "NATS", err)
	}
	n := &NATS{t: t, binary: binary}
	t.Cleanup(func() {
		if n.process.Running() {
			n.process.Kill(stopLimit)
		}
	})
	if err := programs.OnFreePort(func(port int) error { n.port = port; return n.start() }); err != nil {
		t.Fatalf("start NATS: %v\n%s", err, n.log.String())
	}
	return n
}

func (n *NATS) start() error {
	cmd := exec.Command(n.binary, "--addr", "127.0.0.1", "--port", fmt.Sprint(n.port))
	cmd.Stdout, cmd.Stderr = &n.log, &n.log
	process, err := programs.Start(cmd)
	if err != nil {
		return err
	}
	n.process = process
	return process.Poll(readyLimit, func() error {
		conn, err := net.DialTimeout("tcp", programs.Address(n.port), time.Second)
		if err != nil {
			return errors.New("it does not listen")
		}
		return conn.Close()
	})
}

// URL is where it is, over all starts.
func (n *NATS) URL() string { return "nats://" + programs.Address(n.port) }

// Kill ends it as a crash would.
func (n *NATS) Kill() {
	n.t.Helper()
	n.must(n.process.Kill(stopLimit))
}

// Start starts it again.
func (n *NATS) Start() {
	n.t.Helper()
	n.must(n.start())
}

// Freeze suspends it: connections stay open, and nothing is handed on.
func (n *NATS) Freeze() {
	n.t.Helper()
	n.must(n.process.Freeze(stopLimit))
}

// Thaw lets it run on.
func (n *NATS) Thaw() {
	n.t.Helper()
	n.must(n.process.Thaw())
}

func (n *NATS) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("NATS: %v", err)
	}
}
