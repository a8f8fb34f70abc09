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
	ctx       context.Context
	dir       string
	out       io.Writer
	password  string       // of the administrator
	ports     int          // that all ports are higher by
	given     map[int]bool // ports that were given out
	databases []string
	bus       string
	programs  []*program
	stopping  atomic.Bool
}

// program is one that runs.
type program struct {
	name, url string
	cmd       *exec.Cmd
	log       string
	exited    chan struct{}
}

// launch starts a program, whose output goes into a file, and waits until it is ready.
func (c *cluster) launch(p *program, environment []string, ready func() error, command string, args ...string) error {
	path, err := find(command)
	if err != nil {
		return err
	}
	p.log = filepath.Join(c.dir, strings.ReplaceAll(p.name, " ", "-")+".log")
	output, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer output.Close() // the program has its own
	p.cmd, p.exited = exec.Command(path, args...), make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.WaitDelay = waitDelay
	// A group of its own: Ctrl-C is for this program, which ends the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	c.programs = append(c.programs, p)
	fmt.Fprintf(c.out, "Starting %s …\n", p.name)
	return c.await(p, ready)
}

// await waits until a program is ready.
func (c *cluster) await(p *program, ready func() error) error {
	for deadline := time.Now().Add(readyWithin); ; {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return p.explain(fmt.Errorf("not ready after %v: %w", readyWithin, err))
		}
		select {
		case <-p.exited:
			return p.explain(errors.New("it has ended"))
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
func (c *cluster) watch() {
	for _, p := range c.programs {
		go func() {
			<-p.exited
			if !c.stopping.Load() {
				fmt.Fprintf(c.out, "%s has ended: %v\n", p.name, p.cmd.ProcessState)
			}
		}()
	}
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
