package modelstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// pollInterval is how often a wait looks again: short beside the tenths of a
// second a server takes to start, long beside the cost of looking.
const pollInterval = 10 * time.Millisecond

// process is a running child that dies with this process.
type process struct {
	handle *os.Process
	exited chan struct{} // closed once the child is gone
	err    error         // how it ended; to be read after exited
}

// launch starts a child whose whole output replaces the file log.
//
// The kernel kills the child when the thread that started it ends, not when
// the process does. So one goroutine keeps that thread for itself for as long
// as the child lives.
func launch(log, program string, args ...string) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close() // the child has its own copy

	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = dieWithParent()
	p := &process{exited: make(chan struct{})}
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

// running reports whether the child has yet to exit.
func (p *process) running() bool {
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

// wait waits until the child has exited, at most limit.
func (p *process) wait(limit time.Duration) error {
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("still running after %v", limit)
	}
}

// kill ends the child at once and waits until it is gone, at most limit.
func (p *process) kill(limit time.Duration) error {
	if err := p.handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait(limit)
}

// poll calls check until it returns nil, at most for limit, and then returns
// its last error. It gives up early if the child exits.
func (p *process) poll(limit time.Duration, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollInterval) {
		if !p.running() {
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
