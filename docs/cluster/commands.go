//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// list shows parts, each with how it is killed and started again.
func (c *cluster) list(parts ...*program) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, p := range parts {
		fmt.Fprintf(w, "  %s\t%s\tpid %d\tkill -9 %[3]d\tstart %[1]s", p.name, p.url, p.cmd.Process.Pid)
		if p.database != "" {
			fmt.Fprintf(w, "\tdatabase %s", p.database)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// obey does what is typed, until ctx ends.
func (c *cluster) obey(in io.Reader) {
	lines := make(chan string)
	go func() {
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-c.ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-c.ctx.Done():
			return
		case line := <-lines:
			if err := c.do(line); err != nil && c.ctx.Err() == nil {
				fmt.Fprintln(c.out, err)
			}
		}
	}
}

// do does what one line says.
func (c *cluster) do(line string) error {
	verb, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	i := slices.IndexFunc(c.programs, func(p *program) bool { return p.name == name })
	switch {
	case verb == "":
		return nil
	case i >= 0 && verb == "kill":
		return c.programs[i].cmd.Process.Signal(syscall.SIGKILL)
	case i >= 0 && verb == "start":
		return c.startAgain(c.programs[i])
	}
	return errors.New("type kill or start, and the name of a part, such as: kill node 1")
}

// startAgain starts a program that has ended, where it was.
func (c *cluster) startAgain(p *program) error {
	select {
	case <-p.exited:
	default:
		return fmt.Errorf("%s runs already", p.name)
	}
	if p.free != nil {
		if err := c.poll(p.free, nil); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := c.boot(p); err != nil {
		return err
	}
	c.watch(p)
	c.list(p)
	return nil
}
