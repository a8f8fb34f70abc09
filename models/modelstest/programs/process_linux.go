package programs

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Unsupported is nil where this package can keep its promises.
var Unsupported error

// reserve keeps a port from all others that ask here, until this process ends: a server that is down, or has not come to need
// it, does not listen there. It is a name that the kernel gives once, without a file.
func reserve(port int) bool {
	name, err := net.Listen("unix", fmt.Sprintf("@tokenwire-test-port-%d", port))
	if err == nil {
		reserved.Store(port, name)
	}
	return err == nil
}

// reserved are the names of this process. They are never closed, and the collector closes those that nobody has.
var reserved sync.Map

// dieWithParent has the kernel kill a child when the thread that started it
// ends, so that even SIGKILL to the tests leaves no server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// suspend asks the kernel to stop the child; standsStill tells when it has.
func (p *Process) suspend() error { return p.handle.Signal(syscall.SIGSTOP) }

// resume lets a suspended child run on.
func (p *Process) resume() error { return p.handle.Signal(syscall.SIGCONT) }

// standsStill returns nil once every thread of the child is stopped: one that
// waits for the disk stops only after that, and could answer until then.
func (p *Process) standsStill() error {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.handle.Pid))
	if err != nil {
		return err
	}
	if len(stats) == 0 {
		return errors.New("no threads to be seen in /proc")
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // this thread has ended
		}
		if err != nil {
			return err
		}
		// "pid (name) state ...", where the name may itself hold ")".
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
		if !bytes.HasPrefix(state, []byte("T")) {
			return fmt.Errorf("a thread is still running: %s", stat)
		}
	}
	return nil
}
