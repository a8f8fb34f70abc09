package models_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// rounds is n, or many times that where TOKENWIRE_TEST_LONG asks for it.
func rounds(n int) int {
	if os.Getenv("TOKENWIRE_TEST_LONG") != "" {
		return 20 * n
	}
	return n
}

// together runs functions at the same time and returns when all are done.
func together(fs ...func()) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for _, f := range fs {
		all.Go(func() {
			<-start
			f()
		})
	}
	close(start)
	all.Wait()
}

// oneOf wants err to be nil or of one of the codes.
func oneOf(t testing.TB, err error, codes ...models.Code) {
	t.Helper()
	var refused *models.Error
	if err != nil && (!errors.As(err, &refused) || !slices.Contains(codes, refused.Code)) {
		t.Errorf("got %v", err)
	}
}

// A user is deleted while he is busy: nothing of him must be left, since nobody could delete it any more. A permission
// that a token which is not there still has could never leave the catalogue.
func TestDeletedUserLeavesNothing(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx, db := t.Context(), rawDB(t, url)
		for round := range rounds(10) {
			name := fmt.Sprintf("ada%d", round)
			ada := makeUser(t, store, admin, name, models.PermissionManage, models.PermissionVerify)
			busy := []func(){
				func() { oneOf(t, store.DeleteUser(ctx, again(admin), ada.UserID)) },
				func() {
					_, _, _, err := store.SignIn(ctx, name, models.NewSecret(password), "192.0.2.1", "test")
					oneOf(t, err, models.Unauthorized, models.NotFound)
				},
				func() {
					_, _, err := store.CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
					oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden)
				},
			}
			for range 4 {
				token, _, err := store.CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
				if err != nil {
					t.Fatal(err)
				}
				busy = append(busy, func() {
					for n := range 100 { // until he is gone
						_, err := store.UpdateTokenPermissions(ctx, again(ada), token.ID, models.Grants{models.PermissionManage: n%2 == 0}, models.ChangeOptions{})
						if oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden); err != nil {
							return
						}
					}
				})
			}
			together(busy...)
			for _, table := range []string{"api_tokens", "sessions", "user_permissions"} {
				if rows := rowsOf(t, db, "SELECT user_id FROM "+table+" WHERE user_id = ?", ada.UserID); len(rows) > 0 {
					t.Errorf("round %d left in %s: %q", round, table, rows)
				}
			}
			if rows := rowsOf(t, db, "SELECT token_id, permission_id FROM api_token_permissions WHERE token_id NOT IN (SELECT id FROM api_tokens)"); len(rows) > 0 {
				t.Fatalf("round %d left %q", round, rows)
			}
		}
	})
}

