package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

const setEnabled = "/v1/api-tokens/set-enabled"

// TestReceiptWaits: whoever takes something away is answered when each verifier that was given it has let go, in any of
// the ways that there are, and not before.
func TestReceiptWaits(t *testing.T) {
	for name, c := range map[string]struct {
		letGo  func(v *peer)
		after  time.Duration // from the change
		result string
	}{
		"confirms":            {func(v *peer) { v.confirm(1) }, 0, "1=1+0"},
		"confirms with an id": {func(v *peer) { v.call("/v1/verifier/confirm", "[1]") }, 0, "1=1+0"},
		"confirms by a beat":  {func(v *peer) { v.call("/v1/verifier/beat", `[{"lease":60,"confirmed":1}]`) }, 0, "1=1+0"},
		"releases":            {func(v *peer) { v.call("/v1/verifier/release", "[]") }, 0, "1=1+0"},
		"is silent":           {func(*peer) {}, 3 * time.Second, "1=0+1"},
		"is cut off":          {func(v *peer) { v.gone() }, 3 * time.Second, "1=0+1"},
		"confirms too little": {func(v *peer) { v.confirm(0) }, 3 * time.Second, "1=0+1"},
		"confirms too much":   {func(v *peer) { v.confirm(2) }, 3 * time.Second, "1=0+1"},
		"goes on beating":     {func(v *peer) { v.beat(60); time.Sleep(time.Second); v.beat(60) }, 2 * time.Second, "1=0+1"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				token := l.good()
				v := l.verifier(5, token)
				time.Sleep(2 * time.Second)
				call := l.post(setEnabled, "[%q,false]", token.id)
				call.want("waits")
				v.want("changed 1")
				c.letGo(v)
				if c.after > 0 {
					call.want("waits")
					time.Sleep(c.after - time.Nanosecond)
					call.want("waits")
					time.Sleep(time.Nanosecond)
				}
				call.want(c.result)
				if call.result.ElapsedMs != float64(call.took.Milliseconds()) {
					t.Errorf("elapsedMs %v of a call that took %v", call.result.ElapsedMs, call.took)
				}
				again := l.post(setEnabled, "[%q,true]", token.id)
				again.want("0=0+0") // it holds nothing any more
			})
		})
	}
}

// TestReceiptOfALongLease: a minute is longer than a call may take otherwise.
func TestReceiptOfALongLease(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		l.verifier(60, token)
		call := l.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(maxLease - time.Nanosecond)
		call.want("waits")
		time.Sleep(time.Nanosecond)
		call.want("1=0+1")
	})
}

// TestReceiptOfALeaseThatRanOut: a verifier whose lease has run out answers nothing, and nobody waits for it; it is told
// all the same, before its next lease.
func TestReceiptOfALeaseThatRanOut(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token, other := l.good(), l.good()
		v, gone := l.verifier(5, token), l.verifier(1, token)
		gone.gone()
		time.Sleep(5 * time.Second)
		l.post(setEnabled, "[%q,false]", token.id).want("0=0+0")
		v.want("changed 1")
		v.verify(other)
		v.want("3 active") // and not held
		v.beat(5)
		v.hold(other)
		l.post(setEnabled, "[%q,false]", other.id).want("waits")
		v.want("changed 2")
	})
}

// TestReceiptOfManyTokens: one change may touch many tokens, and more than one notification is needed to name them. Who
// confirms the first of them has not let go of all.
func TestReceiptOfManyTokens(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		v := l.verifier(5)
		ada := l.user("ada")
		first := token{secret: ada.create(models.PermissionManage)}
		v.hold(first)
		leased := l.leaseOf(v)
		f := l.s.hub.find(ada.UserID)
		f.mu.Lock()
		for n := range changedChunk { // as many more, without going through the database for each
			id := fmt.Sprintf("t%03d", n)
			l.s.hub.watched(f, id).leases[leased] = struct{}{}
			leased.holds[id] = f
		}
		f.mu.Unlock()
		call := l.post("/v1/users/set-enabled", "[%q,false]", ada.UserID)
		call.want("waits")
		v.want("changed 1, changed 2")
		v.confirm(1)
		call.want("waits")
		v.confirm(2)
		call.want("1=1+0")
	})
}

// leaseOf returns the lease that was made last.
func (l *lab) leaseOf(*peer) *lease {
	for _, slot := range l.s.hub.slots {
		for c := range slot {
			if held := c.lease.Load(); held != nil {
				return held
			}
		}
	}
	l.t.Fatal("no lease")
	return nil
}

