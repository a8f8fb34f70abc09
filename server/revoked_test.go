package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/client"
	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server"
)

// revoking is a test that changes tokens while others verify them, and keeps the history of it.
type revoking struct {
	*instance
	*history
	owners    []person
	service   string // the credential of who verifies
	verifiers []*rawVerifier
	clients   []*client.Verifier
	wires     wires // of the clients
	stoppable []*stoppable
	doors     []door
	holders   int // how many of the doors, the first ones, are of verifiers that hold what they are told
	http      *http.Client

	mu    sync.Mutex
	slots []slot
}

// slot is where a token is that makes way for another one now and then.
type slot struct {
	owner      int
	id, secret string
}

// scopes are the permissions of the test, by bit.
var scopes = []string{"repo:read", "repo:write"}

func scopesOf(permissions []string) (bits uint8) {
	for n, id := range scopes {
		if slices.Contains(permissions, id) {
			bits |= 1 << n
		}
	}
	return bits
}

func grantsOf(bits uint8) string {
	var all []string
	for n, id := range scopes {
		all = append(all, fmt.Sprintf("%q:%v", id, bits&(1<<n) != 0))
	}
	return "{" + strings.Join(all, ",") + "}"
}

const allScopes = 1<<2 - 1

func newRevoking(i *instance) *revoking {
	r := &revoking{instance: i, history: newHistory(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	grants := models.Grants{models.PermissionVerify: true}
	for _, id := range scopes {
		if status, answer := i.post("/api/v1/permissions/create", i.session, fmt.Sprintf("[%q]", id)); status != 200 {
			i.t.Fatal(answer)
		}
		grants[id] = true
	}
	for n := range 4 {
		r.owners = append(r.owners, i.person(fmt.Sprint("owner", n), grants))
	}
	_, secret, err := i.store.CreateToken(context.Background(), i.person("service", grants).by(), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
	if err != nil {
		i.t.Fatal(err)
	}
	r.service = secret.Reveal()
	for n := range 2 * len(r.owners) {
		r.slots = append(r.slots, slot{owner: n % len(r.owners)})
		r.renew(n)
	}
	for n := range 3 {
		v := newRawVerifier(i.url, r.service, time.Second)
		v.slow = time.Duration(n) * 10 * time.Millisecond
		r.verifiers, r.doors = append(r.verifiers, v), append(r.doors, byVerifier(v))
	}
	for range 2 {
		v := r.goVerifier(context.Background())
		r.clients, r.doors = append(r.clients, v), append(r.doors, byClient(v))
	}
	r.startStoppable()
	r.holders = len(r.doors)
	r.doors = append(r.doors, r.byCall, r.byIntrospection, r.byProxy)
	return r
}

// call calls a method through a door without a connection.
func (r *revoking) call(ctx context.Context, credential, method, params string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, "POST", r.url+"/api"+method, strings.NewReader(params))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	response, err := r.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// fateOf tells how a call ended: 404 is for the caller to judge.
func fateOf(status int, err error) fate {
	switch {
	case err == nil && status == 200:
		return fateDone
	case err == nil && (status == 401 || status == 403):
		return fateRefused
	}
	return fateUnknown
}

// renew puts a new token into a slot.
func (r *revoking) renew(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	owner := r.owners[r.slots[n].owner]
	status, answer, err := r.call(context.Background(), owner.session, "/v1/api-tokens/create", fmt.Sprintf(`["x",{"permissions":%s}]`, grantsOf(allScopes)))
	if err != nil || status == 401 || status == 403 { // he is switched off, or lacks one just now
		return
	}
	var made struct{ ID, Token string }
	if err := json.Unmarshal(answer, &made, json.MatchCaseInsensitiveNames(true)); err != nil || status != 200 {
		r.t.Errorf("%d %s %v", status, answer, err)
		return
	}
	r.introduce(made.Token, owner.name, allScopes)
	r.change(made.Token, "create", func(s standing) (standing, bool) {
		s.created, s.permissions = true, allScopes
		return s, true
	})(fateDone)
	r.slots[n].id, r.slots[n].secret = made.ID, made.Token
}

func (r *revoking) slot(n int) slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slots[n]
}

// verify verifies a token through a door.
func (r *revoking) verify(ctx context.Context, token string, door int) {
	soon, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	began := r.now()
	said, err := r.doors[door](soon, token)
	if err != nil && (soon.Err() != nil || errors.Is(err, context.DeadlineExceeded)) { // who asks may find that out before soon does
		err = errAway // it takes its time
	}
	if err == nil {
		r.verified(token, began, said)
	} else if ctx.Err() == nil && !errors.Is(err, errAway) {
		r.t.Errorf("a verification failed: %v", err)
	}
}

// answerSoon is how long a verifier that may have lost its connection is waited for.
const answerSoon = 300 * time.Millisecond

// firstDoor returns the first of the doors by which a token is verified. No verifier holds those of the last owner: what the
// server has read of them comes and goes.
func (r *revoking) firstDoor(s slot) int {
	if s.owner == len(r.owners)-1 {
		return r.holders
	}
	return 0
}

// verifyByAll verifies a token by every door, each of which has to know what was answered before.
func (r *revoking) verifyByAll(ctx context.Context, s slot) {
	for door := r.firstDoor(s); door < len(r.doors); door++ {
		r.verify(ctx, s.secret, door)
	}
}

// verifyMeanwhile verifies a token at moments at which it may be changed. It does not wait.
func (r *revoking) verifyMeanwhile(ctx context.Context, s slot) *sync.WaitGroup {
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			time.Sleep(rand.N(10 * time.Millisecond))
			r.verify(ctx, s.secret, len(r.verifiers))
		})
	}
	return &all
}

