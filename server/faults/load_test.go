package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// Sizes of the load: so much that two cores have time left for the nodes.
const (
	workers     = 5  // owners at a time
	askers      = 4  // who verify at random
	changesEach = 25 // of an owner, before another one takes the place
	tokensEach  = 2
	followersOf = 2
	endedKept   = 200 // secrets that have ended and are asked about for ever
	askEvery    = 10 * time.Millisecond
	changeEvery = 50 * time.Millisecond
)

// load is clients outside: they change, follow and verify, and keep the record.
type load struct {
	*stage
	clock
	random *rand.Rand
	stop   context.CancelFunc
	last   context.Context // of what goes on to its end after stop, until giveUp
	giveUp context.CancelFunc
	done   sync.WaitGroup

	verifiers []*client.Verifier
	service   string // the credential of who verifies by calls

	mu     sync.Mutex
	living []*owner
	over   []*owner // to be judged
	ended  []*token // of owners that are over, and of nobody
	wrong  []string // that a credential which is none was taken
	numbers
}

// numbers tell that a test was one.
type numbers struct{ names, owners, gone, changes, unknown, notices, looks, waited atomic.Int64 }

func (n *numbers) String() string {
	return fmt.Sprintf("%d owners (%d deleted), %d changes (%d in doubt, %d whose receipt waited at a node that was killed), %d notifications, %d verifications",
		n.owners.Load(), n.gone.Load(), n.changes.Load(), n.unknown.Load(), n.waited.Load(), n.notices.Load(), n.looks.Load())
}

// newLoad begins. It ends with the test, at the latest.
func newLoad(s *stage, random *rand.Rand) *load {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stage: s, clock: clock{time.Now()}, random: random, stop: stop}
	l.last, l.giveUp = context.WithCancel(context.Background())
	s.t.Cleanup(l.abandon)
	l.service = l.serviceToken("service")
	for _, n := range s.nodes {
		v, err := client.NewVerifier(s.t.Context(), client.VerifierOptions{
			URL: n.url(), Token: client.NewSecret(l.serviceToken("verifier")), Lease: lease, HTTPClient: s.http,
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { v.Close() })
		l.verifiers = append(l.verifiers, v)
	}
	for range 20 {
		l.ended = append(l.ended, &token{secret: forged()})
	}
	for n := range workers {
		random := rand.New(rand.NewPCG(random.Uint64(), uint64(n)))
		l.done.Go(func() {
			for ctx.Err() == nil {
				l.live(ctx, random)
			}
		})
	}
	for n := range askers {
		random := rand.New(rand.NewPCG(random.Uint64(), uint64(n)))
		l.done.Go(func() {
			for ; ctx.Err() == nil; pause(ctx, below(random, 2*askEvery)) {
				l.lookAtAny(ctx, random)
			}
		})
	}
	return l
}

// halt ends the load, and returns when all of it is over.
func (l *load) halt() {
	l.stop()
	l.done.Wait()
}

// abandon is halt without waiting for what may never come.
func (l *load) abandon() {
	l.giveUp()
	l.halt()
}

func (l *load) serviceToken(name string) string {
	var made answered
	l.nodes[0].Call(l.admin, "/v1/api-tokens/create", &made, name, map[string]any{"permissions": map[string]bool{"tokens:verify": true}})
	return made.Token
}

// live is the life of an owner, from his making to the end.
func (l *load) live(ctx context.Context, random *rand.Rand) {
	d := &door{random.IntN(len(l.nodes))}
	following, cancel := context.WithCancel(l.last)
	defer cancel()
	o := l.enter(ctx, following, d, random)
	if o == nil {
		return
	}
	l.mu.Lock()
	l.living = append(l.living, o)
	l.mu.Unlock()
	for n := 0; n < changesEach && ctx.Err() == nil && !o.doubtful; n++ {
		l.changeOne(ctx, d, o, random)
		pause(ctx, below(random, 2*changeEvery))
	}
	if o.shut {
		cancel()
	} else {
		l.finish(l.last, d, o)
	}
	limit := time.After(patience)
	for _, f := range o.followers {
		select {
		case <-f.ended:
		case <-limit: // it misses something
			cancel()
			<-f.ended
		}
	}
	if !o.shut && o.ended() && random.IntN(2) == 0 {
		l.remove(d, o)
	}
	l.leave(o)
}

// remove deletes an owner whose followers have heard all, and verifies what he had.
func (l *load) remove(d *door, o *owner) {
	o.gone = l.make(l.last, d, o, &change{kind: ownerGone}, l.admin, string(ownerGone), o.id)
	if !o.gone {
		return
	}
	l.numbers.gone.Add(1)
	for _, t := range o.tokens[max(0, len(o.tokens)-tokensEach-1):] {
		l.lookByAll(l.last, o, t)
	}
}

// finish makes the last token of an owner. One that was not answered may be there: then the name comes again.
func (l *load) finish(ctx context.Context, d *door, o *owner) {
	for deadline := time.Now().Add(tryFor); !o.ended() && ctx.Err() == nil && time.Now().Before(deadline); {
		l.make(ctx, d, o, &change{kind: created, name: theEnd, on: true, version: 1}, o.session, "/v1/api-tokens/create", theEnd)
		pause(ctx, tryPause)
	}
}

