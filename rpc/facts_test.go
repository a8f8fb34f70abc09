package rpc

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
						f := l.s.hub.retain(owner.UserID, fact.Position.Number)
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
		f := h.retain(a.UserID, a.Position.Number)
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

// TestFactsOfALostFeed: where the feed cannot be read, or the database was restored, everything is taken back: this node
// asks again, and the verifiers are told. What comes then is kept, however busy the user is.
func TestFactsOfALostFeed(t *testing.T) {
	for name, lose := range map[string]func(l *lab, owner actingAdmin, t token){
		"an event is missing": func(l *lab, owner actingAdmin, t token) {
			l.store.Observe(deaf{})
			owner.switches(t.secret, false)
			owner.switches(t.secret, true)
			l.store.Observe(l.s.hub)
			l.exec("DELETE FROM events WHERE user_id = ? AND position = (SELECT position - 1 FROM feeds WHERE user_id = ?)", owner.UserID, owner.UserID)
		},
		"the database was restored": func(l *lab, owner actingAdmin, _ token) {
			l.exec("DELETE FROM events WHERE user_id = ? AND position = (SELECT position FROM feeds WHERE user_id = ?)", owner.UserID, owner.UserID)
			l.exec("UPDATE feeds SET position = position - 1 WHERE user_id = ?", owner.UserID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				owner := l.user("ada")
				token := owner.token(models.PermissionManage)
				p := l.connect(owner.Identity)
				p.news()
				v := l.verifier(60, token)
				if l.s.hub.known(token.digest()) == nil {
					t.Fatal("it is not kept")
				}
				lose(l, owner, token)
				busy := l.s.hub.find(owner.UserID)
				l.s.hub.hold(busy) // somebody needs the feed all the time
				defer l.s.hub.release(busy)
				time.Sleep(sweepEvery)
				v.want("changed 1")
				p.want("close 1012")
				if l.s.hub.known(token.digest()) != nil {
					t.Error("it is still kept")
				}
				call := l.postAs(owner.Identity, setEnabled, "[%q,false]", token.id)
				call.want("waits") // whatever it was that the verifier has been told of
				v.confirm(1)
				call.want("1=1+0")
				owner.switches(token.secret, true)
				if l.ask(token) == nil || l.s.hub.known(token.digest()) == nil {
					t.Error("it is not kept any more")
				}
				id := newIdentity(l, owner)
				q := l.connect(id)
				owner.switches(token.secret, false)
				if q.want("enabled-changed"); l.s.hub.known(token.digest()) != nil {
					t.Error("a change is missed")
				}
			})
		})
	}
}

// newIdentity returns the user as he signs in now.
func newIdentity(l *lab, owner actingAdmin) *models.Identity {
	l.t.Helper()
	_, _, secret, err := l.store.SignIn(context.Background(), owner.Username, models.NewSecret("correct horse battery"), "", "")
	if err != nil {
		l.t.Fatal(err)
	}
	id, err := l.store.Authenticate(context.Background(), secret, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return id
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

// TestNodeThatIsBehind: a node that has not been able to look at the database for a while answers nothing from memory and
// renews no lease, until it is.
func TestNodeThatIsBehind(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v := l.verifier(60, token)
		v.confirm(0)
		l.exec("ALTER TABLE feeds RENAME TO away")
		time.Sleep(nodeLease - sweepEvery)
		v.verify(token)
		v.want("3 held")
		time.Sleep(sweepEvery)
		for range 3 {
			v.call("/v1/verifier/beat", `[{"lease":60}]`)
			v.want(fmt.Sprint(v.calls, " error 503"))
			v.verify(token)
			if got := v.news(); !strings.Contains(got, "error") {
				t.Error("answered from memory:", got)
			}
			if _, err := l.s.Verify(t.Context(), Question{Digest: token.digest()}); err == nil {
				t.Error("answered from memory")
			}
			time.Sleep(sweepEvery)
		}
		l.exec("ALTER TABLE away RENAME TO feeds")
		time.Sleep(sweepEvery)
		synctest.Wait()
		v.beat(60)
		v.hold(token)
		if l.s.hub.known(token.digest()) == nil {
			t.Error("nothing is kept any more")
		}
	})
}

// TestNothingIsLeftOfVerifiers: when they have gone and their leases have run out.
func TestNothingIsLeftOfVerifiers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ada := l.user("ada")
		tokens := []token{l.good(), ada.token(), ada.token()}
		idle := l.connect(ada.Identity) // a user with a connection and nothing that is watched
		idle.news()
		var all []*peer
		for range 3 {
			all = append(all, l.verifier(5, tokens...), l.verifier(10, tokens[1]))
		}
		calls := []*post{l.post(setEnabled, "[%q,false]", tokens[0].id), l.postAs(ada.Identity, "/v1/api-tokens/delete", "[%q]", tokens[1].id)}
		for _, c := range calls {
			c.want("waits")
		}
		all[0].call("/v1/verifier/release", "[]")
		for _, v := range all {
			v.gone()
		}
		l.s.hub.mu.Lock()
		abandoned := len(l.s.hub.abandoned)
		l.s.hub.mu.Unlock()
		if abandoned != len(all) {
			t.Error(abandoned, "leases go on")
		}
		calls[0].hangUp()
		calls[1].hangUp()
		if _, err := l.store.SetUserEnabled(t.Context(), l.by(), ada.UserID, false); err != nil {
			t.Fatal(err)
		}
		idle.gone()
		time.Sleep(10*time.Second + sweepEvery)
		synctest.Wait()
		l.nothingLeft()
	})
}

