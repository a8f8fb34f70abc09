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

// An administrator takes a permission away and gives it back while its owner grants it to tokens. Whatever the order,
// the feed never tells of a token that has effectively what its owner, by the same feed, does not hold, and tells last
// what is stored.
func TestGrantsRacingStrips(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		const id = "reports:read"
		if _, err := store.CreatePermission(ctx, again(admin), id, models.CreatePermissionOptions{}); err != nil {
			t.Fatal(err)
		}
		ada := makeUser(t, store, admin, "ada", id, models.PermissionManage)
		kept, _, err := store.CreateToken(ctx, again(ada), "kept", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range rounds(40) {
			together(
				func() {
					_, err := store.UpdateUserPermissions(ctx, again(admin), ada.UserID, models.Grants{id: false})
					oneOf(t, err)
				},
				func() {
					_, err := store.SetTokenPermissions(ctx, again(ada), kept.ID, models.Grants{id: true}, models.ChangeOptions{})
					oneOf(t, err, models.Forbidden)
				},
				func() {
					_, _, err := store.CreateToken(ctx, again(ada), "made", models.CreateTokenOptions{Permissions: models.Grants{id: true}})
					oneOf(t, err, models.Forbidden)
				},
			)
			checkGrants(t, store, ada)
			_, err := store.SetTokenPermissions(ctx, again(ada), kept.ID, models.Grants{id: true}, models.ChangeOptions{})
			wantCode(t, err, models.Forbidden)
			together(
				func() {
					_, err := store.UpdateUserPermissions(ctx, again(admin), ada.UserID, models.Grants{id: true})
					oneOf(t, err)
				},
				func() {
					_, err := store.SetTokenPermissions(ctx, again(ada), kept.ID, models.Grants{models.PermissionManage: true}, models.ChangeOptions{})
					oneOf(t, err)
				},
			)
			checkGrants(t, store, ada)
			if t.Failed() {
				return
			}
		}
		// The same with a permission that leaves the catalogue and comes back.
		for range rounds(10) {
			together(
				func() { oneOf(t, store.DeletePermission(ctx, again(admin), id)) },
				func() {
					_, err := store.SetTokenPermissions(ctx, again(ada), kept.ID, models.Grants{id: true}, models.ChangeOptions{})
					oneOf(t, err, models.Forbidden, models.Invalid)
				},
			)
			checkGrants(t, store, ada)
			if rows := rowsOf(t, rawDB(t, url), "SELECT * FROM api_token_permissions WHERE permission_id = ?", id); len(rows) > 0 {
				t.Fatalf("a deleted permission is still given: %q", rows)
			}
			if _, err := store.CreatePermission(ctx, again(admin), id, models.CreatePermissionOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := store.UpdateUserPermissions(ctx, again(admin), ada.UserID, models.Grants{id: true}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkGrants goes through a user's feed and holds it against itself and against what is stored.
func checkGrants(t *testing.T, store *models.Store, who models.Actor) {
	t.Helper()
	info, err := store.GetUserPermissions(t.Context(), who.UserID)
	if err != nil {
		t.Fatal(err)
	}
	held := models.PermissionSet{}
	known := false
	told := map[string][]string{}
	for _, e := range allEvents(t, store, who.UserID) {
		var effective []string
		switch e.Method {
		case models.SessionPermissionsChanged:
			var p models.SessionPermissionsChangedParams
			if err := e.Decode(&p); err != nil {
				t.Fatal(err)
			}
			held, known = p.Permissions, true
			continue
		case models.TokenPermissionsChanged:
			var p models.TokenPermissionsChangedParams
			if err := e.Decode(&p); err != nil {
				t.Fatal(err)
			}
			effective = p.EffectivePermissions
		case models.TokenCreated:
			var p models.TokenCreatedParams
			if err := e.Decode(&p); err != nil {
				t.Fatal(err)
			}
			effective = p.Token.EffectivePermissions
		default:
			continue
		}
		told[e.TokenID] = effective
		for _, id := range effective {
			if known && !held[id] {
				t.Errorf("position %d: token %s effectively has %s, its owner had only %v", e.Position, e.TokenID, id, held)
			}
		}
	}
	for _, p := range info {
		if known && p.Enabled != held[p.ID] {
			t.Errorf("the feed says last that the user holds %v; %s is %v", held, p.ID, p.Enabled)
		}
	}
	limit := 100
	read, err := store.ReadTokens(t.Context(), who.Identity, models.TokensOptions{ListOptions: models.ListOptions{Limit: &limit}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range read.Tokens {
		if !slices.Equal(token.EffectivePermissions, told[token.ID]) {
			t.Errorf("token %s effectively has %v; the feed says last %v", token.ID, token.EffectivePermissions, told[token.ID])
		}
		for _, id := range token.EffectivePermissions {
			if known && !held[id] {
				t.Errorf("token %s effectively has %s, which its owner does not hold", token.ID, id)
			}
		}
	}
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
				together(
					func() { errs[0] = way(first, second.UserID) },
					func() { errs[1] = way(second, first.UserID) },
					func() { errs[2] = way(first, first.UserID) },
					func() { errs[3] = way(second, second.UserID) },
				)
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
				_, err := store.Authenticate(ctx, s)
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