// verifyAny verifies any token by any door.
func (r *revoking) verifyAny(ctx context.Context, random *rand.Rand) {
	slot := r.slot(random.IntN(len(r.slots)))
	first := r.firstDoor(slot)
	r.verify(ctx, slot.secret, first+random.IntN(len(r.doors)-first))
}

// changing is a change of a token that a test may make.
type changing struct {
	method, params string
	edit           edit
}

func (r *revoking) changing(id string, random *rand.Rand) changing {
	bits := uint8(random.IntN(allScopes + 1))
	on := random.IntN(2) == 0
	switch kind := random.IntN(20); {
	case kind < 9:
		return changing{"/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,%v]", id, on), func(s standing) (standing, bool) { s.off = !on; return s, true }}
	case kind < 15:
		return changing{"/v1/api-tokens/set-permissions", fmt.Sprintf("[%q,%s]", id, grantsOf(bits)), func(s standing) (standing, bool) { s.permissions = bits; return s, true }}
	case kind < 17:
		return changing{"/v1/api-tokens/update-permissions", fmt.Sprintf("[%q,{%q:false}]", id, scopes[0]), func(s standing) (standing, bool) { s.permissions &^= 1; return s, true }}
	case kind < 18: // which is the end of the secret that is verified
		return changing{"/v1/api-tokens/rotate", fmt.Sprintf("[%q]", id), func(s standing) (standing, bool) { s.deleted = true; return s, true }}
	default:
		return changing{"/v1/api-tokens/delete", fmt.Sprintf("[%q]", id), func(s standing) (standing, bool) { s.deleted = true; return s, true }}
	}
}

// changeToken makes a change of a token. Some calls are cut off; then the same call is made again, which promises the same.
func (r *revoking) changeToken(ctx context.Context, random *rand.Rand) {
	n := random.IntN(len(r.slots))
	slot := r.slot(n)
	c := r.changing(slot.id, random)
	ended := r.change(slot.secret, c.method+c.params, c.edit)
	notFound := r.change(slot.secret, "404 "+c.method+c.params, func(s standing) (standing, bool) { return s, s.deleted })
	within := ctx
	if random.IntN(10) == 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(20000))*time.Microsecond)
		defer cancel()
	}
	defer r.verifyMeanwhile(ctx, slot).Wait()
	status, _, err := r.call(within, r.owners[slot.owner].session, c.method, c.params)
	if err != nil && ctx.Err() == nil {
		ended(fateUnknown)
		ended = r.change(slot.secret, "again "+c.method+c.params, c.edit)
		status, _, err = r.call(ctx, r.owners[slot.owner].session, c.method, c.params)
	}
	gone := err == nil && status == 404
	if gone { // which promises what the answer to the deletion does
		notFound(fateDone)
	} else {
		ended(fateOf(status, err))
	}
	r.verifyByAll(ctx, slot)
	_, _, operations, unknowns := r.size(slot.secret)
	if gone || strings.HasSuffix(c.method, "rotate") || strings.HasSuffix(c.method, "delete") || operations > 300 || unknowns > 3 {
		r.renew(n)
	}
}

