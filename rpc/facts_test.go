package rpc

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

func (t token) digest() models.Digest { return models.DigestOf(t.secret.Reveal()) }

// read reads a token's facts as a verification does that finds nothing in memory.
func (l *lab) read(t token) *fact {
	l.t.Helper()
	facts, err := l.store.Facts(context.Background(), t.digest())
	if err != nil || facts == nil {
		l.t.Fatal(facts, err)
	}
	return newFact(facts, t.digest())
}

// ask verifies a token.
func (l *lab) ask(t token) *fact {
	l.t.Helper()
	fact, err := l.s.hub.ask(context.Background(), t.digest())
	if err != nil {
		l.t.Fatal(err)
	}
	return fact
}

// taking is a change that takes something away of a token.
type taking struct {
	name   string
	change func(ctx context.Context, l *lab, owner actingAdmin, t token) error
}

// takings are all kinds of them. The token has the permission repo:read, and is good where it is not said otherwise.
var takings = []taking{
	{"set-enabled", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		_, err := l.store.SetTokenEnabled(ctx, owner.by(), t.id, false, models.ChangeOptions{})
		return err
	}},
	{"delete", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		return l.store.DeleteToken(ctx, owner.by(), t.id)
	}},
	{"rotate", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		_, _, err := l.store.RotateToken(ctx, owner.by(), t.id, models.RotateOptions{})
		return err
	}},
	{"set-permissions", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		_, err := l.store.SetTokenPermissions(ctx, owner.by(), t.id, models.Grants{}, models.ChangeOptions{})
		return err
	}},
	{"update-permissions", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		_, err := l.store.UpdateTokenPermissions(ctx, owner.by(), t.id, models.Grants{"repo:read": false}, models.ChangeOptions{})
		return err
	}},
	{"update", func(ctx context.Context, l *lab, owner actingAdmin, t token) error {
		var only models.Addresses
		if err := only.UnmarshalJSON([]byte(`["192.0.2.1"]`)); err != nil {
			return err
		}
		_, err := l.store.UpdateToken(ctx, owner.by(), t.id, models.TokenChanges{AllowedIPs: models.Optional[models.Addresses]{Given: true, Value: &only}})
		return err
	}},
	{"user switched off", func(ctx context.Context, l *lab, owner actingAdmin, _ token) error {
		_, err := l.store.SetUserEnabled(ctx, l.by(), owner.UserID, false)
		return err
	}},
	{"user deleted", func(ctx context.Context, l *lab, owner actingAdmin, _ token) error {
		return l.store.DeleteUser(ctx, l.by(), owner.UserID)
	}},
	{"user's permissions set", func(ctx context.Context, l *lab, owner actingAdmin, _ token) error {
		_, err := l.store.SetUserPermissions(ctx, l.by(), owner.UserID, models.Grants{})
		return err
	}},
	{"user's permissions updated", func(ctx context.Context, l *lab, owner actingAdmin, _ token) error {
		_, err := l.store.UpdateUserPermissions(ctx, l.by(), owner.UserID, models.Grants{"repo:read": false})
		return err
	}},
	{"permission deleted", func(ctx context.Context, l *lab, _ actingAdmin, _ token) error {
		return l.store.DeletePermission(ctx, l.by(), "repo:read")
	}},
}

// untouched reports whether a verification says what it said before a taking.
func untouched(fact *fact) bool {
	return fact != nil && slices.Contains(fact.Permissions, "repo:read") && fact.AllowedIPs == nil
}

// TestFactsOfBeforeAreNotKept: what was read before a commit is not kept after it, whether this node knew of the user when
// it was told of the commit, or only afterwards.
func TestFactsOfBeforeAreNotKept(t *testing.T) {
	for _, change := range takings {
		t.Run(change.name, func(t *testing.T) {
			eachLab(t, func(t *testing.T, l *lab) {
				l.catalogue("repo:read")
				for _, known := range []bool{true, false} {
					owner := l.owner(fmt.Sprint("ada-", known), "repo:read")
					token := owner.token("repo:read")
					fact := l.read(token)
					if known {
						f := l.s.hub.retain(owner.UserID, fact.Position)
						defer l.s.hub.release(f)
						if !l.s.hub.follow(f) {
							t.Fatal("the feed cannot be read")
						}
					}
					if err := change.change(t.Context(), l, owner, token); err != nil {
						t.Fatal(err)
					}
					if l.s.hub.keep(fact) != nil || l.s.hub.known(token.digest()) != nil {
						t.Errorf("what was read before the change is kept after it; the feed was known: %v", known)
					}
					if untouched(l.ask(token)) {
						t.Error("the change is not seen")
					}
					l.catalogue("repo:read")
				}
			})
		})
	}
}

