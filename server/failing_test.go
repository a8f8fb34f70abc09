package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// takings are the calls that take something away of a token: OWN is the token's id, and USER its owner's.
var takings = []struct{ method, params string }{
	{"/v1/api-tokens/set-enabled", `["OWN",false]`},
	{"/v1/api-tokens/delete", `["OWN"]`},
	{"/v1/api-tokens/set-permissions", `["OWN",{}]`},
	{"/v1/api-tokens/update-permissions", `["OWN",{"repo:read":false}]`},
	{"/v1/api-tokens/update", `["OWN",{"allowedIps":["192.0.2.1"]}]`},
	{"/v1/api-tokens/rotate", `["OWN"]`},
	{"/v1/users/set-enabled", `["USER",false]`},
	{"/v1/users/delete", `["USER"]`},
	{"/v1/users/set-permissions", `["USER",{}]`},
	{"/v1/users/update-permissions", `["USER",{"repo:read":false}]`},
	{"/v1/permissions/delete", `["repo:read"]`},
}

// failing is a test of calls whose statements fail.
type failing struct {
	*instance
	truth  *models.Store // the same database, without faults
	holder *rawVerifier
	users  int
}

// newFailing starts a server on a database that is also reached without faults.
func newFailing(t *testing.T, databaseURL, direct string) *failing {
	t.Helper()
	options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}}
	f := &failing{instance: startWith(t, databaseURL, options, nil)}
	truth, err := models.Open(t.Context(), direct, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { truth.Close() })
	f.truth, f.holder = truth, f.verifier(t, time.Minute, false)
	return f
}

// victim is a token that a call takes something away of.
type victim struct {
	owner, id, text string
}

// victim makes a token with a permission that a verifier holds: the administrator's, or another user's.
func (f *failing) victim(own bool) victim {
	f.t.Helper()
	ctx := context.Background()
	if status, answer := f.post("/api/v1/permissions/create", f.session, `["repo:read"]`); status != 200 && status != 409 {
		f.t.Fatal(status, answer)
	}
	admin, err := f.store.Authenticate(ctx, models.NewSecret(f.session), "")
	if err != nil {
		f.t.Fatal(err)
	}
	by := func(id *models.Identity) models.Actor {
		return models.Actor{Identity: id, ChangeID: models.NewChangeID()}
	}
	grants, owner := models.Grants{"repo:read": true}, admin
	if !own {
		f.users++
		user, err := f.store.CreateUser(ctx, by(admin), fmt.Sprint("user", f.users), models.CreateUserOptions{Permissions: grants})
		if err != nil {
			f.t.Fatal(err)
		}
		owner = &models.Identity{UserID: user.ID, Username: user.Username, Credential: models.Credential{Kind: models.KindSession}} // of no session
	}
	token, secret, err := f.store.CreateToken(ctx, by(owner), "x", models.CreateTokenOptions{Permissions: grants})
	if err != nil {
		f.t.Fatal(err)
	}
	v := victim{owner.UserID, token.ID, secret.Reveal()}
	f.holder.mustHold(f.t, v.text)
	return v
}

// found is what is found of a token.
type found struct {
	active, permission, anywhere bool
}

func (f found) untouched() bool { return f.active && f.permission && f.anywhere }

func (f found) String() string {
	b, _ := json.Marshal(map[string]bool{"active": f.active, "permission": f.permission, "anywhere": f.anywhere})
	return string(b)
}

// stored returns what the database says of a token.
func (f *failing) stored(v victim) found {
	f.t.Helper()
	facts, err := f.truth.Facts(context.Background(), models.DigestOf(v.text))
	if err != nil {
		f.t.Fatal(err)
	}
	if facts == nil {
		return found{}
	}
	return found{true, slices.Contains(facts.Permissions, "repo:read"), facts.AllowedIPs == nil}
}

// verified returns what the server says of it.
func (f *failing) verified(v victim) found {
	f.t.Helper()
	status, answer := f.post("/api/v1/verifier/verify", f.session, fmt.Sprintf(`[%q,{"hold":true}]`, v.text))
	if status != 200 {
		f.t.Errorf("a verification: %d %s", status, answer)
	}
	return found{strings.Contains(answer, `"active":true`), strings.Contains(answer, `"repo:read"`), strings.Contains(answer, `"allowedIps":null`)}
}

