package faults

import (
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestOneNode: what a node on a file promises.
func TestOneNode(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: file(modelstest.SQLite(t)), nodes: 1})
	l := newLoad(s, random(t))
	time.Sleep(5 * time.Second)
	l.end("the end")
}

// TestThreeNodes: what three nodes on one MariaDB, joined by NATS, promise.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: newMariaDB(t), nodes: 3, nats: true})
	l := newLoad(s, random(t))
	time.Sleep(5 * time.Second)
	l.end("the end")
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
