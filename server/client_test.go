package server_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/rpc"
	"github.com/tokenwire/tokenwire/server"
	"github.com/tokenwire/tokenwire/web"
)

// TestClient runs web/client.js under Node.js against a server: the scenarios of web/testdata/client.mjs.
func TestClient(t *testing.T) {
	node := nodeCommand(t)
	modelstest.Each(t, func(t *testing.T, url string) {
		c := &clientTest{t: t, node: node, database: url, key: filepath.Join(t.TempDir(), "key")}
		c.main = c.serve(t, "127.0.0.1:0")
		c.session = c.main.signIn("admin", adminPassword)
		for _, scenario := range []string{
			"calls", "tokenCredential", "errors", "notifications", "heartbeats", "restart", "ends", "abort", "signIn",
		} {
			t.Run(scenario, func(t *testing.T) { c.run(t, scenario) })
		}
	})
}

// scenarioTime is how long a scenario may take: client.mjs gives up well before.
const scenarioTime = time.Minute

// nodeCommand returns how Node.js is started, or ends the test for the want of it.
func nodeCommand(t *testing.T) []string {
	t.Helper()
	major := 0
	out, err := exec.Command("node", "--version").Output()
	if err == nil {
		version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
		major, err = strconv.Atoi(version)
	}
	switch {
	case err == nil && major >= 22:
		return []string{"node"}
	case err == nil && major >= 20:
		return []string{"node", "--experimental-websocket"}
	case err == nil:
		err = fmt.Errorf("version %d has no WebSocket", major)
	}
	if os.Getenv("TOKENWIRE_TEST_NO_SKIP") == "1" {
		t.Fatalf("no Node.js to test on, and TOKENWIRE_TEST_NO_SKIP=1: %v", err)
	}
	t.Skipf("no Node.js to test on: %v", err)
	return nil
}

// clientTest is a server that can be stopped and started while a client is connected to it.
type clientTest struct {
	t             *testing.T // of the server, which outlives the scenarios
	node          []string
	database, key string
	session       string
	main          *instance
	isDown        bool      // main is
	elsewhere     *instance // on the same database, or nil
	release       func()    // lets go of what holds the database up, or nil
}

// serve runs a server on the test's database at an address, until it is stopped or all scenarios are over.
func (c *clientTest) serve(t *testing.T, address string) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := models.Open(ctx, c.database, models.Options{Key: models.KeySource{File: c.key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Bootstrap(ctx, models.NewSecret(adminPassword)); err != nil {
		t.Fatal(err)
	}
	log, metrics := slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry()
	service := rpc.NewService(store, rpc.Options{Log: log, Metrics: metrics, Version: "test"})
	s, err := server.New(server.Config{Service: service, Store: store, Log: log, Metrics: metrics, Files: web.Files})
	if err != nil {
		t.Fatal(err)
	}
	listener := listen(t, address)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	i := &instance{t: c.t, store: store, url: "http://" + listener.Addr().String()}
	i.stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		if err := <-done; err != nil {
			c.t.Error("serve:", err)
		}
		if err := store.Close(); err != nil {
			c.t.Error("close:", err)
		}
	}
	c.t.Cleanup(i.stop)
	return i
}

// listen takes an address again that a server has just left. A connection of another test may have it for a moment.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return listener
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// run runs one scenario, and does what it asks for.
func (c *clientTest) run(t *testing.T, scenario string) {
	ctx, cancel := context.WithTimeout(context.Background(), scenarioTime)
	defer cancel()
	arguments := append(c.node[1:len(c.node):len(c.node)], filepath.Join("..", "web", "testdata", "client.mjs"), scenario)
	command := exec.CommandContext(ctx, c.node[0], arguments...)
	command.Env = append(os.Environ(), "NODE_NO_WARNINGS=1", "TOKENWIRE_URL="+c.main.url, "TOKENWIRE_SESSION="+c.session, "TOKENWIRE_PASSWORD="+adminPassword)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.settle(t)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		what, asked := strings.CutPrefix(lines.Text(), "ask ")
		if !asked {
			t.Log(lines.Text())
			continue
		}
		fmt.Fprintln(stdin, c.do(t, what))
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
}

// do does what a scenario asks for, and returns the answer.
func (c *clientTest) do(t *testing.T, what string) string {
	switch what {
	case "stop":
		c.main.stop()
		c.isDown = true
	case "elsewhere":
		c.elsewhere = c.serve(t, "127.0.0.1:0")
		return c.elsewhere.url
	case "start":
		if c.elsewhere != nil {
			c.elsewhere.stop()
		}
		c.main = c.serve(t, strings.TrimPrefix(c.main.url, "http://"))
		c.isDown, c.elsewhere = false, nil
	case "hold":
		c.release = hold(t, c.database)
	case "release":
		c.release()
		c.release = nil
	default:
		t.Errorf("asked for %q", what)
	}
	return "done"
}

// settle undoes what a scenario that failed has left.
func (c *clientTest) settle(t *testing.T) {
	if c.release != nil {
		c.do(t, "release")
	}
	if c.isDown {
		c.do(t, "start")
	}
}

// hold lets no change go on in a database until the function that it returns is called.
func hold(t *testing.T, database string) (release func()) {
	t.Helper()
	lock := []string{"BEGIN IMMEDIATE"}
	if models.DatabaseFile(database) == "" {
		lock = []string{"BEGIN", "SELECT id FROM users FOR UPDATE"}
	}
	db := openDatabase(t, database)
	ctx := context.Background()
	held, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range lock {
		if _, err := held.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if _, err := held.ExecContext(ctx, "ROLLBACK"); err != nil {
			t.Error(err)
		}
		held.Close()
	}
}

// openDatabase opens a server's database beside the server, until the test ends.
func openDatabase(t testing.TB, database string) *sql.DB {
	t.Helper()
	driver, source := "sqlite", models.DatabaseFile(database)
	if source == "" {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		driver, source = "mysql", fmt.Sprintf("%s@tcp(%s)%s", u.User.Username(), u.Host, u.Path)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
