package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// hintWait is how long a node waits for hints before it asks the others in the database.
const hintWait = 300 * time.Millisecond

// nodes are some on one database, with a bus or without one.
type nodes struct {
	all     []*servertest.Program
	nats    *servertest.NATS // nil for none
	session string
}

// startNodes starts one node at each URL of a database.
func startNodes(t *testing.T, urls []string, bus bool) *nodes {
	var args []string
	var s nodes
	if bus {
		s.nats = servertest.StartNATS(t)
		args = []string{"--nats", s.nats.URL()}
	}
	for i, url := range urls {
		if i == 0 {
			s.all = append(s.all, servertest.Start(t, url, args...))
		} else {
			s.all = append(s.all, s.all[0].Beside(url, args...))
		}
	}
	s.session = s.all[0].SignIn("admin", servertest.Password)
	return &s
}

// eachNodes runs a test with nodes on one database, with a bus and without one, and with nodes on the hosts of a cluster.
func eachNodes(t *testing.T, n int, f func(t *testing.T, s *nodes)) {
	for name, bus := range map[string]bool{"nats": true, "no bus": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, startNodes(t, slices.Repeat([]string{modelstest.MariaDB(t)}, n), bus))
		})
	}
	t.Run("galera", func(t *testing.T) {
		t.Parallel()
		f(t, startNodes(t, modelstest.Galera(t)[:n], true))
	})
}

type madeToken struct{ ID, Token string }

func (s *nodes) create(name string, permissions ...string) (made madeToken) {
	given := map[string]bool{}
	for _, p := range permissions {
		given[p] = true
	}
	s.all[0].Call(s.session, "/v1/api-tokens/create", &made, name, map[string]any{"permissions": given})
	return made
}

// verifier returns one at a node.
func (s *nodes) verifier(t *testing.T, node int, o client.VerifierOptions) *client.Verifier {
	t.Helper()
	o.URL = strings.Replace(s.all[node].URL(), "http", "ws", 1) + "/api"
	o.Token = client.NewSecret(s.create(fmt.Sprint("verifier ", time.Now().UnixNano()), "tokens:verify").Token)
	v, err := client.NewVerifier(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// enable switches a token through a node, and returns what the receipt says and how long it took.
func (s *nodes) enable(t *testing.T, node int, tokenID string, enabled bool) (receipt struct{ Verifiers, Confirmed, Expired int }, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), overall)
	defer cancel()
	began := time.Now()
	status, answer, err := s.all[node].Post(ctx, s.session, "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,%v]", tokenID, enabled))
	var result struct {
		Receipt *struct{ Verifiers, Confirmed, Expired int }
	}
	if err == nil && status == 200 {
		err = json.Unmarshal(answer, &result)
	}
	if err != nil || status != 200 || result.Receipt == nil {
		t.Fatalf("set-enabled: %d %s %v", status, answer, err)
	}
	return *result.Receipt, time.Since(began)
}

func active(t *testing.T, v *client.Verifier, token string) bool {
	t.Helper()
	d, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return d.Active
}

// TestReceiptOfOtherNodes: a token that is switched off through one node is off at the verifiers of all others when the call
// returns, and they are counted.
func TestReceiptOfOtherNodes(t *testing.T) {
	t.Parallel()
	eachNodes(t, 3, func(t *testing.T, s *nodes) {
		token := s.create("ci")
		verifiers := []*client.Verifier{s.verifier(t, 0, client.VerifierOptions{}), s.verifier(t, 1, client.VerifierOptions{}), s.verifier(t, 2, client.VerifierOptions{})}
		fastest := time.Hour
		for round := range 10 {
			for i, v := range verifiers {
				for deadline := time.Now().Add(5 * time.Second); !active(t, v, token.Token); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("verifier %d: the token is not good", i)
					}
				}
			}
			receipt, took := s.enable(t, round%3, token.ID, false)
			for i, v := range verifiers {
				if active(t, v, token.Token) {
					t.Errorf("verifier %d takes a token after the receipt", i)
				}
			}
			if receipt.Verifiers != 3 || receipt.Confirmed != 3 {
				t.Errorf("round %d: the receipt is %+v", round, receipt)
			}
			if again, _ := s.enable(t, (round+2)%3, token.ID, false); again.Verifiers != 0 {
				t.Errorf("round %d: of a call that changes nothing the receipt is %+v", round, again)
			}
			fastest = min(fastest, took)
			s.enable(t, (round+1)%3, token.ID, true)
		}
		if s.nats != nil && fastest > hintWait {
			t.Errorf("the fastest took %v: no hint came to anything", fastest)
		}
	})
}

// TestNodeThatIsGone: of a node that was killed, or stands still, a receipt waits for the leases that it gave, and no longer.
func TestNodeThatIsGone(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	eachNodes(t, 2, func(t *testing.T, s *nodes) {
		token := s.create("ci")
		v := s.verifier(t, 1, client.VerifierOptions{Lease: lease})
		if !active(t, v, token.Token) {
			t.Fatal("the token is not good")
		}
		s.all[1].Freeze()
		_, took := s.enable(t, 0, token.ID, false)
		if d, err := v.Verify(t.Context(), token.Token); err == nil && d.Active {
			t.Error("a verifier takes a token after the receipt")
		}
		if took < time.Second || took > lease+5*time.Second {
			t.Errorf("it took %v", took)
		}
		s.all[1].Thaw()
		ctx, cancel := context.WithTimeout(t.Context(), overall)
		defer cancel()
		if status, answer, err := s.all[1].Post(ctx, token.Token, "/v1/session/read", "[]"); err == nil && status == 200 {
			t.Errorf("a node that stood still takes a token after the receipt: %s", answer)
		}
		s.enable(t, 0, token.ID, true)
		s.all[1].Kill()
		if _, took := s.enable(t, 0, token.ID, false); took > lease+5*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, took := s.enable(t, 0, token.ID, true); took > time.Second {
			t.Errorf("the one that is gone is waited for again: %v", took)
		}
	})
}
