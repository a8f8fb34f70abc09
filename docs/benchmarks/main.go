// Benchmarks measures Tokenwire against what it is held to: README.md says how, and what came out.
//
//	cd docs/benchmarks && go run . calls | memory | fanout | set-enabled | verify | receipt | cold | auth | nodes
//
// The load comes from this process. Tokenwire (built from the tree) and the references (this program again, under hidden
// subcommands) are processes of their own, and end with it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// options are the flags that all subcommands share.
type options struct {
	tree    string        // of the Tokenwire under test
	against string        // tree of another Tokenwire, to be the reference
	rounds  int           // of reference and Tokenwire in turns
	period  time.Duration // of one measurement
	dir     string        // temporary, gone at the end
}

var subcommands = map[string]func(o *options) error{
	"calls": calls, "memory": memory, "fanout": fanout, "set-enabled": setEnabled, "verify": verify, "receipt": receipt, "cold": cold, "auth": auth,
	"nodes": nodes,
}

// references are the hidden subcommands: servers that the others start.
var references = map[string]func() error{"reference-echo": serveEcho, "reference-centrifuge": serveCentrifuge, "reference-sql": runSQL, "reference-bare": serveBare}

// The children are to die with the thread that started them (process.go): the main one, which lives as long as the
// process does.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) > 1 && references[os.Args[1]] != nil {
		exit(references[os.Args[1]]())
	}
	var o options
	flag.StringVar(&o.tree, "tree", "../..", "`directory` of the Tokenwire to measure")
	flag.StringVar(&o.against, "against", "", "`directory` of another Tokenwire, to be the reference instead of the usual one")
	flag.IntVar(&o.rounds, "rounds", 7, "measurements of each side, in turns")
	flag.DurationVar(&o.period, "period", 3*time.Second, "length of one measurement")
	flag.Int64Var(&watchers, "watchers", 1000, "connections that fanout tells of each change")
	flag.IntVar(&nodesTogether, "nodes", 3, "nodes that are compared with one")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go run . [flags] calls|memory|fanout|set-enabled|verify|receipt|cold|auth|nodes")
		flag.PrintDefaults()
	}
	flag.Parse()
	run := subcommands[flag.Arg(0)]
	if run == nil || flag.NArg() != 1 || nodesTogether < 1 || o.rounds < 1 || o.rounds > 1000 || o.period < 100*time.Millisecond || o.period > time.Minute {
		flag.Usage()
		os.Exit(2)
	}
	exit(in(&o, run))
}

// in runs a subcommand with a temporary directory.
func in(o *options, run func(o *options) error) (err error) {
	if o.dir, err = os.MkdirTemp("", "tokenwire-benchmarks-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	defer killAll()
	return run(o)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
