package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// pollInterval is how often a wait looks again: short beside the tenths of a second a server takes to start, long beside
// the cost of looking.
const pollInterval = 10 * time.Millisecond

// Process is a running child that dies with this process.
type Process struct {
	handle *os.Process
	exited chan struct{} // closed once the child is gone
	err    error         // how it ended; to be read after exited
}

// Start starts a child.
//
// The kernel kills the child when the thread that started it ends, not when the process does. So one goroutine keeps that
// thread for itself for as long as the child lives.
func Start(cmd *exec.Cmd) (*Process, error) {
	if Unsupported != nil {
		return nil, Unsupported
	}
	cmd.SysProcAttr = dieWithParent()
	p := &Process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.handle = cmd.Process
	return p, nil
}

// Running reports whether the child has yet to exit.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ID is the child's process id.
func (p *Process) ID() int { return p.handle.Pid }

// Err is how the child ended, once it has.
func (p *Process) Err() error { return p.err }

// Signal sends the child a signal.
func (p *Process) Signal(signal os.Signal) error { return p.handle.Signal(signal) }

// Wait waits until the child has exited, at most limit.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("still running after %v", limit)
	}
}

// Kill ends the child at once and waits until it is gone, at most limit.
func (p *Process) Kill(limit time.Duration) error {
	if err := p.handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Wait(limit)
}

// Freeze suspends the child and waits until all its threads stand still: connections stay open, new ones are still accepted
// by the kernel, and nothing is answered.
func (p *Process) Freeze(limit time.Duration) error {
	if err := p.suspend(); err != nil {
		return err
	}
	return p.Poll(limit, p.standsStill)
}

// Thaw lets a frozen child run on.
func (p *Process) Thaw() error { return p.resume() }

// Poll calls check until it returns nil, at most for limit, and then returns its last error. It gives up early if the child
// exits.
func (p *Process) Poll(limit time.Duration, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollInterval) {
		if !p.Running() {
			return fmt.Errorf("exited: %v", p.err)
		}
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %v: %w", limit, err)
		}
	}
}

// Output keeps what a child writes, to be read while it runs. The zero value is empty.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is for the child.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String returns all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Reset forgets what was written.
func (o *Output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Reset()
}
