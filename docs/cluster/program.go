//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readyWithin = 60 * time.Second       // a host that joins a Galera cluster copies all first
	lookEvery   = 50 * time.Millisecond  // whether a program is ready
	stopWithin  = 15 * time.Second       // Tokenwire takes up to 10
	logTail     = 2000                   // bytes of a log that an error quotes
	waitDelay   = 100 * time.Millisecond // for what a program that was killed has still to say
)

// The ports begin here, and go on to the first that is free. They are below those that the kernel gives to outgoing
// connections.
const (
	firstProxyPort    = 8080
	firstNodePort     = 8081
	firstServicePort  = 18081 // of the stand-in behind nginx
	firstBusPort      = 14222
	firstDatabasePort = 13306
	firstGroupPort    = 15567 // of what hosts of Galera say to each other: three of each
	lastPort          = 32767
)

// cluster is all programs, in the order in which they were started.
type cluster struct {
	ctx      context.Context
	dir      string
	out      io.Writer
	password string       // of the administrator
	ports    int          // that all ports are higher by
	given    map[int]bool // ports that were given out
	hosts    []string     // of the database
	bus      string
	programs []*program
	stopping atomic.Bool
}

// program is a part of the cluster, which may be killed and started again.
type program struct {
	name, url   string
	database    string   // a node's: the hosts that it may work with
	environment []string // beside that of this program
	args        []string // with the path before them
	once        []string // arguments of the first start alone
	ready       func() error
	free        func() error // whether it may be started again, or nil for at once
	log         string
	cmd         *exec.Cmd
	exited      chan struct{}
}

// launch adds a program, starts it for the first time, and waits until it is ready.
func (c *cluster) launch(p *program, command string, args ...string) error {
	path, err := find(command)
	if err != nil {
		return err
	}
	p.args = append([]string{path}, args...)
	p.log = filepath.Join(c.dir, strings.ReplaceAll(p.name, " ", "-")+".log")
	if err := c.spawn(p); err != nil {
		return err
	}
	return c.await(p)
}

// runs reports whether a program that was started has not ended.
func (p *program) runs() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// spawn starts a program, whose output goes into a file. It must always be called from the same thread, with which the program would
// die.
func (c *cluster) spawn(p *program) error {
	output, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer output.Close() // the program has its own
	cmd := exec.Command(p.args[0], p.args[1:]...)
	if p.cmd == nil {
		cmd.Args = append(cmd.Args, p.once...)
	}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), p.environment...)
	cmd.WaitDelay = waitDelay
	// A group of its own: Ctrl-C is for this program, which ends the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if p.cmd == nil {
		c.programs = append(c.programs, p)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	fmt.Fprintf(c.out, "Starting %s …\n", p.name)
	return nil
}

// await waits until a program is ready.
func (c *cluster) await(p *program) error {
	if err := c.poll(p.ready, p.exited); err != nil {
		return p.explain(err)
	}
	return nil
}

// poll asks until there is no error, or a program has ended.
func (c *cluster) poll(ask func() error, ended <-chan struct{}) error {
	for deadline := time.Now().Add(readyWithin); ; {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v: %w", readyWithin, err)
		}
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// explain adds the end of the program's log.
func (p *program) explain(err error) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.name, err, text[max(0, len(text)-logTail):])
}

// watch says when a program ends that should not.
func (c *cluster) watch(p *program) {
	cmd, exited := p.cmd, p.exited // of this start, as there may be another
	go func() {
		<-exited
		if !c.stopping.Load() {
			fmt.Fprintf(c.out, "%s has ended: %v\n", p.name, cmd.ProcessState)
		}
	}()
}

// stop ends all, the last that was started first.
func (c *cluster) stop() {
	c.stopping.Store(true)
	for _, p := range slices.Backward(c.programs) {
		p.cmd.Process.Signal(syscall.SIGTERM)
		p.cmd.Process.Signal(syscall.SIGCONT) // one that was paused by hand
		select {
		case <-p.exited:
		case <-time.After(stopWithin):
			p.cmd.Process.Kill()
			<-p.exited
		}
	}
}

// find looks in PATH, and in /usr/sbin, which PATH often leaves out.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", command))
	}
	if err != nil {
		return "", fmt.Errorf("%s is not installed; see go doc ./docs/cluster", command)
	}
	return path, nil
}

// freePort returns the first port from one on that nobody listens at and that was not given out, to whatever program, or 0.
func (c *cluster) freePort(from int) int {
	for port := from + c.ports; port <= lastPort; port++ {
		if c.given[port] {
			continue
		}
		if listener, err := net.Listen("tcp", address(port)); err == nil {
			listener.Close()
			c.given[port] = true
			return port
		}
	}
	return 0
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listens returns nil where somebody listens at a port.
func listens(port int) error {
	conn, err := net.DialTimeout("tcp", address(port), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
