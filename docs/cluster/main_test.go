//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/client"
)

// within bounds a test: building Tokenwire takes longest.
const within = 90 * time.Second

// screen is what the program prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// find waits until the program has printed something.
func (s *screen) find(t *testing.T, ended <-chan error, pattern string) []string {
	t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(lookEvery) {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(s.String()); found != nil {
			return found
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, s)
		default:
		}
	}
	t.Fatalf("no %s in\n%s", pattern, s)
	return nil
}

// require ends the test for the want of a program.
func require(t *testing.T, commands ...string) {
	t.Helper()
	for _, command := range commands {
		if _, err := find(command); err != nil {
			if os.Getenv("TOKENWIRE_TEST_NO_SKIP") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// TestCluster: what is made on one node is seen on the other and through nginx, which lets in who shows a good token and
// nobody else, whichever node it asks.
func TestCluster(t *testing.T) {
	require(t, "mariadb-install-db", "nats-server", "nginx")
	ctx, cancel := context.WithTimeout(t.Context(), within)
	var out screen
	ended, over := make(chan error, 1), make(chan struct{})
	t.Cleanup(func() { // also where the test fails nothing is left
		cancel()
		<-over
	})
	go func() {
		defer close(over)
		ended <- run(ctx, options{database: "mariadb", nodes: 2, nginx: true, ports: rand.IntN(maxPorts)}, &out)
	}()
	dir := out.find(t, ended, `Logs are in (\S+)`)[1]
	password := out.find(t, ended, `password (\S+)`)[1]
	url := func(name string) string { return out.find(t, ended, name+` +(http://\S+)`)[1] }
	nodes, nginx := []string{url("node 1"), url("node 2")}, url("nginx")

	var signedIn struct{ Session string }
	post(t, nodes[0], "", "/v1/session/sign-in", &signedIn, "admin", password)
	session := signedIn.Session
	seen := make(chan string, 10)
	for _, at := range []string{nodes[1], nginx} {
		c, err := client.Dial(ctx, client.Options{URL: strings.Replace(at, "http", "ws", 1) + "/api", Token: client.NewSecret(session)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			for event, err := range c.Events(ctx) {
				if err == nil && event.Method == "/v1/api-tokens/created" {
					seen <- at
				}
			}
		}()
	}
	post(t, nodes[0], session, "/v1/permissions/create", nil, "orders:read")
	var token struct{ ID, Token string }
	post(t, nodes[0], session, "/v1/api-tokens/create", &token, "ci", map[string]any{"permissions": map[string]bool{"orders:read": true}})
	for range 2 {
		select {
		case <-seen:
		case <-ctx.Done():
			t.Fatal("a change on the first node is not seen on another")
		}
	}
	guards(t, nodes[1], nginx, session, token.ID, token.Token)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("it left its folder:", err)
	}
}

// guards: nginx lets in who shows a token, until it is switched off on a node, and then nobody.
func guards(t *testing.T, node, nginx, session, tokenID, token string) {
	t.Helper()
	for try := range 20 {
		if status, body := get(t, nginx+"/orders/", token); status != 200 || body != "These are your orders, admin\n" {
			t.Fatalf("with a good token, try %d: %d %s", try, status, body)
		}
	}
	post(t, node, session, "/v1/api-tokens/set-enabled", nil, tokenID, false)
	for range 20 {
		if status, body := get(t, nginx+"/orders/", token); status != 401 {
			t.Fatalf("with a token that is off: %d %s", status, body)
		}
	}
	if status, _ := get(t, nginx+"/metrics", ""); status != 404 {
		t.Error("anybody may see the metrics:", status)
	}
}

// post calls a method, which must succeed.
func post(t *testing.T, url, bearer, method string, result any, params ...any) {
	t.Helper()
	body, _ := json.Marshal(params)
	status, answer := ask(t, "POST", url+"/api"+method, bearer, bytes.NewReader(body))
	if status != 200 {
		t.Fatalf("%s: %d %s", method, status, answer)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(answer), result); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, url, bearer string) (status int, body string) {
	t.Helper()
	return ask(t, "GET", url, bearer, nil)
}

func ask(t *testing.T, method, url, bearer string, body io.Reader) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", method, url, err))
	}
	return response.StatusCode, string(b)
}