// TestReceiptCounts: verifiers are counted once, however many of their tokens change, and one that let go of some only has
// not let go.
func TestReceiptCounts(t *testing.T) {
	for name, change := range map[string]func(l *lab, ada actingAdmin) *post{
		"user switched off": func(l *lab, ada actingAdmin) *post { return l.post("/v1/users/set-enabled", "[%q,false]", ada.UserID) },
		"user deleted":      func(l *lab, ada actingAdmin) *post { return l.post("/v1/users/delete", "[%q]", ada.UserID) },
		"user's permissions set": func(l *lab, ada actingAdmin) *post {
			return l.post("/v1/users/set-permissions", "[%q,{}]", ada.UserID)
		},
		"user's permissions updated": func(l *lab, ada actingAdmin) *post {
			return l.post("/v1/users/update-permissions", `[%q,{"repo:read":false}]`, ada.UserID)
		},
		"permission deleted": func(l *lab, ada actingAdmin) *post { return l.post("/v1/permissions/delete", `["repo:read"]`) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				if _, err := l.store.CreatePermission(t.Context(), l.by(), "repo:read", models.CreatePermissionOptions{}); err != nil {
					t.Fatal(err)
				}
				ada := l.user("ada")
				if _, err := l.store.UpdateUserPermissions(t.Context(), l.by(), ada.UserID, models.Grants{"repo:read": true}); err != nil {
					t.Fatal(err)
				}
				var tokens []token
				for range 3 {
					tokens = append(tokens, token{secret: ada.create("repo:read")})
				}
				other := l.good()
				all, one, none := l.verifier(5, tokens...), l.verifier(5, tokens[0], other), l.verifier(5, other)
				cut := l.verifier(5, tokens...)
				cut.gone()
				call := change(l, ada)
				call.want("waits")
				last := 1
				if news := all.news(); strings.Contains(news, "changed 3") {
					last = 3 // an event for each token
				}
				none.want("")
				one.want("changed 1")
				one.confirm(1)
				all.confirm(last - 1)
				call.want("waits")
				all.confirm(last)
				call.want("waits")
				time.Sleep(5 * time.Second)
				call.want("3=2+1")
			})
		})
	}
}

// TestReceiptOfWhoConfirmsAtOnce: a verifier that has confirmed before anybody waits for it counts all the same.
func TestReceiptOfWhoConfirmsAtOnce(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		lease := l.leaseOf(l.verifier(60, token))
		by := l.by()
		c := &Call{caller: newCaller(l.Identity), changeID: by.ChangeID}
		_, receipt, err := settled(t.Context(), l.s, c, &subject{l.UserID, token.id}, func() (Empty, error) {
			_, err := l.store.SetTokenEnabled(t.Context(), by, token.id, false, models.ChangeOptions{})
			return Empty{}, errors.Join(err, lease.confirm(1))
		})
		if got := receipt.short(); got != "1=1+0" || err != nil {
			t.Error(got, err)
		}
	})
}

// TestReceiptOnTheSameConnection: the caller may be a verifier himself, and hears what he must let go of before the answer
// to his call, which waits for him.
func TestReceiptOnTheSameConnection(t *testing.T) {
	t.Run("one call", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			token := l.good()
			c := l.session()
			c.beat(60)
			c.hold(token)
			c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
			c.want("changed 1")
			c.confirm(1)
			c.want("3 1=1+0, enabled-changed")
		})
	})
	t.Run("a batch", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			a, b := l.good(), l.good()
			c := l.session()
			c.beat(60)
			c.hold(a)
			c.hold(b)
			c.in <- fmt.Sprintf("[%s,%s]", request1(4, setEnabled, fmt.Sprintf("[%q,false]", a.id)), request1(5, "/v1/api-tokens/delete", fmt.Sprintf("[%q]", b.id)))
			c.want("changed 1")
			c.confirm(1)
			c.want("changed 2")
			c.confirm(2)
			c.want("[4 1=1+0, 5 1=1+0], enabled-changed, deleted")
		})
	})
	t.Run("as many calls as may be under way", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			var tokens []token
			for range maxUnderWay {
				tokens = append(tokens, l.good())
			}
			c := l.session()
			c.beat(60)
			for _, t := range tokens {
				c.hold(t)
			}
			for _, t := range tokens {
				c.call(setEnabled, fmt.Sprintf("[%q,false]", t.id))
			}
			if got := c.news(); strings.Count(got, "changed") != maxUnderWay {
				t.Fatal(got)
			}
			begun := time.Now()
			c.confirm(maxUnderWay)
			if got := c.news(); strings.Count(got, "1=1+0") != maxUnderWay || time.Since(begun) > 0 {
				t.Errorf("after %v: %s", time.Since(begun), got)
			}
		})
	})
	t.Run("a batch that takes all room", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			token := l.good()
			c := l.session()
			c.beat(60)
			c.hold(token)
			batch := []string{request1(100, setEnabled, fmt.Sprintf("[%q,false]", token.id))}
			for n := 1; n < maxUnderWay; n++ {
				batch = append(batch, request1(100+n, "/v1/session/read", "[]"))
			}
			c.in <- "[" + strings.Join(batch, ",") + "]"
			c.want("changed 1")
			begun := time.Now()
			c.confirm(1)
			if got := c.news(); !strings.HasPrefix(got, "[100 1=1+0, ") || time.Since(begun) > 0 {
				t.Errorf("after %v: %s", time.Since(begun), got)
			}
		})
	})
}