// catalogue sees to it that there is a permission, and that the administrator holds it.
func (l *lab) catalogue(id string) {
	l.t.Helper()
	_, err := l.store.CreatePermission(context.Background(), l.by(), id, models.CreatePermissionOptions{})
	if err != nil && !strings.Contains(err.Error(), "exists already") {
		l.t.Fatal(err)
	}
}

// owner makes a user who holds permissions.
func (l *lab) owner(name string, permissions ...string) actingAdmin {
	l.t.Helper()
	owner := l.user(name)
	grants := models.Grants{}
	for _, id := range permissions {
		grants[id] = true
	}
	if _, err := l.store.UpdateUserPermissions(context.Background(), l.by(), owner.UserID, grants); err != nil {
		l.t.Fatal(err)
	}
	return owner
}

// token makes a token of the user that has permissions.
func (a actingAdmin) token(permissions ...string) token {
	a.t.Helper()
	grants := models.Grants{}
	for _, id := range permissions {
		grants[id] = true
	}
	made, secret, err := a.store.CreateToken(context.Background(), a.by(), "x", models.CreateTokenOptions{Permissions: grants})
	if err != nil {
		a.t.Fatal(err)
	}
	return token{made.ID, secret}
}

// TestFactsOfAFeedThatCatchesUp: a feed is new here and is still being read from where the first one who needs it knows it,
// when a second one comes with what it read before the change that is in there.
func TestFactsOfAFeedThatCatchesUp(t *testing.T) {
	eachLab(t, func(t *testing.T, l *lab) {
		h := l.s.hub
		first, second := l.good(), l.good()
		a, b := l.read(first), l.read(second)
		l.switches(second.secret, false) // told to nobody
		f := h.retain(a.UserID, a.Position)
		defer h.release(f)
		f.reading.Lock() // the database takes its time
		kept := make(chan bool, 2)
		go func() { kept <- h.keep(a) != nil }()
		eventually(t, "the first one does not read the feed", func() bool { return waiting("(*hub).catchUp") == 1 })
		go func() { kept <- h.keep(b) != nil }()
		eventually(t, "the second one does not wait for the first", func() bool { return waiting("(*hub).catchUp") == 2 || len(kept) > 0 })
		f.reading.Unlock()
		for range 2 { // the first is as old as the second
			if <-kept {
				t.Error("what was read before the change is kept after it")
			}
		}
		if h.known(second.digest()) != nil || l.ask(second) != nil {
			t.Error("a token that was switched off is good")
		}
	})
}

// waiting returns how many goroutines wait for a lock in a function.
func waiting(function string) (n int) {
	b := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, "sync.(*Mutex).Lock") && strings.Contains(stack, function) {
			n++
		}
	}
	return n
}

// TestFactsAreBounded: a node keeps so many and no more, whatever it is asked about and by how many at once, and when they
// have gone nothing else is left.
func TestFactsAreBounded(t *testing.T) {
	const room, tokens, users, times = 10, 200, 5, 5
	l := newLab(t, sqliteURL(t), room)
	h := l.s.hub
	var owners []actingAdmin
	var all []token
	for n := range users {
		owners = append(owners, l.user(fmt.Sprint("ada", n)))
	}
	for n := range tokens {
		all = append(all, owners[n%users].token())
	}
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for n := range tokens * times / 8 {
				token := all[(8*n+w)%tokens]
				if n%5 == 0 { // some are asked about by everybody
					token = all[8*n%tokens]
				}
				if fact, err := h.ask(context.Background(), token.digest()); err != nil || fact == nil || fact.TokenID != token.id {
					t.Errorf("got %v, %v", fact, err)
				}
			}
		})
	}
	for range 100 {
		if n := h.facts.len(); n > room+8 { // one more for each who has just asked
			t.Fatal(n, "are kept")
		}
		time.Sleep(time.Millisecond)
	}
	workers.Wait()
	watches, facts := l.watched()
	if n := h.facts.len(); n != room || watches != room || facts != room {
		t.Errorf("%d are kept, %d watched by %d watches", n, facts, watches)
	}
	for _, owner := range owners {
		if _, err := l.store.SetUserEnabled(t.Context(), l.by(), owner.UserID, false); err != nil {
			t.Fatal(err)
		}
	}
	l.nothingLeft()
}

