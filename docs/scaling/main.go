// Scaling reckons what so many connections, verifiers and tokens need, from costs that were measured, and prints the table of
// docs/scaling.md.
//
//	go run ./docs/scaling
//	go run ./docs/scaling -connections 200000 -verifiers 5000 -tokens 50000000
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// costs are what was measured on the reference machine: 2 cores of a shared virtual machine, which also bore the load.
type costs struct {
	connection   float64 // KiB of memory
	delivery     float64 // seconds of a node for a notification to one connection
	call         float64 // seconds of a node for a call that is answered from memory
	verification float64 // seconds of a node for one from memory
	change       float64 // seconds of the database for a change that nobody waits for
	revocation   float64 // seconds of the database for one with a receipt, on one node
	acknowledged float64 // and more for each other node
	sweepQuery   float64 // seconds of the database for the sum of the positions of sweepUsers users
	tokenBytes   float64 // in the database, with indexes
	eventBytes   float64
}

// measured has where each figure comes from: docs/benchmarks/README.md, or what its commands print.
var measured = costs{
	connection:   16.9,                       // memory
	delivery:     1 / 102_900.0,              // fanout, one change to 1,000 connections
	call:         1 / 105_300.0,              // calls, 16 × 1
	verification: 1 / 101_000.0,              // verify, 16 × 1
	change:       1 / 2_004.0,                // nodes, create through one node
	revocation:   1 / 1_667.0,                // nodes, set-enabled through one node
	acknowledged: (1/0.69 - 1) / 2 / 1_667.0, // nodes, set-enabled: the ratio of three nodes to one
	sweepQuery:   0.00375,                    // nodes, a sweep's query
	tokenBytes:   525,                        // nodes, a row of api_tokens
	eventBytes:   812,                        // nodes, a row of events
}

// What Tokenwire does by itself, by its sources.
const (
	sweepUsers   = 2000      // groupSize in rpc/lookout.go
	sweepsPerSec = 4         // sweepEvery there
	heartbeat    = 15.0      // seconds between two of a connection
	eventsKept   = 7 * 86400 // seconds, by default
	factsKept    = 50_000    // tokens in a node's memory, by default
)

// What is assumed of users and machines. Other figures give another table: change them here.
const (
	connectionsPerUser = 2.0     // each on some node
	tokensPerOwner     = 20.0    //
	changesPerSec      = 0.001   // of a connection: one in a quarter of an hour
	revocations        = 0.1     // of the changes have receipts
	holders            = 10.0    // verifiers that hold a token that is revoked
	callsPerSec        = 0.01    // of a connection
	beatsPerSec        = 3 / 5.0 // of a verifier: three in a lease of 5 s (client/session.go)
	asksPerSec         = 1.0     // of a verifier: what it does not hold yet
	nodeMemory         = 4 << 20 // KiB that a node may fill
	busy               = 0.5     // share of the time that nodes and database are to work
	sweepShare         = 0.25    // seconds that a node's sweep may take: it is behind after 1 s
)

// load is what is asked for.
type load struct{ connections, verifiers, tokens float64 }

// needs is what a load needs.
type needs struct {
	load
	nodes     float64
	nodesFor  string // what asks for so many
	writes    float64
	sweeps    float64 // both in seconds of the database's per second, on the reference machine
	databases float64 // reference machines' worth, at most busy
	hints     float64 // that the bus hands out in a second
	bytes     float64 // in the database
	first     string  // bottleneck
}

