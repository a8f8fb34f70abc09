package models_test

import (
	"slices"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

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
					_, err := store.UpdateToken(ctx, again(ada), kept.ID, models.TokenChanges{Name: given(models.NewChangeID())})
					oneOf(t, err)
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
		deletedWhileGranted(t, store, url, admin, ada, kept.ID, id)
	})
}

// deletedWhileGranted is the same with a permission that leaves the catalogue and comes back.
func deletedWhileGranted(t *testing.T, store *models.Store, url string, admin, ada models.Actor, tokenID, id string) {
	t.Helper()
	ctx := t.Context()
	for range rounds(10) {
		together(
			func() { oneOf(t, store.DeletePermission(ctx, again(admin), id)) },
			func() {
				_, err := store.SetTokenPermissions(ctx, again(ada), tokenID, models.Grants{id: true}, models.ChangeOptions{})
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
}

// effectiveBy returns what a token effectively has by an event, if the event tells that.
func effectiveBy(t *testing.T, e models.Event) (permissions []string, ok bool) {
	t.Helper()
	switch e.Method {
	case models.TokenPermissionsChanged:
		var p models.TokenPermissionsChangedParams
		if err := e.Decode(&p); err != nil {
			t.Fatal(err)
		}
		return p.EffectivePermissions, true
	case models.TokenCreated, models.TokenUpdated: // whose params are alike
		var p models.TokenCreatedParams
		if err := e.Decode(&p); err != nil {
			t.Fatal(err)
		}
		return p.Token.EffectivePermissions, true
	}
	return nil, false
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
		if e.Method == models.SessionPermissionsChanged {
			var p models.SessionPermissionsChangedParams
			if err := e.Decode(&p); err != nil {
				t.Fatal(err)
			}
			held, known = p.Permissions, true
		}
		effective, ok := effectiveBy(t, e)
		if !ok {
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

// Taking away is always allowed, also what one needs for the taking itself. Whoever has lost it before is refused.
func TestTakingFromOneself(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		boss := needing(makeUser(t, store, admin, "boss", models.PermissionAdmin, models.PermissionManage), models.PermissionAdmin)
		token, secret, err := store.CreateToken(ctx, again(boss), "self", models.CreateTokenOptions{
			Permissions: models.Grants{models.PermissionAdmin: true, models.PermissionManage: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		if _, err := store.UpdateTokenPermissions(ctx, needing(again(byToken), models.PermissionManage), token.ID, models.Grants{models.PermissionManage: false}, models.ChangeOptions{}); err != nil {
			t.Error("a token takes tokens:manage from itself:", err)
		}
		_, err = store.UpdateTokenPermissions(ctx, needing(again(byToken), models.PermissionManage), token.ID, models.Grants{models.PermissionAdmin: false}, models.ChangeOptions{})
		wantCode(t, err, models.Forbidden)

		if _, err := store.UpdateUserPermissions(ctx, needing(again(byToken), models.PermissionAdmin), boss.UserID, models.Grants{models.PermissionAdmin: false}); err != nil {
			t.Error("an administrator takes admin from himself:", err)
		}
		_, err = store.UpdateUserPermissions(ctx, needing(again(boss), models.PermissionAdmin), boss.UserID, models.Grants{models.PermissionManage: false})
		wantCode(t, err, models.Forbidden)
		_, err = store.UpdateUserPermissions(ctx, needing(again(admin), models.PermissionAdmin), admin.UserID, models.Grants{models.PermissionAdmin: false})
		wantCode(t, err, models.Conflict)
	})
}

// needing is the actor as the door lets him in to a method that takes a permission.
func needing(by models.Actor, permission string) models.Actor {
	by.Needs = permission
	return by
}