// TestReleaseAmongOtherCalls: a verifier that lets go of everything and goes on at once, in whatever order that is looked
// at, is told of what it holds.
func TestReleaseAmongOtherCalls(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v := l.verifier(60, token)
		lease, f := l.leaseOf(v), l.s.hub.find(l.UserID)
		f.mu.Lock() // so that release stops between what it forgets and what it takes back
		released := make(chan struct{})
		go func() {
			defer close(released)
			l.s.hub.vacate(lease, false)
		}()
		for waiting("(*hub).vacate") == 0 { // the bubble's clock stands still meanwhile: nobody waits for time
			runtime.Gosched()
		}
		lease.beat(time.Minute)
		if _, ok := lease.take(f, token.id); !ok {
			t.Fatal("it holds nothing")
		}
		l.s.hub.watched(f, token.id).leases[lease] = struct{}{}
		f.mu.Unlock()
		<-released
		call := l.post(setEnabled, "[%q,false]", token.id)
		call.want("waits")
		v.want("changed 1")
		v.confirm(1)
		call.want("1=1+0")
	})
}

// TestLendingWhatHasChanged: between the look at what a node knows of a token and the moment at which a verifier holds it,
// the token may change; the more so where the node has kept it no longer. Then nobody holds it.
func TestLendingWhatHasChanged(t *testing.T) {
	inLabOf(t, 1, func(t *testing.T, l *lab) {
		v := l.verifier(60)
		for name, between := range map[string]func(token){
			"changed":                   func(t token) { l.switches(t.secret, false) },
			"evicted, and changed":      func(t token) { l.ask(l.good()); l.switches(t.secret, false) },
			"changed, and changed back": func(t token) { l.switches(t.secret, false); l.switches(t.secret, true); l.ask(t) },
		} {
			token := l.good()
			fact := l.ask(token)
			between(token)
			if _, held := l.s.hub.lend(l.leaseOf(v), fact); held {
				t.Errorf("%s: it is held", name)
			}
		}
		v.want("")
	})
}

// TestNumberOfWhatIsHeld: what is given to hold says up to which notification it is true, and no more.
func TestNumberOfWhatIsHeld(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		first, second := l.good(), l.good()
		v := l.verifier(60, first) // beat and verify
		l.post(setEnabled, "[%q,false]", first.id).want("waits")
		v.want("changed 1")
		v.hold(second)
		if got := v.member("seq"); got != "[0 0 1 1]" {
			t.Error("the numbers are", got)
		}
		v.confirm(1)
	})
}

// TestFullLease: a verifier that holds as many tokens as it may is told of one that it does not hold any more, and when it
// has confirmed that, nobody waits for it because of that one.
func TestFullLease(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		all := []token{l.good(), l.good(), l.good()}
		v := l.verifier(60, all[:2]...)
		l.leaseOf(v).room = 2
		v.verify(all[2])
		v.want(fmt.Sprintf("changed 1, %d held", v.calls))
		if watches, _ := l.watched(); watches != 3 { // the node itself knows all
			t.Error("watched are", watches)
		}
		v.confirm(1)
		waiting := 0
		for _, token := range all {
			call := l.post(setEnabled, "[%q,false]", token.id)
			synctest.Wait()
			select {
			case <-call.done:
			default:
				waiting++
				v.want(fmt.Sprint("changed ", 1+waiting))
				v.confirm(1 + waiting)
				call.want("1=1+0")
			}
		}
		if waiting != 2 {
			t.Errorf("it holds %d tokens", waiting)
		}
	})
}

// TestFullLeaseUnconfirmed: a verifier that was told to let go of a token to make room, and has not said that it did, answers
// from it perhaps. Whoever takes the token away waits for it.
func TestFullLeaseUnconfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		then   func(v *peer)
		result string
	}{
		"confirms":   {func(v *peer) { v.confirm(1) }, "1=1+0"},
		"is cut off": {func(v *peer) { v.gone(); time.Sleep(time.Minute) }, "1=0+1"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				first := l.good()
				v := l.verifier(60, first)
				l.leaseOf(v).room = 1
				v.verify(l.good())
				v.want(fmt.Sprintf("changed 1, %d held", v.calls))
				call := l.post(setEnabled, "[%q,false]", first.id)
				call.want("waits")
				c.then(v)
				call.want(c.result)
			})
		})
	}
}