// changeUser changes what all tokens of a user depend on.
func (r *revoking) changeUser(ctx context.Context, random *rand.Rand) {
	owner := r.owners[random.IntN(len(r.owners))]
	id := owner.actor.UserID
	set := func(on bool) changing {
		return changing{"/v1/users/set-enabled", fmt.Sprintf("[%q,%v]", id, on), func(s standing) (standing, bool) { s.ownerOff = !on; return s, true }}
	}
	hold := func(bits uint8) changing {
		return changing{"/v1/users/update-permissions", fmt.Sprintf("[%q,%s]", id, grantsOf(bits)), func(s standing) (standing, bool) { s.held = bits; return s, true }}
	}
	steps := []changing{set(false), set(true)}
	if random.IntN(2) == 0 {
		steps = []changing{hold(1), hold(allScopes)}
	}
	for _, c := range steps { // at the end he can go on
		ended := r.changeOwner(owner.name, c.method+c.params, c.edit)
		status, answer, err := r.call(ctx, r.session, c.method, c.params)
		if err == nil && status != 200 {
			r.t.Errorf("%s: %d %s", c.method, status, answer)
		}
		ended(fateOf(status, err))
		for n := range r.slots {
			if slot := r.slot(n); r.owners[slot.owner].name == owner.name {
				r.verifyByAll(ctx, slot)
			}
		}
	}
}

// run verifies and changes until there are so many operations, with so many changes and answers from what verifiers held that
// it is a test of them.
func (r *revoking) run(ctx context.Context, operations int) {
	r.t.Helper()
	seed := rand.Uint64()
	r.t.Logf("seed %d", seed)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for _, v := range r.verifiers {
		all.Go(func() {
			if err := v.run(ctx); err != nil {
				r.t.Error(err)
			}
		})
	}
	workers := 0
	repeat := func(pause time.Duration, f func(random *rand.Rand)) {
		workers++
		random := rand.New(rand.NewPCG(seed, uint64(workers)))
		all.Go(func() {
			for ctx.Err() == nil {
				f(random)
				time.Sleep(rand.N(pause))
			}
		})
	}
	for range 8 {
		repeat(2*time.Millisecond, func(random *rand.Rand) { r.verifyAny(ctx, random) })
	}
	for range 3 {
		repeat(2*time.Millisecond, func(random *rand.Rand) { r.changeToken(ctx, random) })
	}
	repeat(300*time.Millisecond, func(random *rand.Rand) { r.changeUser(ctx, random) })
	repeat(time.Second, func(random *rand.Rand) {
		v := r.verifiers[random.IntN(len(r.verifiers))]
		switch random.IntN(4) {
		case 0:
			v.cut()
		case 1:
			v.lose()
		case 2:
			v.release(ctx)
		case 3:
			r.wires.cut()
		}
	})
	for _, c := range r.stoppable {
		repeat(time.Second, func(random *rand.Rand) { r.stand(ctx, c, random) })
	}
	for total, changes := 0, 0; total < operations || changes < operations/50 || r.fromOwn() < operations/10; total, changes, _, _ = r.size("") {
		select {
		case <-ctx.Done():
			r.t.Errorf("after %d operations, %d of them changes, %d answered from what verifiers held: %v", total, changes, r.fromOwn(), ctx.Err())
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	all.Wait()
	stops := 0
	for _, c := range r.stoppable {
		stops += c.stops
	}
	total, changes, _, _ := r.size("")
	r.t.Logf("%d operations, %d of them changes of %d tokens, %d answered from what verifiers held, %d stops", total, changes, len(r.tokens), r.fromOwn(), stops)
}

// TestRevokedMeansRevoked: when a call that takes something away is answered, no verification that begins later goes by
// what was before: whatever is done at the same time, whoever is cut off, and whichever process stands still.
func TestRevokedMeansRevoked(t *testing.T) {
	if url := os.Getenv(stoppableURL); url != "" {
		answerLines(t, url)
		return
	}
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
		defer cancel()
		if models.DatabaseFile(url) == "" { // so that more happens between two answers
			_, url = newMySQLProxy(t, url, 3*time.Millisecond)
		}
		const room = 4 // for less than all tokens, so that what is known of them is read again and again
		r := newRevoking(startKeeping(t, url, models.Options{}, server.Config{}, room))
		r.run(ctx, times(5000))
		r.check(t)
	})
}