// ended reports whether the last token was made and answered.
func (o *owner) ended() bool {
	last := o.changes[len(o.changes)-1]
	return last.name == theEnd && last.answered != never
}

// leave hands an owner over to be judged.
func (l *load) leave(o *owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.living {
		if other == o {
			l.living = append(l.living[:i:i], l.living[i+1:]...)
			break
		}
	}
	l.over = append(l.over, o)
}

// enter makes a user with followers and tokens.
func (l *load) enter(ctx, following context.Context, d *door, random *rand.Rand) *owner {
	name := fmt.Sprintf("owner%d", l.names.Add(1))
	held := grantsOf(allScopes)
	for { // it may be there already, from a call that was not answered
		f, result, _ := l.ask(ctx, d, l.admin, "/v1/users/create", name, map[string]any{"password": servertest.Password, "permissions": held})
		if f == done {
			o := &owner{name: name, id: result.ID}
			session, ok := l.insist(ctx, d, "", "/v1/session/sign-in", name, servertest.Password)
			if !ok {
				return nil
			}
			o.session = session.Session
			if !l.equip(ctx, following, d, o, random) {
				return nil
			}
			return o
		}
		if ctx.Err() != nil {
			return nil
		}
		name = fmt.Sprintf("owner%d", l.names.Add(1))
		pause(ctx, tryPause)
	}
}

func (l *load) equip(ctx, following context.Context, d *door, o *owner, random *rand.Rand) bool {
	for range followersOf {
		f := l.newFollower(following, o.session, random)
		o.followers = append(o.followers, f)
		select {
		case <-f.begun:
		case <-ctx.Done():
			return false
		}
	}
	for range tokensEach {
		l.createToken(ctx, d, o)
	}
	return true
}

func (l *load) createToken(ctx context.Context, d *door, o *owner) {
	name := fmt.Sprintf("t%d", len(o.changes))
	c := &change{kind: created, name: name, on: true, bits: allScopes, version: 1}
	l.make(ctx, d, o, c, o.session, "/v1/api-tokens/create", name, map[string]any{"permissions": grantsOf(allScopes)})
}

// good returns the tokens of an owner that are neither deleted nor replaced. He alone asks.
func (o *owner) good() (good []*token) {
	for _, t := range o.tokens {
		if s := o.standing(t); s.created && !s.deleted {
			good = append(good, t)
		}
	}
	return good
}

// version returns the version of a token.
func (o *owner) version(id string) (version int64) {
	for _, c := range o.changes {
		if c.made != nil && c.made.id == id || c.token != nil && c.token.id == id {
			version = c.version
		}
	}
	return version
}

// changeOne makes a change that makes a difference, and then verifies by all doors: that is when something would be late.
func (l *load) changeOne(ctx context.Context, d *door, o *owner, random *rand.Rand) {
	good := o.good()
	if len(good) == 0 {
		l.createToken(ctx, d, o)
		return
	}
	if random.IntN(3) == 0 {
		d.node = random.IntN(len(l.nodes))
	}
	t := good[random.IntN(len(good))]
	s := o.standing(t)
	c := &change{token: t, on: !s.off, bits: s.permissions, version: o.version(t.id) + 1}
	switch n := random.IntN(20); {
	case n < 10:
		c.kind, c.on = enabled, s.off
		l.make(ctx, d, o, c, o.session, "/v1/api-tokens/set-enabled", t.id, c.on)
	case n < 14:
		c.kind, c.bits = granted, (s.permissions+1+uint8(random.IntN(allScopes)))&allScopes
		l.make(ctx, d, o, c, o.session, "/v1/api-tokens/set-permissions", t.id, grantsOf(c.bits))
	case n < 15:
		c.kind = rotated
		l.make(ctx, d, o, c, o.session, "/v1/api-tokens/rotate", t.id)
	case n < 16:
		c.kind = deleted
		l.make(ctx, d, o, c, o.session, "/v1/api-tokens/delete", t.id)
	case n < 18:
		l.changeOwner(ctx, d, o, t, &change{kind: ownerOn}, &change{kind: ownerOn, on: true})
	default:
		l.changeOwner(ctx, d, o, t, &change{kind: ownerGiven, bits: 1}, &change{kind: ownerGiven, bits: allScopes})
	}
	l.lookByAll(ctx, o, t)
	if len(o.good()) < tokensEach {
		l.createToken(ctx, d, o)
	}
}

// changeOwner takes something from a user, and gives it back: but not where the former may yet come late, and undo the latter.
func (l *load) changeOwner(ctx context.Context, d *door, o *owner, t *token, steps ...*change) {
	for _, c := range steps {
		if c.kind == ownerOn {
			l.make(l.last, d, o, c, l.admin, string(ownerOn), o.id, c.on)
		} else {
			l.make(l.last, d, o, c, l.admin, string(ownerGiven), o.id, grantsOf(c.bits))
		}
		l.lookByAll(ctx, o, t)
		if o.doubtful {
			break
		}
	}
	o.shut = o.doubtful && steps[0].kind == ownerOn
}
