//go:build linux

// Cluster runs several nodes of Tokenwire on this machine, to try what they do together: a database, or a Galera cluster of
// three, NATS, the nodes, and nginx before them if wanted, all in a temporary folder and on 127.0.0.1 alone.
//
//	go run ./docs/cluster                          # three nodes on one MariaDB
//	go run ./docs/cluster -database galera         # three nodes on three hosts of a Galera cluster
//	go run ./docs/cluster -nodes 5 -nginx          # five, behind nginx as docs/compose/nginx.conf has it
//
// It shows how each part is killed, and starts it again when that is typed: "start node 2". "list" shows all parts as they are now.
// Ctrl-C ends all.
//
// It needs Debian's mariadb-server, nats-server, for galera also galera-4 and rsync, and for -nginx nginx-light. It is not for
// real use: the database has no password. docker-compose.yml is.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxNodes is how many a machine of a few cores can show something with.
const maxNodes = 9

// maxPorts keeps all ports below those that the kernel gives to outgoing connections.
const maxPorts = 10_000

// options are the flags.
type options struct {
	database string // mariadb or galera
	nodes    int
	nginx    bool
	ports    int // that all ports are higher by
}

func main() {
	var o options
	flag.StringVar(&o.database, "database", "mariadb", "mariadb, one host, or galera, a cluster of three")
	flag.IntVar(&o.nodes, "nodes", 3, "nodes of Tokenwire")
	flag.BoolVar(&o.nginx, "nginx", false, "nginx before the nodes")
	flag.IntVar(&o.ports, "ports", 0, "`number` that all ports are to be higher by, beside another cluster")
	flag.Parse()
	if flag.NArg() > 0 || o.database != "mariadb" && o.database != "galera" || o.nodes < 1 || o.nodes > maxNodes || o.ports < 0 || o.ports > maxPorts {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGTTIN) // in the background nothing can be typed, which must not stop it
	if err := run(ctx, o, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts all, says where it is, does what is typed, and ends all when ctx ends.
func run(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	runtime.LockOSThread() // the programs die with the thread that starts them
	defer runtime.UnlockOSThread()
	dir, err := os.MkdirTemp("", "tokenwire-cluster-")
	if err != nil {
		return err
	}
	c := &cluster{ctx: ctx, dir: dir, out: out, password: rand.Text(), ports: o.ports, given: map[int]bool{}}
	defer func() {
		c.stop()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := c.start(o); err != nil {
		if ctx.Err() != nil { // given up by whoever started it
			return nil
		}
		return err
	}
	c.greet(o)
	for _, p := range c.programs {
		c.watch(p)
	}
	c.obey(in)
	fmt.Fprintln(out, "\nEnding all.")
	return nil
}

// start starts what nodes need, and then them.
func (c *cluster) start(o options) error {
	if err := os.Chmod(c.dir, 0o755); err != nil { // the hosts of Galera may run as another user
		return err
	}
	fmt.Fprintln(c.out, "Building Tokenwire …")
	build := exec.CommandContext(c.ctx, "go", "build", "-o", filepath.Join(c.dir, "tokenwire"), "github.com/tokenwire/tokenwire")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	databases := c.startMariaDB
	if o.database == "galera" {
		databases = c.startGalera
	}
	if err := databases(); err != nil {
		return err
	}
	if err := c.startNATS(); err != nil {
		return err
	}
	behind := 0 // the port of nginx
	if o.nginx {
		behind = c.freePort(firstProxyPort)
	}
	for range o.nodes {
		if err := c.startNode(behind); err != nil {
			return err
		}
	}
	if o.nginx {
		return c.startNginx(behind)
	}
	return nil
}

// greet says what there is, and what to do with it.
func (c *cluster) greet(o options) {
	fmt.Fprintf(c.out, "\n%d nodes are one Tokenwire. Sign in as admin, password %s\n\n", o.nodes, c.password)
	c.list(c.programs...)
	if o.database == "galera" {
		fmt.Fprintln(c.out, "\nEach node works with one host of its database, any at first, and with another when that fails. Two of the three must run.")
	}
	first, second, before := c.nodes()[0].url, c.nodes()[o.nodes-1].url, ""
	if o.nginx { // started last
		before = fmt.Sprintf("\nOpen %s: nginx is there, and hands each connection to one of the nodes, which have their own addresses too.\n", c.programs[len(c.programs)-1].url)
	}
	fmt.Fprintf(c.out, `%[5]s
See a change go from one node to another: open %[1]s, sign in, and open %[2]s in a second
window (a browser's cookie is good at both). Make a token in one window, and switch it off in the other. Or here:

  SESSION=$(curl -s -d '["admin","%[3]s"]' %[1]s/api/v1/session/sign-in | cut -d '"' -f 4)
  curl -s -H "Authorization: Bearer $SESSION" -d '["from the first"]' %[1]s/api/v1/api-tokens/create
  curl -s -H "Authorization: Bearer $SESSION" -d '[]' %[2]s/api/v1/api-tokens/read

See a part fail: with the kill of its line, in another terminal (kill -STOP and -CONT: a pause), or type here, and start it again:

  kill node 1
  start node 1
  list

Logs are in %[4]s
Ctrl-C ends all.
`, first, second, c.password, c.dir, before)
}

// nodes returns the programs that are Tokenwire.
func (c *cluster) nodes() (all []*program) {
	for _, p := range c.programs {
		if strings.HasPrefix(p.name, "node ") {
			all = append(all, p)
		}
	}
	return all
}
