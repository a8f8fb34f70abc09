package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// clockVariable names the file that says by how many seconds a node's clock is wrong.
const clockVariable = "TOKENWIRE_CLOCK"

// clockSource is added to each package that looks at the clock. What is wrong is the time of day: the monotonic reading of a Time goes
// on, as it does where somebody sets a machine's clock. The seconds are the upper bits of its first word.
const clockSource = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"
)

var wrongBy = func() *atomic.Int64 {
	var seconds atomic.Int64
	go func() {
		for ; ; time.Sleep(10 * time.Millisecond) {
			text, _ := os.ReadFile(os.Getenv("` + clockVariable + `"))
			by, _ := strconv.ParseInt(string(text), 10, 64)
			seconds.Store(by)
		}
	}()
	return &seconds
}()

func wrongNow() time.Time {
	now := time.Now()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(wrongBy.Load() << 30)
	return now
}
`

var timeNow = regexp.MustCompile(`\btime\.Now\b`)

// clockBinary is Tokenwire with a clock that a test sets.
var clockBinary = sync.OnceValues(func() (string, error) {
	changed := map[string]string{}
	for _, folder := range []string{"models", "rpc", "server"} {
		files, err := filepath.Glob("../../" + folder + "/*.go")
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			if !strings.HasSuffix(file, "_test.go") && timeNow.Match(text) {
				changed[folder+"/"+filepath.Base(file)] = timeNow.ReplaceAllString(string(text), "wrongNow") + "\nvar _ time.Time\n"
			}
		}
		changed[folder+"/wrong.go"] = fmt.Sprintf(clockSource, folder)
	}
	return servertest.BuildChanged(changed)
})

// wrongClock is a node's clock, which is as wrong as its file says.
type wrongClock string

func newWrongClock(t testing.TB) wrongClock {
	c := wrongClock(filepath.Join(t.TempDir(), "clock"))
	c.set(t, 0)
	return c
}

func (c wrongClock) set(t testing.TB, by time.Duration) {
	t.Helper()
	next := string(c) + ".next"
	err := os.WriteFile(next, fmt.Append(nil, int64(by/time.Second)), 0o600)
	if err == nil {
		err = os.Rename(next, string(c))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// faults set the clock and put it right again.
func (c wrongClock) faults(t testing.TB) []fault {
	wrong := func(name string, by time.Duration) fault {
		return fault{name, "clock", 2 * lease, func(s *stage, _ *rand.Rand) func() {
			c.set(t, by)
			return func() {
				// So that there is an event of that time, if all else that breaks lets it.
				_, _, _ = s.post(context.Background(), s.nodes[0], s.admin, "/v1/api-tokens/create", name)
				c.set(t, 0)
			}
		}}
	}
	return []fault{wrong("a clock ten minutes fast", 10*time.Minute), wrong("a clock ten minutes slow", -10*time.Minute)}
}

// TestClock: what two nodes promise when somebody sets the clock of one.
func TestClock(t *testing.T) {
	t.Parallel()
	binary, err := clockBinary()
	if err != nil {
		t.Fatal(err)
	}
	clock := newWrongClock(t)
	s := newStage(t, setting{data: newMariaDB(t), nodes: 1, binary: binary, env: []string{clockVariable + "=" + string(clock)}})
	s.add(setting{})
	s.measure()
	l := newLoad(s, random(t))
	faults := clock.faults(t)
	if long(t) > 0 {
		faults = concat(faults, nodeFaults, networkFaults)
	}
	l.run(faults)
	var span int64 // of the times that events have, in milliseconds
	if err := s.sql[0].QueryRow("SELECT MAX(time) - MIN(time) FROM events").Scan(&span); err != nil || span < (19*time.Minute).Milliseconds() {
		t.Errorf("the clock was never wrong: %d ms, %v", span, err)
	}
	l.end("the clock was wrong")
}
