// Package programs lets tests run other programs: a database server, Tokenwire itself, a browser.
//
// It promises that:
//
//   - no program outlives the test process, however that ends;
//   - nothing waits for ever: every wait has a bound;
//   - what all tests of a process share ends after the last of them;
//   - where something is not installed the test is skipped with the reason, or fails if TOKENWIRE_TEST_NO_SKIP=1, which CI
//     sets.
//
// A package whose tests share something ends it with
//
//	func TestMain(m *testing.M) { programs.Main(m) }
package programs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
)

// noSkipVariable, set to 1, turns the skip for what is missing into a failure, so that CI cannot lose half of its tests
// unnoticed.
const noSkipVariable = "TOKENWIRE_TEST_NO_SKIP"

// Missing ends the test for want of something: it skips it with the reason, or fails it where skips are forbidden.
func Missing(t testing.TB, what string, reason error) {
	t.Helper()
	if os.Getenv(noSkipVariable) == "1" {
		t.Fatalf("no %s, and %s=1: %v", what, noSkipVariable, reason)
	}
	t.Skipf("no %s: %v", what, reason)
}

// shared is what Main ends.
var shared struct {
	mu    sync.Mutex
	owned bool
	ends  []func() error
}

// AtEnd has Main call end after the last test. It is for what the tests of a process share; what belongs to one test is for
// its Cleanup.
func AtEnd(end func() error) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.owned {
		return errors.New("the package's TestMain must call programs.Main, which ends what tests share")
	}
	shared.ends = append(shared.ends, end)
	return nil
}

// Main runs the tests, ends what they shared, the last first, and exits. It is the whole of a package's TestMain.
func Main(m *testing.M) {
	shared.owned = true
	code := m.Run()
	shared.mu.Lock() // for good: a test that goes on in the background gets nothing more
	for i := len(shared.ends) - 1; i >= 0; i-- {
		if err := shared.ends[i](); err != nil {
			fmt.Fprintln(os.Stderr, "programs: end what tests shared:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

const (
	// Ports come from below 32768, where the kernel takes those of outgoing connections: none of these can occupy the port
	// while a server is down.
	firstPort, lastPort = 20000, 32767
	// portTries bounds the search for a free port; among 12768, one clash is rare and this many in a row mean that
	// something else is wrong.
	portTries = 20
)

// ErrPortTaken is what start gives OnFreePort where another process was faster.
var ErrPortTaken = errors.New("the port is taken")

// OnFreePort starts a server on a port of 127.0.0.1 which it may keep for all its life, over restarts, too: no other call gets it, of
// this process or another, for as long as this one runs.
func OnFreePort(start func(port int) error) error {
	err := ErrPortTaken
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, taken := net.Listen("tcp", Address(port))
		if taken != nil {
			continue
		}
		listener.Close()
		if !reserve(port) {
			continue
		}
		if err = start(port); !errors.Is(err, ErrPortTaken) {
			return err
		}
	}
	return err
}

// OnFreePorts starts a server that needs several ports.
func OnFreePorts(n int, start func(ports []int) error) error {
	if n == 0 {
		return start(nil)
	}
	return OnFreePort(func(port int) error {
		return OnFreePorts(n-1, func(ports []int) error { return start(append(ports, port)) })
	})
}

// Host is this machine, for itself alone.
const Host = "127.0.0.1"

// Address is the address of a port on this machine.
func Address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }
