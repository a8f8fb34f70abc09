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
		state := fmt.Sprintf("pid %d\tkill -9 %[1]d", p.cmd.Process.Pid)
		if !p.runs() {
			state = "ended\t"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\tstart %[1]s", p.name, p.url, state)
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
	name = strings.TrimSpace(name)
	var names []string
	for _, p := range c.programs {
		names = append(names, p.name)
	}
	i := slices.Index(names, name)
	switch {
	case verb == "":
		return nil
	case verb == "list" && name == "":
		c.list(c.programs...)
		return nil
	case verb != "kill" && verb != "start":
		return errors.New("type list, or kill or start and the name of a part, such as: kill node 1")
	case i < 0:
		return fmt.Errorf("there is no part %q; there are %s", name, strings.Join(names, ", "))
	case verb == "start":
		return c.startAgain(c.programs[i])
	case !c.programs[i].runs():
		return fmt.Errorf("%s does not run", name)
	}
	return c.programs[i].cmd.Process.Signal(syscall.SIGKILL)
}

// startAgain starts a program that has ended, where it was. With a host of Galera it starts the others that have ended, as long as
// those that run are no majority, without which none of them comes back.
func (c *cluster) startAgain(p *program) error {
	if p.runs() {
		return fmt.Errorf("%s runs already", p.name)
	}
	all := []*program{p}
	if p.free != nil && c.runningHosts() <= galeraHosts/2 {
		for _, other := range c.programs {
			if other != p && other.free != nil && !other.runs() {
				fmt.Fprintf(c.out, "%s is started too: %s would wait for it, as without it too few hosts run to agree.\n", other.name, p.name)
				all = append(all, other)
			}
		}
	}
	for _, p := range all {
		if p.free != nil {
			if err := c.poll(p.free, nil); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	for _, p := range all {
		if err := c.spawn(p); err != nil {
			return err
		}
		c.watch(p)
	}
	for _, p := range all {
		if err := c.await(p); err != nil {
			return err
		}
	}
	c.list(all...)
	return nil
}
