package models_test

import (
	"context"
	"slices"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// callsOfToken are the methods of the store that take the id of a token. version is the one that the token has.
func callsOfToken(ctx context.Context, store *models.Store, version int64) map[string]func(by models.Actor, id string) error {
	wrong := version + 1
	return map[string]func(by models.Actor, id string) error{
		"DeleteToken": func(by models.Actor, id string) error { return store.DeleteToken(ctx, by, id) },
		"SetTokenEnabled": func(by models.Actor, id string) error {
			_, err := store.SetTokenEnabled(ctx, by, id, false, models.ChangeOptions{})
			return err
		},
		"SetTokenEnabled to what it is": func(by models.Actor, id string) error {
			_, err := store.SetTokenEnabled(ctx, by, id, true, models.ChangeOptions{})
			return err
		},
		"SetTokenEnabled with an old version": func(by models.Actor, id string) error { // a 409 would tell that it exists
			_, err := store.SetTokenEnabled(ctx, by, id, false, models.ChangeOptions{Version: &wrong})
			return err
		},
		"SetTokenPermissions": func(by models.Actor, id string) error {
			_, err := store.SetTokenPermissions(ctx, by, id, models.Grants{}, models.ChangeOptions{})
			return err
		},
		"SetTokenPermissions of an unknown one": func(by models.Actor, id string) error { // so would -32602
			_, err := store.SetTokenPermissions(ctx, by, id, models.Grants{"unknown": true}, models.ChangeOptions{})
			return err
		},
		"UpdateTokenPermissions": func(by models.Actor, id string) error {
			_, err := store.UpdateTokenPermissions(ctx, by, id, models.Grants{models.PermissionManage: false}, models.ChangeOptions{Version: &version})
			return err
		},
		"UpdateTokenPermissions of one not held": func(by models.Actor, id string) error { // and 403
			_, err := store.UpdateTokenPermissions(ctx, by, id, models.Grants{models.PermissionAdmin: true}, models.ChangeOptions{})
			return err
		},
		"UpdateToken": func(by models.Actor, id string) error {
			_, err := store.UpdateToken(ctx, by, id, models.TokenChanges{Name: given("theirs"), AllowedIPs: null[models.Addresses](), Version: &version})
			return err
		},
		"UpdateToken to what it is": func(by models.Actor, id string) error {
			_, err := store.UpdateToken(ctx, by, id, models.TokenChanges{})
			return err
		},
		"UpdateToken with an old version": func(by models.Actor, id string) error {
			_, err := store.UpdateToken(ctx, by, id, models.TokenChanges{Version: &wrong})
			return err
		},
		"RotateToken": func(by models.Actor, id string) error {
			return third(store.RotateToken(ctx, by, id, models.RotateOptions{}))
		},
		"RotateToken with an old version": func(by models.Actor, id string) error {
			return third(store.RotateToken(ctx, by, id, models.RotateOptions{Version: &wrong}))
		},
		"GetTokenPermissions": func(by models.Actor, id string) error {
			_, err := store.GetTokenPermissions(ctx, by.Identity, id)
			return err
		},
		"CheckToken": func(by models.Actor, id string) error { return store.CheckToken(ctx, by.Identity, id) },
		"ReadUsage": func(by models.Actor, id string) error {
			_, err := store.ReadUsage(ctx, by.Identity, id, models.UsageOptions{})
			return err
		},
		"ReadTokens": func(by models.Actor, id string) error {
			_, err := store.ReadTokens(ctx, by.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &id}})
			return err
		},
	}
}