// Two administrators take each other's rights at once, in every way there is: one must remain.
func TestLastAdministratorUnderRaces(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, first := open(t, url)
		ctx := t.Context()
		grants := models.Grants{models.PermissionAdmin: true}
		ways := map[string]func(by models.Actor, userID string) error{
			"demote": func(by models.Actor, id string) error {
				_, err := store.SetUserPermissions(ctx, again(by), id, models.Grants{})
				return err
			},
			"disable": func(by models.Actor, id string) error {
				_, err := store.SetUserEnabled(ctx, again(by), id, false)
				return err
			},
			"delete": func(by models.Actor, id string) error { return store.DeleteUser(ctx, again(by), id) },
		}
		for round := range rounds(6) {
			for name, way := range ways {
				second := makeUser(t, store, first, fmt.Sprintf("%s-%d", name, round), models.PermissionAdmin)
				var errs [4]error
				both := []func(){ // of these two, unlike the others, none locks what the other one does
					func() { errs[0] = way(first, first.UserID) },
					func() { errs[1] = way(second, second.UserID) },
				}
				if round%2 == 0 {
					both = append(both, func() { errs[2] = way(first, second.UserID) }, func() { errs[3] = way(second, first.UserID) })
				}
				together(both...)
				for _, err := range errs {
					oneOf(t, err, models.Conflict, models.Forbidden, models.NotFound, models.Unauthorized)
				}
				left := rowsOf(t, rawDB(t, url), `SELECT u.username FROM users u JOIN user_permissions p ON p.user_id = u.id
					WHERE p.permission_id = ? AND u.enabled = ?`, models.PermissionAdmin, true)
				if len(left) != 1 {
					t.Fatalf("%s in round %d left the administrators %q; %v", name, round, left, errs)
				}
				// Whoever is left is the next round's first, with all permissions and a good session.
				if left[0] != "username="+first.Username+" " {
					first = second
				}
				first = signIn(t, store, first.Username)
				if _, err := store.UpdateUserPermissions(ctx, again(first), first.UserID, grants); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestTokenLimitUnderConcurrentCreates(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: t.TempDir() + "/key"}, TokensPerUser: 5})
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		for range rounds(5) {
			var mu sync.Mutex
			made := []string{}
			create := func() {
				token, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
				if oneOf(t, err, models.Conflict); err == nil {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, token.ID)
				}
			}
			together(slices.Repeat([]func(){create}, 16)...)
			if rows := rowsOf(t, rawDB(t, url), "SELECT id FROM api_tokens"); len(rows) != 5 || len(made) != 5 {
				t.Errorf("%d tokens were made, %d are there; the limit is 5", len(made), len(rows))
			}
			for _, id := range made {
				if err := store.DeleteToken(t.Context(), again(admin), id); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// The limit that is there without asking for one: of a crowd of calls for the last token one gets it.
func TestDefaultTokenLimit(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		db := rawDB(t, url)
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for i := range models.DefaultTokens - 1 {
			if _, err := tx.Exec("INSERT INTO api_tokens VALUES (?, ?, 'x', 'x', ?, 1, 1, 1, 1, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, 0)", fmt.Sprint(i), admin.UserID, []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		create := func() {
			_, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
			oneOf(t, err, models.Conflict)
		}
		together(slices.Repeat([]func(){create}, 16)...)
		if rows := rowsOf(t, db, "SELECT COUNT(*) AS n FROM api_tokens"); rows[0] != "n=1000 " {
			t.Errorf("got %q", rows)
		}
	})
}

// A sign-in that checked the old password before it was changed must not make a session after.
func TestSetPasswordRacingSignIn(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		ada := makeUser(t, store, admin, "ada")
		old, next := models.NewSecret(password), models.NewSecret("another horse entirely")
		raced := 0
		for round := range rounds(6) {
			var mu sync.Mutex
			secrets := []models.Secret{}
			enter := func() {
				_, _, secret, err := store.SignIn(ctx, "ada", old, "192.0.2.1", "test")
				if oneOf(t, err, models.Unauthorized); err == nil {
					mu.Lock()
					defer mu.Unlock()
					secrets = append(secrets, secret)
				}
			}
			change := func() {
				if round%2 == 0 {
					oneOf(t, store.SetPassword(ctx, again(ada), old, next))
				} else {
					oneOf(t, store.SetUserPassword(ctx, again(admin), ada.UserID, next))
				}
			}
			together(enter, enter, enter, change, enter, enter)
			raced += len(secrets)
			for _, s := range secrets {
				_, err := store.Authenticate(ctx, s, "")
				wantCode(t, err, models.Unauthorized)
			}
			_, _, secret, err := store.SignIn(ctx, "ada", next, "192.0.2.1", "test")
			if err != nil {
				t.Fatal(err)
			}
			left := rowsOf(t, rawDB(t, url), "SELECT id FROM sessions WHERE user_id = ?", ada.UserID)
			if want := 2 - round%2; len(left) != want { // the new one, and the one that changed its own password
				t.Errorf("round %d: %d sessions are left, want %d", round, len(left), want)
			}
			ada, old, next = authenticate(t, store, secret), next, old
			if err := store.SetUserPassword(ctx, again(admin), ada.UserID, old); err != nil { // leaves no session
				t.Fatal(err)
			}
			if _, _, secret, err = store.SignIn(ctx, "ada", old, "192.0.2.1", "test"); err != nil {
				t.Fatal(err)
			}
			ada = authenticate(t, store, secret)
		}
		t.Logf("%d sign-ins came before the change", raced)
	})
}

// Of many callers who ask for the same value one changes it; the others change nothing and tell nobody.
func TestSameValueChanges(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		token, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
		if err != nil {
			t.Fatal(err)
		}
		for round := range rounds(10) {
			on := round%2 == 1
			before := len(allEvents(t, store, admin.UserID))
			set := func() {
				got, err := store.SetTokenEnabled(t.Context(), again(admin), token.ID, on, models.ChangeOptions{})
				if err != nil || got.Enabled != on || got.Version != int64(2*round+2) && got.Version != int64(2*round+3) {
					t.Errorf("got %+v, %v", got, err)
				}
			}
			grant := func() {
				got, err := store.UpdateTokenPermissions(t.Context(), again(admin), token.ID, models.Grants{models.PermissionVerify: on}, models.ChangeOptions{})
				if err != nil || got.Permissions[models.PermissionVerify] != on {
					t.Errorf("got %+v, %v", got, err)
				}
			}
			together(set, set, set, set, grant, grant, grant, grant)
			if got := len(allEvents(t, store, admin.UserID)) - before; got != 2 {
				t.Fatalf("round %d: %d events, want one for each value", round, got)
			}
		}
	})
}
