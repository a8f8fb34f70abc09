package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// TestRollingRestart restarts three nodes behind a balancer, one after the other, under load. No call fails; one whose answer did
// not come before its node went was not made. Events come once each, verifiers go on, and receipts hold.
func TestRollingRestart(t *testing.T) {
	bus := servertest.StartNATS(t)
	args := []string{"--nats", bus.URL(), "--tokens-per-user", "1000000"}
	first := servertest.Start(t, modelstest.MariaDB(t), args...)
	r := &rolling{t: t, p: &program{first, t, first.SignIn("admin", servertest.Password)}}
	nodes := []*servertest.Program{first, first.Beside(first.Database(), args...), first.Beside(first.Database(), args...)}
	r.balancer = balance(t, nodes...)
	until(t, patience, "the balancer to see the nodes", func() bool { return r.balancer.choose() != "" })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var followers []*follower
	for range 3 {
		followers = append(followers, r.follow(ctx))
	}
	verifiers := r.verify(ctx)
	l := work(6, func(int) perform { return r.client(r.p.session).perform })
	for _, n := range nodes {
		l.more(t, 50)
		began := time.Now()
		n.Stop()
		t.Logf("a node stopped in %v", time.Since(began))
		l.more(t, 50)
		n.Start()
		until(t, patience, "the node to be ready", func() bool { return n.Ready() == 200 })
	}
	l.more(t, 50)
	l.stop()
	var end madeToken
	r.p.Call(r.p.session, "/v1/api-tokens/create", &end, "the end")
	l.answered = append(l.answered, change{models.TokenCreated, end.ID, 1})
	until(t, patience, "the followers to hear of the end", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ended == len(followers)
	})
	verifiers.check(t)
	cancel()
	r.work.Wait()
	t.Logf("calls by status, 0 for those not made: %v; the slowest took %v", l.statuses, r.slowest)
	if r.slowest > leaseOfGone {
		t.Error("that is as if a lease had been waited for")
	}
	for status := range l.statuses {
		if status != 200 && status != 0 {
			t.Errorf("%d calls got %d", l.statuses[status], status)
		}
	}
	feed := l.verify(t, r.p, true)
	for _, f := range followers {
		f.mustCheck(t, feed)
	}
}

// leaseOfGone is less than what a call takes where a node went without asking back what it had lent: 1 s, and a lease of 5 s.
const leaseOfGone = 5 * time.Second

// rolling is what goes on while nodes are restarted.
type rolling struct {
	t        *testing.T
	p        *program
	balancer *balancer
	work     sync.WaitGroup

	mu      sync.Mutex
	ended   int           // followers that have heard of the end
	slowest time.Duration // of the calls
}

// ownClient is a client that makes calls as a load does.
type ownClient struct {
	*client.Client
	rolling *rolling
}

