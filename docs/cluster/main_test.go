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
	"os/exec"
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

// running is the program while it runs.
type running struct {
	*screen
	ended <-chan error
	keys  io.Writer
}

// begin starts the program on ports of its own. It ends with the test, or when ctx does.
func begin(t *testing.T, ctx context.Context, o options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	in, keys := io.Pipe()
	ended, over := make(chan error, 1), make(chan struct{})
	r := &running{screen: &screen{}, ended: ended, keys: keys}
	t.Cleanup(func() { // also where the test fails nothing is left
		cancel()
		<-over
		keys.Close()
	})
	o.ports = rand.IntN(maxPorts)
	go func() {
		defer close(over)
		ended <- run(ctx, o, in, r.screen)
	}()
	return r
}

// find waits until the program has printed something.
func (r *running) find(t *testing.T, pattern string) []string {
	t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(lookEvery) {
		if found := regexp.MustCompile(pattern).FindStringSubmatch(r.String()); found != nil {
			return found
		}
		select {
		case err := <-r.ended:
			t.Fatalf("it ended: %v\n%s", err, r)
		default:
		}
	}
	t.Fatalf("no %s in\n%s", pattern, r)
	return nil
}

// url returns where a part is.
func (r *running) url(t *testing.T, part string) string {
	t.Helper()
	return r.find(t, part+` +(http://\S+)`)[1]
}

// restart kills a part, as it says or with the command that it shows, and starts it again.
func (r *running) restart(t *testing.T, part string, typed bool) {
	t.Helper()
	shown := r.find(t, part+` +(\S+) +pid (\d+) +(kill -9 (\d+)) +start `+part)
	if typed {
		fmt.Fprintln(r.keys, "kill", part)
	} else if output, err := exec.Command("sh", "-c", shown[3]).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", shown[3], err, output)
	}
	r.find(t, part+" has ended: signal: killed")
	fmt.Fprintln(r.keys, "start", part)
	again := r.find(t, `(?s)`+part+` has ended.* `+part+` +(\S+) +pid (\d+)`)
	if again[1] != shown[1] || again[2] == shown[2] {
		t.Errorf("%s was at %s with pid %s, and is at %s with %s", part, shown[1], shown[2], again[1], again[2])
	}
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
	defer cancel()
	r := begin(t, ctx, options{database: "mariadb", nodes: 2, nginx: true})
	dir := r.find(t, `Logs are in (\S+)`)[1]
	password := r.find(t, `password (\S+)`)[1]
	nodes, nginx := []string{r.url(t, "node 1"), r.url(t, "node 2")}, r.url(t, "nginx")

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
	r.find(t, "Open "+nginx+": nginx is there")
	guards(t, nodes[1], nginx, session, token.ID, token.Token)
	fails(t, r, nodes[1], session)
	cancel()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("it left its folder:", err)
	}
}

// fails: each part is killed and started again, and then a node serves as before. What is typed wrong is said.
func fails(t *testing.T, r *running, node, session string) {
	t.Helper()
	fmt.Fprintln(r.keys, "start node 1")
	r.find(t, "node 1 runs already")
	fmt.Fprintln(r.keys, "start node 3")
	r.find(t, `there is no part "node 3"; there are mariadb, nats, node 1, node 2, nginx`)
	fmt.Fprintln(r.keys, "stop node 1")
	r.find(t, "type list, or kill or start")
	for i, part := range []string{"node 2", "nats", "mariadb", "nginx"} {
		r.restart(t, part, i%2 == 1)
		serves(t, node, session)
	}
	lists(t, r)
}

// lists: all parts are shown as they are, the one that has ended too.
func lists(t *testing.T, r *running) {
	t.Helper()
	fmt.Fprintln(r.keys, "kill node 1")
	r.find(t, "node 1 has ended: signal: killed")
	fmt.Fprintln(r.keys, "kill node 1")
	r.find(t, "node 1 does not run")
	fmt.Fprintln(r.keys, "list")
	// Of the last that is said: the columns of a list are as wide as its parts need.
	r.find(t, `(?s)does not run\n  mariadb +\S+ +pid (\d+) +kill -9 \d+ +start mariadb\n  nats +.*  node 1 +\S+ +ended +start node 1 .*  nginx +\S+ +pid \d+ `)
}

// serves waits until a node does.
func serves(t *testing.T, node, session string) {
	t.Helper()
	for deadline := time.Now().Add(readyWithin); isOK(node+"/readyz") != nil; time.Sleep(lookEvery) {
		if time.Now().After(deadline) {
			t.Fatal(node, "is not ready")
		}
	}
	post(t, node, session, "/v1/api-tokens/read", nil)
}

// TestGalera: each node is given all hosts, and serves when any one of them is gone, and when it is back.
func TestGalera(t *testing.T) {
	require(t, "mariadb-install-db", "nats-server", "rsync")
	ctx, cancel := context.WithTimeout(t.Context(), 2*within) // three hosts start, and three again
	defer cancel()
	r := begin(t, ctx, options{database: "galera", nodes: 2})
	password := r.find(t, `password (\S+)`)[1]
	r.find(t, "Two of the three must run")
	hosts := r.find(t, `galera 1 +(\S+) [^$]*galera 2 +(\S+) [^$]*galera 3 +(\S+)`)[1:]
	for _, node := range []string{"node 1", "node 2"} {
		r.find(t, node+" .* database "+strings.Join(hosts, ",")+"\n")
	}
	var signedIn struct{ Session string }
	post(t, r.url(t, "node 1"), "", "/v1/session/sign-in", &signedIn, "admin", password)
	r.restart(t, "galera 1", true) // which has made the cluster, and must join it this time
	serves(t, r.url(t, "node 2"), signedIn.Session)
	for _, host := range []string{"galera 2", "galera 3"} { // one host alone is no majority
		fmt.Fprintln(r.keys, "kill", host)
		r.find(t, host+" has ended: signal: killed")
	}
	fmt.Fprintln(r.keys, "start galera 2")
	r.find(t, `(?s)galera 3 is started too.*  galera 2 +\S+ +pid .*  galera 3 +\S+ +pid `)
	serves(t, r.url(t, "node 1"), signedIn.Session)
	cancel()
	if err := <-r.ended; err != nil {
		t.Error(err)
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
	body, _ := json.Marshal(append([]any{}, params...)) // an array also without any
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
