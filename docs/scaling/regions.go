package main

import (
	"fmt"
	"io"
	"math"
)

// roundTrip is between two of three regions, in seconds: an assumption.
const roundTrip = 0.070

// regions writes what three regions change: what waits for another one.
func regions(w io.Writer) {
	c := measured
	perNode := func(extra float64) string {
		return count(math.Floor(sweepShare/(c.sweepQuery+extra)) * sweepUsers)
	}
	trips := func(n float64) string { return fmt.Sprintf("%.0f ms", n*roundTrip*1000) }
	fmt.Fprintln(w, "| | one region | three, the database in one | three, a host of Galera in each |")
	fmt.Fprintln(w, "|---|---|---|---|")
	fmt.Fprintf(w, "| added to a change, at least | 0 ms | %s | %s |\n", trips(statements), trips(2))
	fmt.Fprintf(w, "| users that a node can sweep in %.2f s | %s | %s | %s |\n", sweepShare, perNode(0), perNode(roundTrip), perNode(roundTrip))
	fmt.Fprintf(w, "| added to a receipt, at least | 0 ms | %s | %s |\n", trips(statements+3), trips(5))
}

// statements are those of a change, with START TRANSACTION and COMMIT (docs/benchmarks/sql.go).
const statements = 8

// runs are what `nodes` of docs/benchmarks measured: set-enabled through so many nodes as a ratio to one.
var runs = []struct{ nodes, ratio float64 }{{1, 1}, {2, 0.79}, {3, 0.69}}

// check writes what the model says of runs beside what came out.
func check(w io.Writer) {
	fmt.Fprintln(w, "| nodes | set-enabled through them to one node, measured | by the model |")
	fmt.Fprintln(w, "|---|---|---|")
	for _, r := range runs {
		fmt.Fprintf(w, "| %.0f | %.2f | %.2f |\n", r.nodes, r.ratio, measured.throughput(r.nodes)/measured.throughput(1))
	}
}
