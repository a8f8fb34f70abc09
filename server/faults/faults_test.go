package faults

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// fault is something that breaks. It is put in, and taken back.
type fault struct {
	name  string
	what  string        // breaks: one thing breaks in one way at a time
	lasts time.Duration // about
	put   func(s *stage, random *rand.Rand) (takeBack func())
}

// calm is how long a stage is left alone after a fault, so that the next one meets something that works.
const calm = 300 * time.Millisecond

// run puts faults in and takes them back, each once in an order that chance decides, or for as long as a long test is to last.
// Then come some at once.
func (l *load) run(faults []fault) {
	l.t.Helper()
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < long(l.t); round++ {
		for _, n := range l.random.Perm(len(faults)) {
			l.break_(faults[n])
		}
		l.break_(several(faults, l.random)...)
	}
}

// several returns three faults that can be at the same time.
func several(faults []fault, random *rand.Rand) (some []fault) {
	taken := map[string]bool{}
	for _, n := range random.Perm(len(faults)) {
		if f := faults[n]; !taken[f.what] && len(some) < 3 {
			taken[f.what] = true
			some = append(some, f)
		}
	}
	return some
}

// break_ puts faults in, lets them last, takes them back, and judges who was there.
func (l *load) break_(faults ...fault) {
	l.t.Helper()
	var names []string
	var back []func()
	longest := time.Duration(0)
	began := time.Now()
	for _, f := range faults {
		names = append(names, f.name)
		longest = max(longest, f.lasts)
		back = append(back, f.put(l.stage, l.random))
	}
	name := strings.Join(names, " and ")
	time.Sleep(longest)
	for i := len(back) - 1; i >= 0; i-- {
		back[i]()
	}
	l.goesOn(name)
	time.Sleep(calm)
	l.check(name)
	l.t.Logf("%6.2fs %s", time.Since(began).Seconds(), name)
}

// TestOneNode: what a node on a file promises.
func TestOneNode(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: file(modelstest.SQLite(t)), nodes: 1})
	l := newLoad(s, random(t))
	l.run(nodeFaults)
	l.end("all of them")
}

// TestThreeNodes: what three nodes on one MariaDB, joined by NATS, promise.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: newMariaDB(t), nodes: 3, nats: true})
	l := newLoad(s, random(t))
	l.run(concat(nodeFaults, databaseFaults, networkFaults, busFaults))
	l.end("all of them")
}

// end ends the load and judges what is left of it, and what it left behind.
func (l *load) end(after string) {
	l.t.Helper()
	l.halt()
	for _, v := range l.verifiers {
		v.Close()
	}
	l.check(after)
	for _, fault := range l.judgeQuiet(quiet(l.t)) {
		l.t.Errorf("after %s: %s", after, fault)
	}
	l.t.Log(l.numbers.String())
}
