package rpc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

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

// TestFactsOfANodeThatIsBehind: a node that is not sure to have heard of all asks the database, and does not answer from what it
// had kept before all the same.
func TestFactsOfANodeThatIsBehind(t *testing.T) {
	for _, change := range takings {
		t.Run(change.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.catalogue("repo:read")
				owner := l.owner("ada", "repo:read")
				token := owner.token("repo:read")
				if !untouched(l.ask(token)) || l.s.hub.known(token.digest()) == nil {
					t.Fatal("it is not kept")
				}
				l.exec("ALTER TABLE nodes RENAME TO away") // no sweep is whole
				l.store.Observe(deaf{})                    // the change is made elsewhere
				if err := change.change(t.Context(), l, owner, token); err != nil {
					t.Fatal(err)
				}
				time.Sleep(nodeLease)
				if untouched(l.ask(token)) {
					t.Error("the answer is from before the change")
				}
				l.exec("ALTER TABLE away RENAME TO nodes")
				l.store.Observe(l.s.hub)
			})
		})
	}
}

// TestSweepBesideReads: however many reads are under way, a node hears of what others have changed, and goes on to answer from memory.
// That the reads go on and on takes a lock on what they read; SQLite's readers wait for nobody.
func TestSweepBesideReads(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		l := newLab(t, url, DefaultFacts)
		changed, other := l.good(), l.good()
		l.ask(changed)
		l.ask(other)
		l.store.Observe(deaf{})
		l.switches(changed.secret, false)
		conn, err := l.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		lock, unlock := "LOCK TABLES api_tokens WRITE", "UNLOCK TABLES"
		if strings.HasPrefix(url, "sqlite:") {
			lock, unlock = "SELECT 1", "SELECT 1"
		}
		if _, err := conn.ExecContext(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		var reads sync.WaitGroup
		for range 100 {
			reads.Go(func() { l.store.Facts(context.Background(), other.digest()) })
		}
		time.Sleep(nodeLease / 2) // they have all connections by now
		l.store.Observe(l.s.hub)
		time.Sleep(nodeLease + sweepEvery)
		if l.s.hub.facts.peek(changed.digest()) != nil {
			t.Error("it has not heard of a change")
		}
		if !l.s.hub.current() {
			t.Error("it is behind")
		}
		if _, err := conn.ExecContext(t.Context(), unlock); err != nil {
			t.Error(err)
		}
		reads.Wait()
	})
}
