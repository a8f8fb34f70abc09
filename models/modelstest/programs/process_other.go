//go:build !linux

package programs

import (
	"errors"
	"syscall"
)

// Unsupported says why no program is started here: one could outlive the tests.
var Unsupported = errors.New("private servers need Linux, where the kernel ends them with the tests")

func reserve(int) bool { return true }

func dieWithParent() *syscall.SysProcAttr { return nil }

func (p *Process) suspend() error { return Unsupported }

func (p *Process) resume() error { return Unsupported }

func (p *Process) standsStill() error { return Unsupported }