// TestReceiptOfARepeatedCall: the change of a call that was cut off stands. The same call again finds nothing to change, and
// waits the same way: with a connection of the user's here or without, and whoever makes it.
func TestReceiptOfARepeatedCall(t *testing.T) {
	for name, c := range map[string]struct {
		method, params, told string
	}{
		"set-enabled":        {setEnabled, `["TOKEN",false]`, "1=1+0"},
		"a seen version":     {setEnabled, `["TOKEN",false,{"version":1}]`, "error 409"},
		"set-permissions":    {"/v1/api-tokens/set-permissions", `["TOKEN",{}]`, "1=1+0"},
		"update-permissions": {"/v1/api-tokens/update-permissions", `["TOKEN",{"tokens:manage":false}]`, "1=1+0"},
		"update":             {"/v1/api-tokens/update", `["TOKEN",{"name":"y"}]`, "1=1+0"},
		"rotate":             {"/v1/api-tokens/rotate", `["TOKEN"]`, "1=1+0"},
		"delete":             {"/v1/api-tokens/delete", `["TOKEN"]`, "error 404"},
		"user's permissions": {"/v1/users/update-permissions", `["USER",{"tokens:manage":false}]`, "1=1+0"},
		"user switched off":  {"/v1/users/set-enabled", `["USER",false]`, "1=1+0"},
		"user deleted":       {"/v1/users/delete", `["USER"]`, "error 404"},
		"permission deleted": {"/v1/permissions/delete", `["repo:read"]`, "error 404"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				by, token := l.prepare(strings.HasPrefix(c.method, "/v1/api-tokens"))
				v := l.verifier(60, token)
				params := strings.NewReplacer("TOKEN", token.id, "USER", by.UserID).Replace(c.params)
				call := func() *post { return l.post(c.method, "%s", params) }
				first := call()
				first.want("waits")
				v.want("changed 1")
				first.hangUp()
				first.want("error 499")
				time.Sleep(5 * time.Second) // sweeps must not forget it
				second := call()
				second.want("waits")
				second.hangUp()
				second.want("error 499") // and never "404": that would be done
				third := call()
				third.want("waits")
				v.want("") // which has been told
				v.confirm(1)
				third.want(c.told)
			})
		})
	}
}

// prepare returns a token with the permission repo:read and its owner: the administrator, or another user.
func (l *lab) prepare(own bool) (actingAdmin, token) {
	l.t.Helper()
	if _, err := l.store.CreatePermission(context.Background(), l.by(), "repo:read", models.CreatePermissionOptions{}); err != nil {
		l.t.Fatal(err)
	}
	by := l.actingAdmin
	if !own {
		by = l.user("ada")
		if _, err := l.store.UpdateUserPermissions(context.Background(), l.by(), by.UserID, models.Grants{"repo:read": true}); err != nil {
			l.t.Fatal(err)
		}
	}
	made, secret, err := l.store.CreateToken(context.Background(), by.by(), "x", models.CreateTokenOptions{Permissions: models.Grants{"repo:read": true, models.PermissionManage: true}})
	if err != nil {
		l.t.Fatal(err)
	}
	return by, token{made.ID, secret}
}

// TestReceiptCancelled: a caller on a connection cancels his call, and is told so at once; the change stands.
func TestReceiptCancelled(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		c.want("")
		c.in <- `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`
		c.want("1 error 499, enabled-changed")
		c.call("/v1/verifier/verify", fmt.Sprintf("[%q]", token.secret.Reveal()))
		c.want("2 inactive")
		c.call("/v1/api-tokens/delete", fmt.Sprintf("[%q]", token.id))
		c.want("")
		c.in <- `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":3}}`
		c.want("3 error 499, deleted")
	})
}

// TestReceiptOfACallerWhoIsGone: nothing of him is left waiting.
func TestReceiptOfACallerWhoIsGone(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		c.want("")
		begun := time.Now()
		c.gone()
		if waited := time.Since(begun); waited > 0 {
			t.Error("it took", waited)
		}
	})
}

