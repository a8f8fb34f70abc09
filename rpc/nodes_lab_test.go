package rpc

import (
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// wire carries hints between the nodes of a test, each as often and as late as a function says.
type wire struct {
	late func() []time.Duration // of each time that a hint comes; none for one that is lost

	mu    sync.Mutex
	ends  []*end
	under sync.WaitGroup // of those on their way
}

// end is a node's end of a wire: its bus.
type end struct {
	*wire
	heard func(kind HintKind, userID string, position int64)
}

func (w *wire) end() *end {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &end{wire: w}
	w.ends = append(w.ends, e)
	return e
}

func (e *end) Subscribe(heard func(kind HintKind, userID string, position int64)) { e.heard = heard }

func (e *end) Publish(kind HintKind, userID string, position int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.ends {
		for _, late := range e.late() {
			if other != e {
				e.under.Go(func() {
					time.Sleep(late)
					other.heard(kind, userID, position)
				})
			}
		}
	}
}

// What a wire may do to hints.
var wires = map[string]func() []time.Duration{
	"delivers": func() []time.Duration { return []time.Duration{0} },
	"doubles":  func() []time.Duration { return []time.Duration{0, 0, time.Second} },
	"delays":   func() []time.Duration { return []time.Duration{2 * time.Second} },
	"loses":    func() []time.Duration { return nil },
	"is none":  nil,
}

// inNodes runs a test in labs that are nodes of one database, joined by a wire.
func inNodes(t *testing.T, n int, how string, test func(t *testing.T, nodes []*lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		url, key := modelstest.SQLite(t), filepath.Join(t.TempDir(), "key")
		w := &wire{late: wires[how]}
		t.Cleanup(w.under.Wait)
		nodes := make([]*lab, n)
		for i := range nodes {
			o := Options{Facts: DefaultFacts}
			if w.late != nil {
				o.Bus = w.end()
			}
			nodes[i] = newNode(t, url, key, o)
		}
		time.Sleep(2 * sweepEvery) // so that they know each other
		test(t, nodes)
	})
}

// eachWire runs a test of two nodes with every kind of wire.
func eachWire(t *testing.T, test func(t *testing.T, a, b *lab)) {
	t.Helper()
	for how := range wires {
		t.Run(how, func(t *testing.T) {
			inNodes(t, 2, how, func(t *testing.T, nodes []*lab) { test(t, nodes[0], nodes[1]) })
		})
	}
}

// row returns one number from the database.
func (l *lab) row(query string, args ...any) (n int64) {
	l.t.Helper()
	if err := l.db.QueryRow(query, args...).Scan(&n); err != nil {
		l.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// stops has a node stand still: it reads nothing, and says nothing, any more.
func (l *lab) stops() {
	l.t.Helper()
	l.s.hub.stop()
	synctest.Wait()
}

// wantWithin fails the test unless a call comes to a receipt after a while, and not before.
func (p *post) wantWithin(least, most time.Duration, receipt string) {
	p.t.Helper()
	<-p.done
	p.want(receipt)
	if p.took < least || p.took > most {
		p.t.Errorf("it took %v, want %v to %v", p.took, least, most)
	}
}

// slack is what looking and asking may add to a wait.
const slack = hintWait + 2*sweepEvery + 2*pollEvery