func (r *rolling) client(credential string) ownClient {
	c, err := client.Dial(r.t.Context(), client.Options{URL: r.balancer.url(), Token: client.NewSecret(credential)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return ownClient{c, r}
}

// perform makes a call. One whose outcome is unknown has status 0.
func (c ownClient) perform(ctx context.Context, method, params string) (status int, answer []byte, err error) {
	began := time.Now()
	defer func() {
		c.rolling.mu.Lock()
		defer c.rolling.mu.Unlock()
		c.rolling.slowest = max(c.rolling.slowest, time.Since(began))
	}()
	var result json.RawMessage
	err = c.Call(ctx, method, json.RawMessage(params), &result)
	if refused, is := errors.AsType[*client.Error](err); is {
		return int(refused.Code), nil, nil
	}
	if err != nil && !errors.Is(err, client.ErrOutcomeUnknown) {
		return 599, nil, nil // what must not be
	}
	return 200, result, err
}

// follow keeps all events of the administrator that come to a client.
func (r *rolling) follow(ctx context.Context) *follower {
	c := r.client(r.p.session)
	f := &follower{first: c.Position()} // nothing happens yet
	events := c.Events(ctx)
	r.work.Go(func() {
		for e, err := range events {
			switch {
			case err != nil:
				return
			case e.Reset:
				r.t.Error("a follower was told to read anew")
			case e.Method == "/v1/session/ready":
				continue
			}
			raw := fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":%s}`, e.Method, e.Params)
			f.got = append(f.got, raw)
			if isEnd(raw) {
				r.mu.Lock()
				r.ended++
				r.mu.Unlock()
			}
		}
	})
	return f
}

// verifying is verifiers that are asked all the time about a token that is good, and one that is switched off and on.
type verifying struct {
	ends  atomic.Bool
	work  sync.WaitGroup
	turns atomic.Int64 // odd while the second token is off by a receipt

	mu      sync.Mutex
	faults  []string
	longest time.Duration // without an answer
	answers int
}

// unknownBound is how long a verifier may have no answer: it has lost its node, and asked a second one that was about to go.
const unknownBound = 10 * time.Second

// verify has three verifiers, of a user of their own, asked.
func (r *rolling) verify(ctx context.Context) *verifying {
	r.p.Call(r.p.session, "/v1/users/create", nil, "ada", map[string]any{
		"password": servertest.Password, "permissions": map[string]bool{"tokens:manage": true, "tokens:verify": true},
	})
	session := r.p.SignIn("ada", servertest.Password)
	make := func(name string, permissions ...string) (made madeToken) {
		given := map[string]bool{}
		for _, p := range permissions {
			given[p] = true
		}
		r.p.Call(session, "/v1/api-tokens/create", &made, name, map[string]any{"permissions": given})
		return made
	}
	v := &verifying{}
	credential, good, flipped := make("v", "tokens:verify"), make("good"), make("flipped")
	for range 3 {
		one, err := client.NewVerifier(ctx, client.VerifierOptions{URL: r.balancer.url(), Token: client.NewSecret(credential.Token)})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { one.Close() })
		v.work.Go(func() { v.ask(one, good.Token, flipped.Token) })
	}
	owner := r.client(session)
	v.work.Go(func() { v.flip(owner, flipped.ID) })
	return v
}

func (v *verifying) fault(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// ask asks until the end.
func (v *verifying) ask(one *client.Verifier, good, flipped string) {
	for last := time.Now(); !v.ends.Load(); time.Sleep(time.Millisecond) {
		turn := v.turns.Load()
		for token, isBad := range map[string]func(active bool) bool{
			good:    func(active bool) bool { return !active },
			flipped: func(active bool) bool { return active && turn%2 == 1 && v.turns.Load() == turn },
		} {
			ctx, cancel := context.WithTimeout(context.Background(), unknownBound)
			d, err := one.Verify(ctx, token)
			cancel()
			switch {
			case errors.Is(err, client.ErrUnavailable):
			case err != nil:
				v.fault("%v", err)
			case isBad(d.Active):
				v.fault("active is %v, at turn %d", d.Active, turn)
			default:
				v.mu.Lock()
				v.longest, v.answers = max(v.longest, time.Since(last)), v.answers+1
				v.mu.Unlock()
				last = time.Now()
			}
		}
	}
}

// flip switches a token off and on until the end. Where the outcome is not known it does so again.
func (v *verifying) flip(owner ownClient, id string) {
	for !v.ends.Load() {
		for _, on := range []bool{false, true} {
			if on {
				v.turns.Add(1)
			}
			for status, err := 0, error(nil); status != 200; {
				status, _, err = owner.perform(context.Background(), "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,%v]", id, on))
				if err != nil {
					status = 0
				}
				if status != 200 && status != 0 {
					v.fault("set-enabled got %d", status)
					return
				}
			}
			if !on {
				v.turns.Add(1)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// check ends it, and fails the test for what was wrong.
func (v *verifying) check(t *testing.T) {
	t.Helper()
	v.ends.Store(true)
	v.work.Wait()
	t.Logf("verifiers gave %d answers, and none for %v at most; the token was switched off %d times", v.answers, v.longest, v.turns.Load()/2)
	if v.longest > unknownBound || v.turns.Load() < 4 {
		t.Error("that is too long, or too seldom")
	}
	for _, fault := range v.faults[:min(10, len(v.faults))] {
		t.Error(fault)
	}
}
