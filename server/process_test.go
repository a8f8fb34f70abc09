//go:build linux

package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// program is Tokenwire as its users run it, and its administrator's session.
type program struct {
	*servertest.Program
	t       *testing.T
	session string
}

// run starts the program on a database and signs in.
func run(t *testing.T, database string) *program {
	t.Helper()
	p := servertest.Start(t, database, "--tokens-per-user", "1000000")
	return &program{p, t, p.SignIn("admin", servertest.Password)}
}

// post calls a method as the administrator.
func (p *program) post(ctx context.Context, method, params string) (status int, answer []byte, err error) {
	return p.Post(ctx, p.session, method, params)
}

// change is one that was answered with success.
type change struct {
	method, token string
	version       int64
}

// load is workers who change tokens without end, and remember what they were answered.
type load struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	answered []change
	asked    map[string]bool // names of tokens that creation was asked for
	statuses map[int]int     // of the answers; 0 for a lost connection
}

// perform makes one call and returns its HTTP status, or -1 where there will be no more answers.
type perform func(ctx context.Context, method, params string) (status int, answer []byte, err error)

// work starts workers, each with a door of its own.
func work(workers int, door func(n int) perform) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, asked: map[string]bool{}, statuses: map[int]int{}}
	for n := range workers {
		l.workers.Go(func() { l.worker(ctx, n, door(n)) })
	}
	return l
}

func (l *load) worker(ctx context.Context, n int, do perform) {
	for round := 0; ctx.Err() == nil; round++ {
		name := fmt.Sprintf("w%d-%d", n, round)
		l.mu.Lock()
		l.asked[name] = true
		l.mu.Unlock()
		token, goOn := l.one(do, models.TokenCreated, "/v1/api-tokens/create", fmt.Sprintf("[%q]", name))
		if token != "" && goOn {
			token, goOn = l.one(do, models.TokenEnabledChanged, "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,false]", token))
		}
		if token != "" && goOn { // its third version, by which verifyTokens knows it: a second that got no answer may not have been made
			_, goOn = l.one(do, models.TokenPermissionsChanged, "/v1/api-tokens/set-permissions", fmt.Sprintf(`[%q,{"tokens:verify":true}]`, token))
		}
		if !goOn {
			return
		}
		if token == "" { // the server or its database is down; one need not hammer it
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// one makes a call to its end, also when the load is being stopped: what is cut off by the client proves nothing.
func (l *load) one(do perform, event, method, params string) (token string, goOn bool) {
	status, answer, err := do(context.Background(), method, params)
	var result struct {
		ID      string `json:"id"`
		Version int64  `json:"version"`
	}
	if err == nil && status == 200 {
		err = json.Unmarshal(answer, &result)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && status != -1 {
		status = 0
	}
	l.statuses[status]++
	if err == nil && status == 200 {
		l.answered = append(l.answered, change{event, result.ID, result.Version})
	}
	return result.ID, status != -1
}

// changes returns how many changes were answered.
func (l *load) changes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answered)
}

func (l *load) status(status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statuses[status]
}

// more waits until n more changes were answered.
func (l *load) more(t testing.TB, n int) {
	t.Helper()
	from := l.changes()
	until(t, 30*time.Second, "more answers", func() bool { return l.changes() >= from+n })
}

func (l *load) stop() {
	l.cancel()
	l.workers.Wait()
}

// verify holds the database against what was answered, and returns the feed. exact says that nothing may be in it that
// was not answered.
func (l *load) verify(t *testing.T, p *program, exact bool) []models.Event {
	t.Helper()
	ctx := context.Background()
	store, err := models.Open(ctx, p.Database(), models.Options{Key: models.KeySource{File: p.KeyFile()}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	id, err := store.Authenticate(ctx, models.NewSecret(p.session), "")
	if err != nil {
		t.Fatal(err)
	}
	feed := feedOf(t, store, id.UserID)
	told, last := changesIn(t, feed)
	for _, c := range l.answered {
		if told[c] != 1 {
			t.Errorf("%v was answered and is in the feed %d times", c, told[c])
		}
	}
	if exact && len(told) != len(l.answered) {
		t.Errorf("%d changes were made and %d answered", len(told), len(l.answered))
	}
	l.verifyTokens(ctx, t, store, id, last)
	return feed
}

// changesIn counts the changes of a feed and returns the last one of each token, whose versions must have no gap.
func changesIn(t *testing.T, feed []models.Event) (told map[change]int, last map[string]change) {
	t.Helper()
	told, last = map[change]int{}, map[string]change{}
	for _, e := range feed {
		if e.Internal() {
			continue
		}
		var v struct {
			Version int64 `json:"version"`
			Token   struct {
				Version int64 `json:"version"`
			} `json:"token"`
		}
		if err := e.Decode(&v); err != nil {
			t.Fatal(err)
		}
		c := change{e.Method, e.TokenID, max(v.Version, v.Token.Version)}
		if told[c]++; c.version != last[e.TokenID].version+1 {
			t.Errorf("position %d: %v after %v", e.Position, c, last[e.TokenID])
		}
		last[e.TokenID] = c
	}
	return told, last
}

// verifyTokens holds the tokens against the last change of each.
func (l *load) verifyTokens(ctx context.Context, t *testing.T, store *models.Store, id *models.Identity, last map[string]change) {
	t.Helper()
	limit, after, rows := 100, "", 0
	for {
		page, err := store.ReadTokens(ctx, id, models.TokensOptions{ListOptions: models.ListOptions{Limit: &limit, After: after}})
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range page.Tokens {
			rows++
			c := last[token.ID]
			want := fmt.Sprint(c.version, c.version < 2, c.version > 2)
			if got := fmt.Sprint(token.Version, token.Enabled, token.Permissions[models.PermissionVerify]); got != want || token.Name != "the end" && !l.asked[token.Name] {
				t.Errorf("token %s %q is %s and by the feed %s", token.ID, token.Name, got, want)
			}
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if rows != len(last) {
		t.Errorf("%d tokens, and %d by the feed", rows, len(last))
	}
}
