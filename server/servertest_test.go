package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
	"github.com/tokenwire/tokenwire/rpc"
	"github.com/tokenwire/tokenwire/server"
	"github.com/tokenwire/tokenwire/web"
)

func TestMain(m *testing.M) { programs.Main(m) }

const adminPassword = "correct horse battery"

// patience is how long a test waits for what must come: far longer than it ever takes.
const patience = 10 * time.Second

// until waits until f is true.
func until(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
	}
}

// instance is a running server with its administrator.
type instance struct {
	t       testing.TB
	store   *models.Store
	url     string // http://host:port
	session string // the administrator's
	stop    func()
}

// start runs a server on the database at url until the test ends.
func start(t testing.TB, url string) *instance {
	t.Helper()
	return startWith(t, url, models.Options{}, nil)
}

func startWith(t testing.TB, url string, options models.Options, origins []string) *instance {
	t.Helper()
	return startConfigured(t, url, options, server.Config{Origins: origins})
}

// startConfigured runs a server with a configuration that lacks what it is made of.
func startConfigured(t testing.TB, url string, options models.Options, c server.Config) *instance {
	t.Helper()
	return startKeeping(t, url, options, c, rpc.DefaultFacts)
}

// startKeeping is the same with room for so many tokens' facts.
func startKeeping(t testing.TB, url string, options models.Options, c server.Config, facts int) *instance {
	t.Helper()
	if options.Key.File == "" {
		options.Key.File = filepath.Join(t.TempDir(), "key")
	}
	store, err := models.Open(context.Background(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Bootstrap(context.Background(), models.NewSecret(adminPassword)); err != nil {
		t.Fatal(err)
	}
	c.Store, c.Files, c.Log, c.Metrics = store, web.Files, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry()
	c.Service = rpc.NewService(store, rpc.Options{Log: c.Log, Metrics: c.Metrics, Version: "test", Facts: facts})
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	i := &instance{t: t, store: store, url: "http://" + listener.Addr().String()}
	i.stop = sync.OnceFunc(func() { // whoever calls it while it runs waits
		cancel()
		if err := <-done; err != nil {
			t.Error("serve:", err)
		}
		if err := store.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // one that was never used holds a server up for 5 s when it stops
		i.stop()
	})
	i.session = i.signIn("admin", adminPassword)
	return i
}

// post sends a body to a path with a credential ("" for none) and returns the status and the answer.
func (i *instance) post(path, credential, body string) (int, string) {
	i.t.Helper()
	r, err := http.NewRequest("POST", i.url+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func (i *instance) signIn(username, password string) string {
	i.t.Helper()
	body, _ := json.Marshal([]string{username, password})
	status, answer := i.post("/api/v1/session/sign-in", "", string(body))
	var result struct {
		Session string `json:"session"`
	}
	if err := json.Unmarshal([]byte(answer), &result); err != nil || status != 200 || result.Session == "" {
		i.t.Fatalf("sign-in: %d %s", status, answer)
	}
	return result.Session
}

// conn is a client that speaks the wire.
type conn struct {
	t  testing.TB
	ws *websocket.Conn
}

// dial connects with a credential; query is "" or "?since=…".
func (i *instance) dial(credential, query string) *conn {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, i.url+"/api"+query, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + credential}}, Subprotocols: []string{"tokenwire.v1"},
	})
	if err != nil {
		i.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	i.t.Cleanup(func() { ws.CloseNow() })
	return &conn{i.t, ws}
}

func (c *conn) send(message string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next message but heartbeats, or the error that ended the connection.
func (c *conn) read() (string, error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, b, err := c.ws.Read(ctx)
		cancel()
		if err != nil || !strings.Contains(string(b), `"method":"/v1/session/heartbeat"`) {
			return string(b), err
		}
	}
}

// next returns the next message and fails the test if there is none.
func (c *conn) next() string {
	c.t.Helper()
	message, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return message
}

// closed reads until the connection is closed and returns the close code.
func (c *conn) closed() websocket.StatusCode {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}
