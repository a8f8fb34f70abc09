package main

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
)

// TestDocument: docs/scaling.md has the tables that the program prints.
func TestDocument(t *testing.T) {
	document, err := os.ReadFile("../scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	var tables [3]bytes.Buffer
	table(&tables[0], steps)
	regions(&tables[1])
	check(&tables[2])
	for i := range tables {
		if !strings.Contains(string(document), tables[i].String()) {
			t.Errorf("docs/scaling.md does not have this table:\n%s", &tables[i])
		}
	}
}

// TestRuns: the model is within a tenth of what was measured, also for the number of nodes that it was not made from.
func TestRuns(t *testing.T) {
	for _, r := range runs {
		if says := measured.throughput(r.nodes) / measured.throughput(1); math.Abs(says/r.ratio-1) > 0.1 {
			t.Errorf("%v nodes: the model says %.2f, measured were %.2f", r.nodes, says, r.ratio)
		}
	}
}

// TestReckon: more of anything never needs less, and what is needed is enough.
func TestReckon(t *testing.T) {
	before := needs{}
	for _, l := range steps {
		n := measured.reckon(l)
		if n.nodes < before.nodes || n.databases < before.databases || n.bytes < before.bytes {
			t.Errorf("%+v needs less than %+v", n, before)
		}
		if s := measured.sweep(l, n.nodes-1); s > sweepShare {
			t.Errorf("%+v: a sweep takes %v s", n, s)
		}
		before = n
	}
}
