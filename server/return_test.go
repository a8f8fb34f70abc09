package server_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// returning is how many clients come back at once. More than a few thousand take longer than a test should.
var returning = flag.Int("returning", 2000, "clients that come back at once in TestAllComeBack")

// Bounds of TestAllComeBack, far beyond what it takes.
const (
	backWithin  = time.Minute     // for the last to be back
	steadyBound = 5 * time.Second // for an answer to who stayed
)

// cable is what clients connect over. It can be cut.
type cable struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cable) client() *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.conns = append(c.conns, conn)
		}
		return conn, err
	}}}
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// crowd is many clients of some users, and the names of tokens that each has heard of.
type crowd struct {
	t       *testing.T
	clients sync.WaitGroup

	mu     sync.Mutex
	heard  [][]string
	resets int
}

// join connects one more client, which listens until the test ends.
func (c *crowd) join(ctx context.Context, o client.Options) {
	c.mu.Lock()
	n := len(c.heard)
	c.heard = append(c.heard, nil)
	c.mu.Unlock()
	k, err := client.Dial(ctx, o)
	if err != nil {
		c.t.Error(err)
		return
	}
	events := k.Events(ctx)
	c.clients.Go(func() {
		defer k.Close()
		for e, err := range events {
			var created struct{ Token struct{ Name string } }
			if err != nil || e.Method != "/v1/api-tokens/created" && !e.Reset || json.Unmarshal(e.Params, &created) != nil {
				continue
			}
			c.mu.Lock()
			c.heard[n] = append(c.heard[n], created.Token.Name)
			if e.Reset {
				c.resets++
			}
			c.mu.Unlock()
		}
	})
}

// gather makes some users, connects many clients of theirs, and returns the users' sessions.
func (c *crowd) gather(ctx context.Context, p *servertest.Program, admin string, wire *cable) (sessions []string) {
	const users = 8
	var joining sync.WaitGroup
	for n := range users {
		name := fmt.Sprint("user", n)
		p.Call(admin, "/v1/users/create", nil, name, map[string]any{"password": servertest.Password, "permissions": map[string]bool{"tokens:manage": true}})
		session := p.SignIn(name, servertest.Password)
		sessions = append(sessions, session)
		joining.Go(func() {
			for range *returning / users {
				c.join(ctx, client.Options{URL: p.URL() + "/api", Token: client.NewSecret(session), HTTPClient: wire.client()})
			}
		})
	}
	joining.Wait()
	return sessions
}

// whole returns how many clients have heard of just these tokens, in this order.
func (c *crowd) whole(names []string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, heard := range c.heard {
		if fmt.Sprint(heard) == fmt.Sprint(names) {
			n++
		}
	}
	return n
}

// steady makes one call after the other until ctx ends, and returns the longest time of one.
func steady(ctx context.Context, k *client.Client) (longest time.Duration, calls int, err error) {
	for ctx.Err() == nil {
		began := time.Now()
		if err := k.Call(context.WithoutCancel(ctx), "/v1/api-tokens/read", nil, nil); err != nil {
			return longest, calls, err
		}
		longest, calls = max(longest, time.Since(began)), calls+1
		time.Sleep(5 * time.Millisecond)
	}
	return longest, calls, nil
}

// TestAllComeBack: many clients that lose their connections at once come back, hear of all that happened meanwhile, once, and do
// not starve one that stayed.
func TestAllComeBack(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		p := servertest.Start(t, url)
		admin := p.SignIn("admin", servertest.Password)
		ctx, cancel := context.WithCancel(t.Context())
		c, wire := &crowd{t: t}, &cable{}
		defer c.clients.Wait()
		defer cancel()
		sessions := c.gather(ctx, p, admin, wire)
		k, err := client.Dial(ctx, client.Options{URL: p.URL() + "/api", Token: client.NewSecret(admin)})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		measure, stop := context.WithTimeout(ctx, time.Second)
		before, _, err := steady(measure, k)
		stop()
		if err != nil {
			t.Fatal(err)
		}
		measure, stop = context.WithCancel(ctx)
		var measured sync.WaitGroup
		var while time.Duration
		var calls int
		measured.Go(func() { while, calls, err = steady(measure, k) })
		began := time.Now()
		wire.cut()
		names := []string{"a", "b", "c"}
		for _, name := range names {
			for _, session := range sessions {
				p.Call(session, "/v1/api-tokens/create", nil, name)
			}
			time.Sleep(100 * time.Millisecond) // for some to be back
		}
		until(t, backWithin, "all to have heard of all", func() bool { return c.whole(names) == len(c.heard) })
		back := time.Since(began)
		stop()
		measured.Wait()
		t.Logf("%d clients were back after %v; a call took %v at most before, and %v of %d while", len(c.heard), back, before, while, calls)
		if err != nil || while > steadyBound {
			t.Errorf("who stayed waited %v, %v", while, err)
		}
		if c.resets > 0 {
			t.Error(c.resets, "were told to read anew")
		}
	})
}