// held returns what the verifier says.
func (f *failing) held(v victim) found {
	f.t.Helper()
	answer, err := f.holder.verify(context.Background(), v.text)
	if err != nil {
		f.t.Error(err)
	}
	return found{answer.Active, slices.Contains(answer.Permissions, "repo:read"), answer.AllowedIPs == nil && answer.Active}
}

// try makes a call while something of it fails, and holds the answer against what has become of the token. It returns
// what has failed, if anything, and whether the call was hurt by that: the server also writes in the background.
func (f *failing) try(method, params string, b breakage) (failed string, hurt bool) {
	f.t.Helper()
	v := f.victim(strings.HasPrefix(method, "/v1/api-tokens"))
	params = strings.NewReplacer("OWN", v.id, "USER", v.owner).Replace(params)
	b.arm()
	status, answer := f.post("/api"+method, f.session, params)
	failed = b.disarm()
	stored := f.stored(v)
	what := fmt.Sprintf("%s, %s failed (%q): %d %s", method, b.name, failed, status, answer)
	switch {
	case status == 200 && stored.untouched():
		f.t.Errorf("%s\nand the token is what it was", what)
	case status != 200 && status < 500:
		f.t.Errorf("%s\nsounds like a refusal", what)
	}
	if got := f.verified(v); got != stored {
		f.t.Errorf("%s\nis verified as %v, and stored as %v", what, got, stored)
	}
	if got := f.held(v); got != stored {
		if status == 200 {
			f.t.Errorf("%s\nthe verifier says %v, stored is %v", what, got, stored)
		}
		until(f.t, patience, what+"\nthe verifier to hear of it", func() bool { return f.held(v) == stored })
	}
	if status == 200 {
		return failed, false
	}
	status, answer = f.post("/api"+method, f.session, params) // again, now that nothing fails
	if status != 200 && status != 404 {
		f.t.Errorf("%s\nand again: %d %s", what, status, answer)
	}
	if stored = f.stored(v); stored.untouched() || f.verified(v) != stored || f.held(v) != stored {
		f.t.Errorf("%s\nand again: %d %s; stored is %v, verified %v, held %v", what, status, answer, stored, f.verified(v), f.held(v))
	}
	return failed, true
}

// tryAll has each statement of a call fail in turn, and returns how many they were. A statement that something else had
// under way at that moment, and was hit in its place, does not count.
func (f *failing) tryAll(method, params string, proxy *mysqlProxy) (statements int) {
	f.t.Helper()
	for others := 0; ; {
		failed, hurt := f.try(method, params, proxy.breakage(statements, false))
		switch {
		case failed == "":
			return statements
		case !hurt:
			if others++; others > 100 {
				f.t.Fatalf("%s succeeds whatever fails: %q", method, failed)
			}
			continue
		case failed == "COMMIT":
			f.try(method, params, proxy.breakage(statements, true))
		}
		statements++
	}
}

// TestFailedRevocations has every statement of every call that takes something away fail, one after the other. None is
// reported as done, and none is half done: whatever was answered, verifications agree with the database.
func TestFailedRevocations(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		databaseURL := modelstest.SQLite(t)
		f := newFailing(t, databaseURL, databaseURL)
		for _, b := range sqliteBreakages(t, databaseURL) {
			failed := 0
			for _, call := range takings {
				if _, hurt := f.try(call.method, call.params, b); hurt {
					failed++
				}
			}
			all := []string{"UPDATE feeds", "INSERT events", "COMMIT"} // what every change does
			if t.Logf("%s: %d calls failed", b.name, failed); slices.Contains(all, b.name) && failed < len(takings) {
				t.Error("not all of them failed by it")
			}
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		direct := modelstest.MariaDB(t)
		proxy, databaseURL := newMySQLProxy(t, direct, 0)
		f := newFailing(t, databaseURL, direct)
		for _, call := range takings {
			statements := f.tryAll(call.method, call.params, proxy)
			if t.Log(call.method, statements, "statements"); statements < 6 {
				t.Error("not all of its statements failed")
			}
		}
	})
}
