package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// stoppableURL names to a child where the server is.
const stoppableURL = "TOKENWIRE_TEST_STOPPABLE_URL"

// stoppableLease is the lease of such a verifier.
const stoppableLease = time.Second

// stoppable is a verifier of the Go package in a process of its own, which a test stops and continues. One at a time asks it.
type stoppable struct {
	process   *programs.Process
	questions io.Writer // a line each
	log       programs.Output
	hits      atomic.Int64 // answers from what it held, as it counts them

	mu      sync.Mutex // held from a question to its answer
	answers *bufio.Scanner
	stops   int
}

// startStoppable starts two such verifiers, where that is possible. The test ends them.
func (r *revoking) startStoppable() {
	r.t.Helper()
	if programs.Unsupported != nil {
		r.t.Logf("no process is stopped: %v", programs.Unsupported)
		return
	}
	for range 2 {
		c := r.newStoppable()
		r.stoppable, r.doors = append(r.stoppable, c), append(r.doors, c.verify)
	}
}

func (r *revoking) newStoppable() *stoppable {
	r.t.Helper()
	c := &stoppable{}
	child := exec.Command(os.Args[0], "-test.run=^TestRevokedMeansRevoked$")
	child.Env = append(os.Environ(), stoppableURL+"="+r.url)
	child.Stderr = &c.log
	questions, err := child.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	answers, err := child.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	c.questions, c.answers = questions, bufio.NewScanner(answers)
	if c.process, err = programs.Start(child); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := c.process.Kill(patience); err != nil {
			r.t.Error(err)
		}
	})
	if _, err := fmt.Fprintln(questions, r.service); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// answerLines is the child: it verifies each line that it is given, with the credential that is the first.
func answerLines(t *testing.T, url string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	v, err := client.NewVerifier(t.Context(), client.VerifierOptions{URL: url + "/api", Token: client.NewSecret(lines.Text()), Lease: stoppableLease})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for lines.Scan() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		d, err := v.Verify(ctx, lines.Text())
		cancel()
		switch {
		case err == nil:
			fmt.Println(d.Active, scopesOf(d.Permissions()), v.Stats().Hits)
		case errors.Is(err, client.ErrUnavailable):
			fmt.Println(errAway)
		default:
			fmt.Println(err)
		}
	}
}

// verify is a door, but not while a test has other things to ask of the process.
func (c *stoppable) verify(_ context.Context, token string) (sight, error) {
	if !c.mu.TryLock() {
		return sight{}, errAway
	}
	defer c.mu.Unlock()
	if err := c.ask(token); err != nil {
		return sight{}, err
	}
	return c.answer()
}

// ask asks, with mu held. The answers are to be read in the same order.
func (c *stoppable) ask(token string) error {
	_, err := fmt.Fprintln(c.questions, token)
	return err
}

// answer reads an answer, with mu held.
func (c *stoppable) answer() (said sight, err error) {
	if !c.answers.Scan() {
		return sight{}, fmt.Errorf("the process answers no more: %v %s", c.answers.Err(), c.log.String())
	}
	line := c.answers.Text()
	if line == errAway.Error() {
		return sight{}, errAway
	}
	var hits int64
	if _, err := fmt.Sscan(line, &said.active, &said.permissions, &hits); err != nil {
		return sight{}, errors.New(line)
	}
	c.hits.Store(hits)
	return said, nil
}

// stand stops a process for longer than its lease, and asks it meanwhile about tokens that it held before: towards the end,
// when changes no longer wait for it. Now and then it is stopped in the middle of its answers.
func (r *revoking) stand(ctx context.Context, c *stoppable, random *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var tokens []string
	for n := range r.slots {
		if slot := r.slot(n); r.firstDoor(slot) == 0 {
			tokens = append(tokens, slot.secret)
		}
	}
	before, answered := r.put(c, tokens), random.IntN(4) > 0
	if answered {
		tokens = before()
	}
	if err := c.process.Freeze(patience); err != nil {
		r.t.Errorf("%v %s", err, c.log.String())
	}
	within(ctx, stoppableLease+time.Duration(random.Int64N(int64(stoppableLease))))
	meanwhile := r.put(c, tokens)
	within(ctx, time.Duration(random.Int64N(int64(stoppableLease/4))))
	if err := c.process.Thaw(); err != nil {
		r.t.Error(err)
	}
	if !answered {
		before()
	}
	meanwhile()
	c.stops++
}

// put asks a process about tokens. What is returned awaits the answers, records them, and tells which tokens are good.
func (r *revoking) put(c *stoppable, tokens []string) (await func() (active []string)) {
	began := r.now()
	for _, token := range tokens {
		if err := c.ask(token); err != nil {
			r.t.Error(err)
		}
	}
	return func() (active []string) {
		for _, token := range tokens {
			said, err := c.answer()
			if err == nil {
				r.verified(token, began, said)
			} else if !errors.Is(err, errAway) {
				r.t.Error(err)
			}
			if said.active {
				active = append(active, token)
			}
		}
		return active
	}
}

// within waits, and no longer than ctx.
func within(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
