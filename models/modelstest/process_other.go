//go:build !linux

package modelstest

import (
	"errors"
	"syscall"
)

// unsupported says why no server is started here: one could outlive the tests.
var unsupported = errors.New("private servers need Linux, where the kernel ends them with the tests")

func dieWithParent() *syscall.SysProcAttr { return nil }

func (p *process) suspend() error { return unsupported }

func (p *process) resume() error { return unsupported }

func (p *process) standsStill() error { return unsupported }