// Every method of the store that takes the id of a token or session, called by somebody else and for nothing at all,
// gives the same NotFound and changes nothing.
func TestOwnership(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		ada := makeUser(t, store, admin, "ada", models.PermissionManage)
		eve := makeUser(t, store, admin, "eve", models.PermissionManage, models.PermissionVerify)
		token, secret, err := store.CreateToken(ctx, again(ada), "hers", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		evesToken, evesSecret, err := store.CreateToken(ctx, again(eve), "his", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		bySession := map[string]func(by models.Actor, id string) error{
			"DeleteSession": func(by models.Actor, id string) error { return store.DeleteSession(ctx, by, id) },
		}
		callers := map[string]models.Actor{"eve": eve, "eve's token": authenticate(t, store, evesSecret), "admin": admin}
		if err := store.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
		before := dump(t, url)
		for who, caller := range callers {
			try := func(method string, call func(models.Actor, string) error, id string) {
				theirs, nobodys := call(again(caller), id), call(again(caller), "0000000000000000000z")
				wantCode(t, theirs, models.NotFound)
				if theirs == nil || nobodys == nil || theirs.Error() != nobodys.Error() {
					t.Errorf("%s by %s: %v for another's, %v for what does not exist", method, who, theirs, nobodys)
				}
				sameDump(t, method+" by "+who, before, dump(t, url))
			}
			for method, call := range callsOfToken(ctx, store, token.Version) {
				try(method, call, token.ID)
			}
			for method, call := range bySession {
				if who != "admin" {
					try(method, call, ada.Credential.ID)
				}
			}
		}
		// The same calls work for her: they did not fail for another reason.
		if _, err := store.GetTokenPermissions(ctx, ada.Identity, token.ID); err != nil || store.CheckToken(ctx, ada.Identity, token.ID) != nil {
			t.Error(err)
		}
		if _, err := store.SetTokenEnabled(ctx, authenticate(t, store, secret), token.ID, false, models.ChangeOptions{Version: &token.Version}); err != nil {
			t.Error(err)
		}
		if err := store.DeleteSession(ctx, again(admin), ada.Credential.ID); err != nil { // which an administrator may
			t.Error(err)
		}
		read, err := store.ReadTokens(ctx, eve.Identity, models.TokensOptions{})
		if err != nil || len(read.Tokens) != 1 || read.Tokens[0].ID != evesToken.ID {
			t.Errorf("got %+v, %v", read, err)
		}
		events, err := store.ReadEvents(ctx, eve.Identity, models.EventsOptions{})
		if err != nil || slices.ContainsFunc(events.Events, func(e *models.Event) bool { return e.TokenID == token.ID || e.UserID != eve.UserID }) {
			t.Errorf("got %+v, %v", events, err)
		}
	})
}

// callsOfAdministrators are the methods for administrators. session is somebody's.
func callsOfAdministrators(ctx context.Context, store *models.Store, session string) map[string]func(by models.Actor, id string) error {
	return map[string]func(by models.Actor, id string) error{
		"CreateUser": func(by models.Actor, id string) error {
			_, err := store.CreateUser(ctx, by, "bob", models.CreateUserOptions{})
			return err
		},
		"DeleteUser": func(by models.Actor, id string) error { return store.DeleteUser(ctx, by, id) },
		"SetUserEnabled": func(by models.Actor, id string) error {
			_, err := store.SetUserEnabled(ctx, by, id, false)
			return err
		},
		"SetUserPassword": func(by models.Actor, id string) error {
			return store.SetUserPassword(ctx, by, id, models.NewSecret("long enough"))
		},
		"SetUserPermissions": func(by models.Actor, id string) error {
			_, err := store.SetUserPermissions(ctx, by, id, models.Grants{})
			return err
		},
		"UpdateUserPermissions": func(by models.Actor, id string) error {
			_, err := store.UpdateUserPermissions(ctx, by, id, models.Grants{models.PermissionManage: true})
			return err
		},
		"CreatePermission": func(by models.Actor, id string) error {
			_, err := store.CreatePermission(ctx, by, "reports:write", models.CreatePermissionOptions{})
			return err
		},
		"DeletePermission": func(by models.Actor, id string) error { return store.DeletePermission(ctx, by, "reports:read") },
		"DeleteSession of another": func(by models.Actor, id string) error {
			return store.DeleteSession(ctx, by, session)
		},
	}
}

// Every method for administrators refuses everybody else, and changes nothing.
func TestAdministrationNeedsAdmin(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		ada := makeUser(t, store, admin, "ada")
		eve := makeUser(t, store, admin, "eve", models.PermissionManage)
		_, secret, err := store.CreateToken(ctx, again(admin), "not for administration", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.CreatePermission(ctx, again(admin), "reports:read", models.CreatePermissionOptions{}); err != nil {
			t.Fatal(err)
		}
		// An identity is what was known when it was made; the transaction must see what is.
		stripped := makeUser(t, store, admin, "stripped", models.PermissionAdmin)
		if _, err := store.SetUserPermissions(ctx, again(admin), stripped.UserID, nil); err != nil {
			t.Fatal(err)
		}
		callers := map[string]models.Actor{"eve": eve, "the administrator's token": authenticate(t, store, secret), "a former administrator": stripped}
		methods := callsOfAdministrators(ctx, store, ada.Credential.ID)
		if err := store.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
		before := dump(t, url)
		for who, caller := range callers {
			for method, call := range methods {
				want := models.Forbidden
				if method == "DeleteSession of another" && who != "a former administrator" {
					want = models.NotFound
				}
				for _, id := range []string{ada.UserID, caller.UserID, admin.UserID, "nobody"} {
					wantCode(t, call(again(caller), id), want)
				}
				sameDump(t, method+" by "+who, before, dump(t, url))
			}
		}
	})
}