func sqliteURL(t *testing.T) string { return "sqlite:" + t.TempDir() + "/db" }

// watched returns how many watches there are, and of how many facts.
func (l *lab) watched() (watches, facts int) {
	for _, f := range l.s.hub.feedsOf(allUsers) {
		f.mu.Lock()
		for _, w := range f.watches {
			watches++
			facts += len(w.facts)
		}
		f.mu.Unlock()
	}
	return watches, facts
}

// nothingLeft fails the test if the hub keeps anything.
func (l *lab) nothingLeft() {
	l.t.Helper()
	h := l.s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, f := range h.feeds {
		f.mu.Lock()
		l.t.Errorf("the feed of %s is left: %d need it, %d connections, %d watches, %d revocations", id, f.refs, len(f.conns), len(f.watches), len(f.revocations))
		f.mu.Unlock()
	}
	if n := h.facts.len(); n > 0 {
		l.t.Error(n, "facts are left")
	}
	if len(h.abandoned)+len(h.expectations) > 0 {
		l.t.Errorf("%d leases and %d expectations are left", len(h.abandoned), len(h.expectations))
	}
}

// TestEvictedFacts: what a node has no room to keep may still be held by a verifier, who is told; and counts against the
// token's rate limit.
func TestEvictedFacts(t *testing.T) {
	inLabOf(t, 1, func(t *testing.T, l *lab) {
		held, other := l.good(), l.good()
		limited := l.token(models.CreateTokenOptions{RateLimit: &models.RateLimit{Requests: 3, Window: 60}})
		v := l.verifier(60, held)
		for n := range 3 {
			v.call("/v1/verifier/verify", fmt.Sprintf("[%q]", limited.secret.Reveal()))
			v.want(fmt.Sprint(v.calls, " active"))
			if l.ask(other); l.s.hub.known(limited.digest()) != nil || l.s.hub.known(held.digest()) != nil {
				t.Fatal("there is room for more than one")
			}
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
		v.call("/v1/verifier/verify", fmt.Sprintf("[%q]", limited.secret.Reveal()))
		v.want(fmt.Sprint(v.calls, " error 429"))
		call := l.post(setEnabled, "[%q,false]", held.id)
		call.want("waits")
		v.want("changed 1")
		v.confirm(1)
		call.want("1=1+0")
	})
}

// TestFactsThatEnd: a token whose time is over is not good any more, also by what is kept of it; nor is a secret that was
// replaced, and both of a token's secrets are dropped when it changes.
func TestFactsThatEnd(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		end := models.TimeOf(time.Now().Add(10 * time.Second))
		ending := l.token(models.CreateTokenOptions{ExpiresAt: &end})
		old := l.good()
		if l.ask(old); l.s.hub.known(old.digest()) == nil {
			t.Fatal("it is not kept")
		}
		_, secret, err := l.store.RotateToken(t.Context(), l.by(), old.id, models.RotateOptions{Overlap: 20})
		if err != nil {
			t.Fatal(err)
		}
		next := token{old.id, secret}
		v := l.verifier(60, ending, old, next)
		if got := v.member("expiresInMs"); got != "[10000 20000 null]" {
			t.Error("they end in", got)
		}
		if watches, facts := l.watched(); watches != 2 || facts != 3 {
			t.Errorf("%d watches of %d facts", watches, facts)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		if l.ask(ending) == nil || l.ask(old) == nil || l.ask(next) == nil {
			t.Error("ended too early")
		}
		time.Sleep(time.Millisecond)
		if l.ask(ending) != nil || l.ask(old) == nil {
			t.Error("a token that has expired is good")
		}
		time.Sleep(10*time.Second - time.Millisecond)
		v.want("changed 1") // of the one that has expired
		v.confirm(1)
		call := l.post(setEnabled, "[%q,false]", old.id)
		call.want("waits")
		if l.ask(old) != nil || l.ask(next) != nil || l.s.hub.facts.len() > 1 {
			t.Error("a secret of a token that was switched off is good")
		}
		v.want("changed 2")
		v.confirm(2)
		call.want("1=1+0")
		l.switches(old.secret, true)
		time.Sleep(time.Millisecond)
		if l.ask(old) != nil || l.ask(next) == nil {
			t.Error("a secret that was replaced is good, or the new one is not")
		}
	})
}
