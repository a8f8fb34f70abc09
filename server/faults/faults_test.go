package faults

import (
	"cmp"
	"math/rand/v2"
	"slices"
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

// isOfNode is 1 for what happens to a process, and 0 for all else.
func (f fault) isOfNode() int {
	if f.what == "node" {
		return 1
	}
	return 0
}

// calm is how long a stage is left alone after a fault, so that the next one meets something that works: where there is one node
// nothing has worked meanwhile. A long test has the time for more.
func (s *stage) calm() time.Duration {
	calm := 900 * time.Millisecond / time.Duration(len(s.nodes))
	if long(s.t) > 0 {
		calm *= 5
	}
	return calm
}

// run puts faults in and takes them back, all of them once in an order that chance decides, or again and again for as long as a long
// test is to last. Up to three are there at the same time; in a short test two, for want of time.
func (l *load) run(faults []fault) {
	l.t.Helper()
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < long(l.t); round++ {
		left := make([]fault, len(faults))
		for i, n := range l.random.Perm(len(faults)) {
			left[i] = faults[n]
		}
		for len(left) > 0 {
			most := 2
			if long(l.t) > 0 {
				most = 1 + l.random.IntN(3)
			}
			var some []fault
			some, left = together(left, most)
			l.suffer(some)
		}
	}
}

// together takes some faults that can be at the same time: the first, and those after it that are of something else.
func together(faults []fault, most int) (some, left []fault) {
	taken := map[string]bool{}
	for _, f := range faults {
		if len(some) < most && !taken[f.what] {
			some = append(some, f)
			taken[f.what] = true
		} else {
			left = append(left, f)
		}
	}
	return some, left
}

// suffer puts faults in, lets them last, takes them back, and judges who was there.
func (l *load) suffer(faults []fault) {
	l.t.Helper()
	slices.SortStableFunc(faults, func(a, b fault) int { // a node that was killed starts when there is a database again
		return cmp.Compare(a.isOfNode(), b.isOfNode())
	})
	var names []string
	var back []func()
	longest := time.Duration(0)
	began := time.Now()
	for _, f := range faults {
		names = append(names, f.name)
		longest = max(longest, f.lasts)
		back = append(back, f.put(l.stage, l.random))
	}
	name := strings.Join(names, ", and ")
	time.Sleep(longest)
	for _, takeBack := range back {
		takeBack()
		l.lookAtAll()
	}
	l.goesOn(name)
	time.Sleep(l.calm())
	l.check(name)
	l.t.Logf("%6.2f s: %s", time.Since(began).Seconds(), name)
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
	l.meetRare()
	l.end("all of them")
}

// meetRare wants a long test to have met what chance, or another fault at the same time, may have left out: a COMMIT that was cut off,
// and a node that was killed while a receipt waited there.
func (l *load) meetRare() {
	l.t.Helper()
	if long(l.t) == 0 {
		return
	}
	for range 5 {
		if l.cuts() == 0 {
			l.suffer([]fault{commitsCut})
		}
		if l.numbers.waited.Load() == 0 {
			l.suffer([]fault{killedWhileWaiting})
		}
	}
	if l.cuts() == 0 || l.numbers.waited.Load() == 0 {
		l.t.Error("no COMMIT was cut off, or no node was killed while a receipt waited there")
	}
}

// cuts returns how many COMMITs were cut off.
func (l *load) cuts() (n int) {
	for _, node := range l.nodes {
		n += node.store.cuts()
	}
	return n
}

// end ends the load and judges what is left of it, and what it left behind.
func (l *load) end(after string) {
	l.t.Helper()
	began := time.Now()
	l.halt()
	halted := time.Since(began)
	for _, v := range l.verifiers {
		v.Close()
	}
	l.check(after)
	l.t.Logf("the load ended within %v, and all was judged after %v", halted, time.Since(began))
	for _, fault := range l.judgeQuiet(quiet(l.t)) {
		l.t.Errorf("after %s: %s", after, fault)
	}
	l.t.Logf("%v, %d COMMITs cut off", &l.numbers, l.cuts())
}
