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

// TestBatchOutOfTime: a batch by POST has one answer, which comes in time whatever its calls wait for. What was changed by then is
// said to be, and what comes after is not done.
func TestBatchOutOfTime(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		first, second, third := l.good(), l.good(), l.good()
		v := l.verifier(60, first, second, third)
		var calls []string
		for i, token := range []token{first, second, third} {
			calls = append(calls, request1(i+1, setEnabled, fmt.Sprintf("[%q,false]", token.id)))
		}
		began := time.Now()
		answered := make(chan string)
		go func() {
			answered <- string(l.s.Handle(context.Background(), l.Identity, Door{}, []byte("["+strings.Join(calls, ",")+"]")))
		}()
		time.Sleep(50 * time.Second)
		v.want("changed 1")
		v.beat(60) // the second call waits for 50 s after the first
		answer := <-answered
		if got := fmt.Sprint(inShort(answer)); got != "[[1 1=0+1, 2 error 503, 3 error 503]]" {
			t.Error(got)
		}
		if took := time.Since(began); took != LongestCall {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(answer, "the change is made, but the time") || !strings.Contains(answer, "this call was not made") {
			t.Error(answer)
		}
		if l.ask(second) != nil || l.ask(third) == nil {
			t.Error("something else is changed")
		}
	})
}
