package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout is how long a child may take until it says where it listens.
const startTimeout = 60 * time.Second

// process is a child that says on standard output where it listens.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader // what it prints after that
	addr  string        // 127.0.0.1:port
}

var children []*process

var listening = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// start runs a program until it prints an address. It must be called on the main goroutine: the child dies with its thread.
func start(environment []string, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, lines: bufio.NewReader(stdout)}
	children = append(children, p)
	slow := time.AfterFunc(startTimeout, func() { cmd.Process.Kill() })
	defer slow.Stop()
	line, err := p.lines.ReadString('\n')
	p.addr = listening.FindString(line)
	if p.addr == "" {
		p.kill()
		return nil, fmt.Errorf("%s %s: no address in %q (%v)", program, strings.Join(args, " "), line, err)
	}
	return p, nil
}

// reference starts this program again under a hidden subcommand.
func reference(args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(nil, self, args...)
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func killAll() {
	for _, p := range children {
		p.kill()
	}
}

// rss returns the memory that a process holds, in bytes (VmRSS in proc(5)).
func (p *process) rss() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			return float64(kib) * 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// raiseFiles lets this process and its children open as many files as the machine allows, at least n.
func raiseFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < n {
		return fmt.Errorf("%d open files are needed and the limit is %d (ulimit -Hn)", n, limit.Max)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
