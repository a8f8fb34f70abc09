package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// TestStartTogether: of nodes that start at once on an empty database one makes the tables, the key and the administrator, and all
// serve.
func TestStartTogether(t *testing.T) {
	nodes := servertest.StartTogether(t, 4, modelstest.MariaDB(t))
	session := nodes[0].SignIn("admin", servertest.Password)
	for i, n := range nodes {
		if status := n.Ready(); status != 200 {
			t.Errorf("node %d: /readyz says %d", i, status)
		}
		n.Call(session, "/v1/session/read", nil)
	}
}

// nextMigration is what a version to come might do: a table of its own, and a column in one that all versions write.
const nextMigration = `CREATE TABLE IF NOT EXISTS things (id INTEGER NOT NULL PRIMARY KEY);
ALTER TABLE api_tokens ADD COLUMN thing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN thing INTEGER NOT NULL DEFAULT 0;
`

// TestVersionsBesideEachOther: a node goes on beside one of the next version, which has migrated the database, and can be started
// again beside it. Changes, events and receipts cross either way.
func TestVersionsBesideEachOther(t *testing.T) {
	t.Parallel()
	bus := servertest.StartNATS(t)
	before := servertest.Start(t, modelstest.MariaDB(t), "--nats", bus.URL())
	s := &nodes{all: []*servertest.Program{before}, session: before.SignIn("admin", servertest.Password)}
	token := s.create("ci")
	s.all = append(s.all, before.BesideChanged(map[string]string{"models/migrations/mysql/9999_next.sql": nextMigration}, "--nats", bus.URL()))
	s.cross(t, token)
	before.Stop()
	s.all[1].Call(s.session, "/v1/api-tokens/create", nil, "while it was away")
	before.Start()
	s.cross(t, token)
}

// cross makes changes through each node, and wants them heard of and confirmed at all.
func (s *nodes) cross(t *testing.T, token madeToken) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), overall)
	defer cancel()
	var verifiers []*client.Verifier
	heard := make([]chan bool, len(s.all))
	for i, n := range s.all {
		verifiers = append(verifiers, s.verifier(t, i, client.VerifierOptions{}))
		c, err := client.Dial(ctx, client.Options{URL: n.URL() + "/api", Token: client.NewSecret(s.session)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		events := c.Events(ctx)
		heard[i] = make(chan bool, 100)
		go func() {
			for e, err := range events {
				var p struct{ Enabled bool }
				if err == nil && strings.HasSuffix(e.Method, "/enabled-changed") && json.Unmarshal(e.Params, &p) == nil {
					heard[i] <- p.Enabled
				}
			}
		}()
	}
	for node := range s.all {
		for _, v := range verifiers {
			until(t, patience, "the token to be good", func() bool { return active(t, v, token.Token) })
		}
		receipt, _ := s.enable(t, node, token.ID, false)
		if receipt.Verifiers != len(verifiers) || receipt.Confirmed != len(verifiers) {
			t.Errorf("node %d: the receipt is %+v", node, receipt)
		}
		if slices.ContainsFunc(verifiers, func(v *client.Verifier) bool { return active(t, v, token.Token) }) {
			t.Errorf("node %d: a verifier takes a token after the receipt", node)
		}
		s.enable(t, node, token.ID, true)
		for i := range heard {
			for _, want := range []bool{false, true} {
				select {
				case got := <-heard[i]:
					if got != want {
						t.Errorf("node %d told of enabled %v, want %v", i, got, want)
					}
				case <-ctx.Done():
					t.Fatalf("node %d tells nothing of a change at node %d", i, node)
				}
			}
		}
	}
}

// TestOperatorSeesNodes: who looks at a node's metrics and log knows which others there are.
func TestOperatorSeesNodes(t *testing.T) {
	t.Parallel()
	s := startNodes(t, slices.Repeat([]string{modelstest.MariaDB(t)}, 2), false)
	sees := func(text string) func() bool {
		return func() bool {
			response, err := http.Get(s.all[0].URL() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			return err == nil && strings.Contains(string(body), text)
		}
	}
	until(t, patience, "two nodes", sees("tokenwire_nodes 2\n"))
	s.enable(t, 0, s.create("x").ID, false)
	if !sees("tokenwire_node_wait_seconds_count 1\n")() {
		t.Error("no wait was counted")
	}
	s.all[1].Stop()
	until(t, patience, "one node", sees("tokenwire_nodes 1\n"))
	s.all[1].Start()
	until(t, patience, "two nodes again", sees("tokenwire_nodes 2\n"))
	for line, node := range map[string]int{
		"another node is in the database": 0, "another node has left": 0, "this node is in the database": 1, "stopping: connections are told to go": 1,
	} {
		if !strings.Contains(s.all[node].Log(), line) {
			t.Errorf("the log of node %d says nothing of %q", node, line)
		}
	}
}