// reckon finds how many nodes a load needs, and then what these ask of the database and the bus.
func (c costs) reckon(l load) needs {
	n := needs{load: l}
	all := l.connections + l.verifiers
	changes := l.connections * changesPerSec
	revoked := changes * revocations
	pushes := all/heartbeat + changes*connectionsPerUser + revoked*holders
	calls := l.connections*callsPerSec + changes + l.verifiers*beatsPerSec + revoked*holders
	cpu := pushes*c.delivery + calls*c.call + l.verifiers*asksPerSec*c.verification
	for n.nodes = 1; ; n.nodes++ {
		shares := map[string]float64{"memory": all / n.nodes * c.connection / nodeMemory, "cores": cpu / n.nodes / busy, "sweeps": c.sweep(l, n.nodes) / sweepShare}
		n.nodesFor = largest(shares, "memory", "cores", "sweeps")
		if shares[n.nodesFor] <= 1 {
			break
		}
	}
	n.nodes++ // one may fail
	n.writes = (changes-revoked)*c.change + revoked*(c.revocation+c.acknowledged*(n.nodes-1))
	n.sweeps = n.nodes * c.sweep(l, n.nodes) * sweepsPerSec
	n.databases = (n.writes + n.sweeps) / busy
	n.hints = (changes + revoked) * (n.nodes - 1)      // changed, wanted
	n.hints += revoked * (n.nodes - 1) * (n.nodes - 1) // settled, of each to each
	n.bytes = l.tokens*c.tokenBytes + changes*eventsKept*c.eventBytes
	n.first = largest(map[string]float64{"nodes: " + n.nodesFor: n.nodes - 1, "database: writes": n.writes / busy, "database: sweeps": n.sweeps / busy},
		"database: sweeps", "database: writes", "nodes: "+n.nodesFor)
	if n.nodes == 2 && n.databases <= 1 {
		n.first = "none"
	}
	return n
}

// sweep returns the seconds that a node's sweep takes: it asks for users that are connected there, and whose tokens it knows.
func (c costs) sweep(l load, nodes float64) float64 {
	connected := min(l.connections/connectionsPerUser, l.connections/nodes)
	owners := min(l.tokens/tokensPerOwner, factsKept)
	if l.verifiers == 0 {
		owners = 0
	}
	return math.Ceil((connected+owners)/sweepUsers) * c.sweepQuery
}

// largest returns the name of the greatest share, of equals the first in order.
func largest(shares map[string]float64, order ...string) string {
	first := order[0]
	for _, name := range order {
		if shares[name] > shares[first] {
			first = name
		}
	}
	return first
}

// steps are those of docs/scaling.md.
var steps = []load{{1_000, 100, 1e5}, {10_000, 1_000, 1e6}, {100_000, 10_000, 1e8}, {1_000_000, 100_000, 1e9}}

// table writes what loads need.
func table(w io.Writer, loads []load) {
	fmt.Fprintln(w, "| connections | verifiers | tokens | nodes, and one more | because of | database, busy with changes | with sweeps | reference databases | hints/s | stored | first bottleneck |")
	fmt.Fprintln(w, "|"+strings.Repeat("---|", 11))
	for _, l := range loads {
		n := measured.reckon(l)
		fmt.Fprintf(w, "| %s | %s | %s | %.0f + 1 | %s | %.2f | %.2f | %s | %s | %s | %s |\n", count(l.connections), count(l.verifiers), count(l.tokens),
			n.nodes-1, n.nodesFor, n.writes, n.sweeps, count(math.Ceil(n.databases)), count(n.hints), size(n.bytes), n.first)
	}
}

// count writes a number with commas.
func count(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(bytes float64) string {
	if bytes < 1e9 {
		return fmt.Sprintf("%.0f MB", bytes/1e6)
	}
	return count(bytes/1e9) + " GB"
}

// throughput returns changes with receipts that a database takes in a second, through so many nodes: what `nodes` of
// docs/benchmarks measures.
func (c costs) throughput(nodes float64) float64 {
	return 1 / (c.revocation + c.acknowledged*(nodes-1))
}

func main() {
	var l load
	flag.Float64Var(&l.connections, "connections", 0, "`number` of connections of users")
	flag.Float64Var(&l.verifiers, "verifiers", 0, "`number` of verifiers")
	flag.Float64Var(&l.tokens, "tokens", 0, "`number` of tokens")
	flag.Parse()
	if l.connections < 0 || l.connections > 1e9 || l.verifiers < 0 || l.verifiers > 1e9 || l.tokens < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	loads := steps
	if l != (load{}) {
		loads = []load{l}
	}
	table(os.Stdout, loads)
	fmt.Println()
	regions(os.Stdout)
	fmt.Println()
	check(os.Stdout)
}
