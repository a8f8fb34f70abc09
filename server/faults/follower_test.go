package faults

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/client"
)

// notice is a notification, when it came, and what of it the test looks at.
type notice struct {
	at      int64
	raw     string
	tokenID string
	version int64
	end     bool
}

// follower has a user's events over any number of connections to any nodes.
type follower struct {
	begun chan struct{} // closed when it follows
	ended chan struct{} // closed when it does no more

	mu       sync.Mutex
	first    string // the position that it began at
	got      []notice
	resets   int
	finished bool
	cuts     int
}

// theEnd is the name of the token that is an owner's last.
const theEnd = "the end"

// isFeed reports whether a notification is one of the user's feed, not of the connection.
func isFeed(method string) bool {
	return strings.HasPrefix(method, "/v1/api-tokens/") || method == "/v1/session/permissions-changed"
}

// newFollower follows an owner until the end, or that of ctx.
func (l *load) newFollower(ctx context.Context, session string, random *rand.Rand) *follower {
	f := &follower{begun: make(chan struct{}), ended: make(chan struct{})}
	seed := random.Uint64()
	go func() {
		defer close(f.ended)
		random := rand.New(rand.NewPCG(seed, 1))
		since := ""
		for ctx.Err() == nil && !f.isFinished() {
			node := l.nodes[random.IntN(len(l.nodes))]
			life, cancel := context.WithTimeout(ctx, time.Second+rand.N(4*time.Second))
			since = f.follow(life, l, node.url(), session, since)
			cancel()
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(random.IntN(50)) * time.Millisecond):
			}
		}
	}()
	return f
}

// follow follows over one client, and returns where the next one goes on.
func (f *follower) follow(ctx context.Context, l *load, url, session, since string) string {
	c, err := client.Dial(ctx, client.Options{URL: url, Token: client.NewSecret(session), Since: since, HTTPClient: l.http})
	if err != nil {
		return since // switched off just now, or cut off
	}
	defer c.Close()
	events := c.Events(ctx)
	if since == "" {
		f.mu.Lock()
		f.first, since = c.Position(), c.Position()
		f.mu.Unlock()
		close(f.begun)
	}
	for e, err := range events {
		if err != nil {
			break
		}
		if e.Position != "" {
			since = e.Position
		}
		f.hear(l.now(), e)
		if f.isFinished() {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cuts++
	return since
}

// hear takes note of an event.
func (f *follower) hear(at int64, e client.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Reset {
		f.resets++
	}
	if !isFeed(e.Method) {
		return
	}
	var p struct {
		TokenID string `json:"tokenId"`
		Version int64  `json:"version"`
		Token   struct {
			ID      string `json:"id"`
			Name    string `json:"name"`
			Version int64  `json:"version"`
		} `json:"token"`
	}
	_ = json.Unmarshal(e.Params, &p) // the oracle compares all of it
	n := notice{at, `{"jsonrpc":"2.0","method":"` + e.Method + `","params":` + string(e.Params) + "}", p.TokenID, p.Version, p.Token.Name == theEnd}
	if p.Token.ID != "" {
		n.tokenID, n.version = p.Token.ID, p.Token.Version
	}
	f.got = append(f.got, n)
	f.finished = f.finished || n.end
}

func (f *follower) isFinished() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finished
}