// TestReceiptWhenTheServerStops: nobody holds that up; the caller is told that the change stands and that verifiers are
// still out.
func TestReceiptWhenTheServerStops(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		tokens := []token{l.good(), l.good()}
		l.verifier(60, tokens...)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", tokens[0].id))
		c.want("")
		call := l.post("/v1/api-tokens/delete", "[%q]", tokens[1].id)
		call.want("waits")
		again := l.post("/v1/api-tokens/delete", "[%q]", tokens[1].id)
		again.want("waits")
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		l.s.Shutdown(ctx)
		if waited := time.Since(begun); waited > 0 {
			t.Error("it took", waited)
		}
		call.want("error 503")
		again.want("error 503")
		c.want("1 error 503, enabled-changed, deleted, close 1001")
		if fact, err := l.store.Facts(t.Context(), models.DigestOf(tokens[0].secret.Reveal())); fact != nil || err != nil {
			t.Error("the change does not stand:", fact, err)
		}
	})
}

// TestNoticeBeforeTheReceipt: who waits for verifiers hears of what he has changed after a second, and of all else.
func TestNoticeBeforeTheReceipt(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v := l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		time.Sleep(noticeAfter - time.Nanosecond)
		c.want("")
		l.good() // waits behind
		c.want("")
		time.Sleep(time.Nanosecond)
		c.want("enabled-changed, created")
		l.good()
		c.want("created")
		last := time.Now()
		for n, before := 0, c.messages(); n == 0; n = c.messages() - before {
			if time.Since(last) > heartbeatEvery {
				t.Fatal("no heartbeat while a call waits")
			}
			time.Sleep(time.Second)
		}
		c.want("")
		v.confirm(1)
		c.want("1 1=1+0")
	})
}

// TestEndAfterTheReceipt: a token that deletes itself gets its reply before its connection ends, however long the verifiers take.
func TestEndAfterTheReceipt(t *testing.T) {
	for name, batch := range map[string]bool{"one call": false, "a batch whose first call takes long": true} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				own, other := l.good(), l.good()
				v := l.verifier(60, own, other)
				id, err := l.store.Authenticate(t.Context(), own.secret, "")
				if err != nil {
					t.Fatal(err)
				}
				c := l.connect(id)
				gone := request1(2, "/v1/api-tokens/delete", fmt.Sprintf("[%q]", own.id))
				if !batch {
					c.in <- gone
					v.want("changed 1")
					time.Sleep(2 * noticeAfter)
					c.want("deleted")
					v.confirm(1)
					c.want("2 1=1+0, ended, close 4401")
					return
				}
				c.in <- fmt.Sprintf("[%s,%s]", request1(1, setEnabled, fmt.Sprintf("[%q,false]", other.id)), gone)
				v.want("changed 1")
				time.Sleep(2 * noticeAfter)
				c.want("enabled-changed")
				v.confirm(1)
				v.want("changed 2")
				v.confirm(2)
				c.want("deleted, [1 1=1+0, 2 1=1+0], ended, close 4401")
			})
		})
	}
}

// deaf is an observer that is told nothing, as a node is not told of what another one commits.
type deaf struct{}

func (deaf) Committed([]models.Event) {}
func (deaf) InDoubt([]string)         {}

// TestReceiptOfAChangeMadeElsewhere: the call was made before, at another node, or is about to be told here. Who makes it
// again, here, waits for the verifiers that are here.
func TestReceiptOfAChangeMadeElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		elsewhere          func(l *lab, token token, user string) error
		method, params, to string
	}{
		"set-enabled": {func(l *lab, token token, _ string) error {
			_, err := l.store.SetTokenEnabled(context.Background(), l.by(), token.id, false, models.ChangeOptions{})
			return err
		}, setEnabled, `["TOKEN",false]`, "1=1+0"},
		"delete": {func(l *lab, token token, _ string) error {
			return l.store.DeleteToken(context.Background(), l.by(), token.id)
		}, "/v1/api-tokens/delete", `["TOKEN"]`, "error 404"},
		"user switched off": {func(l *lab, _ token, user string) error {
			_, err := l.store.SetUserEnabled(context.Background(), l.by(), user, false)
			return err
		}, "/v1/users/set-enabled", `["USER",false]`, "1=1+0"},
		"permission deleted": {func(l *lab, _ token, _ string) error {
			return l.store.DeletePermission(context.Background(), l.by(), "repo:read")
		}, "/v1/permissions/delete", `["repo:read"]`, "error 404"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				by, token := l.prepare(strings.HasPrefix(c.method, "/v1/api-tokens"))
				v := l.verifier(60, token)
				l.store.Observe(deaf{})
				if err := c.elsewhere(l, token, by.UserID); err != nil {
					t.Fatal(err)
				}
				l.store.Observe(l.s.hub)
				call := l.post(c.method, "%s", strings.NewReplacer("TOKEN", token.id, "USER", by.UserID).Replace(c.params))
				call.want("waits")
				v.want("changed 1")
				v.confirm(1)
				call.want(c.to)
			})
		})
	}
}
