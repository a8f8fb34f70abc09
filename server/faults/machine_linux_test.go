package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// needsRoot ends the test of who may not change the machine.
func needsRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		programs.Missing(t, what, errors.New("that takes root"))
	}
}

// must runs a command, which must succeed.
func must(t testing.TB, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", command, err, out)
	}
}

// limited returns the command that runs a program with so many descriptors.
func limited(t testing.TB, descriptors string) []string {
	t.Helper()
	path, err := exec.LookPath("prlimit")
	if err != nil {
		programs.Missing(t, "limit of descriptors", err)
	}
	return []string{path, "--nofile=" + descriptors + ":" + descriptors}
}

// exhausting takes all descriptors that a node has.
var exhausting = fault{"descriptors exhausted", "node", 2 * lease, func(s *stage, _ *rand.Rand) func() {
	var all []net.Conn
	for range 300 {
		if c, err := net.DialTimeout("tcp", s.nodes[0].front.target, time.Second); err == nil {
			all = append(all, c)
		}
	}
	return func() {
		for _, c := range all {
			c.Close()
		}
	}
}}

// disk is a small one.
type disk struct{ folder string }

// smallDisk returns one that ends with the test.
func smallDisk(t testing.TB) disk {
	t.Helper()
	needsRoot(t, "small disk")
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=16m,mode=700"); err != nil {
		programs.Missing(t, "small disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk{folder}
}

// fault fills the disk.
func (d disk) fault(t testing.TB) fault {
	return fault{"the disk full", "database", 2 * time.Second, func(*stage, *rand.Rand) func() {
		name := filepath.Join(d.folder, "filler")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for block := make([]byte, 4096); err == nil; {
			_, err = f.Write(block)
		}
		f.Close()
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}}
}

// cable joins this machine to another one, which is a network namespace.
type cable struct{ space, near, far, end string }

// cables numbers them, so that tests side by side do not meet.
var cables atomic.Int64

// newCable returns one that ends with the test.
func newCable(t testing.TB) cable {
	t.Helper()
	needsRoot(t, "network namespace")
	n := cables.Add(1)
	id := fmt.Sprintf("%d-%d", os.Getpid(), n)
	subnet := fmt.Sprintf("10.%d.%d", 128+os.Getpid()%100, n)
	c := cable{space: "tw" + id, near: subnet + ".1", far: subnet + ".2", end: "tw" + id}
	if out, err := exec.Command("ip", "netns", "add", c.space).CombinedOutput(); err != nil {
		programs.Missing(t, "network namespace", fmt.Errorf("%w %s", err, out))
	}
	t.Cleanup(func() { must(t, "ip", "netns", "del", c.space) })
	must(t, "ip", "link", "add", c.end, "type", "veth", "peer", "name", "eth0", "netns", c.space)
	must(t, "ip", "address", "add", c.near+"/24", "dev", c.end)
	must(t, "ip", "link", "set", c.end, "up")
	must(t, "ip", "-n", c.space, "address", "add", c.far+"/24", "dev", "eth0")
	must(t, "ip", "-n", c.space, "link", "set", "eth0", "up")
	must(t, "ip", "-n", c.space, "link", "set", "lo", "up")
	return c
}

// under is the command that runs a program at the other end.
func (c cable) under() []string { return []string{"ip", "netns", "exec", c.space} }

// faults pull the cable, or have packets arrive nowhere that go one way.
func (c cable) faults(t testing.TB) []fault {
	near, far := []string{"ip"}, []string{"ip", "-n", c.space}
	run := func(at []string, command ...string) { must(t, slices.Concat(at, command)...) }
	lost := func(at []string, to, device string) func(*stage, *rand.Rand) func() {
		return func(*stage, *rand.Rand) func() {
			run(at, "neigh", "replace", to, "lladdr", nobody, "dev", device, "nud", "permanent")
			return func() { run(at, "neigh", "del", to, "dev", device) }
		}
	}
	return []fault{
		{"a link down", "link", 3 * time.Second, func(*stage, *rand.Rand) func() {
			run(far, "link", "set", "eth0", "down")
			return func() { run(far, "link", "set", "eth0", "up") }
		}},
		{"packets to a node lost", "link", 3 * time.Second, lost(near, c.far, c.end)},
		{"packets of a node lost", "link", 3 * time.Second, lost(far, c.near, "eth0")},
	}
}

// nobody has this hardware address: what is sent there is lost, and nobody is told.
const nobody = "02:00:00:00:00:01"
