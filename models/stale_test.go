package models_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// lateChanges are changes of boss, an administrator, by one of his credentials: those that make no event, those that would
// bring the credential back, those that end it themselves, and one like any other.
func lateChanges(ctx context.Context, store *models.Store, boss models.Actor, tokenID, eve string) map[string]func(by models.Actor) error {
	return map[string]func(by models.Actor) error{
		"create a token": func(by models.Actor) error {
			return third(store.CreateToken(ctx, by, "late", models.CreateTokenOptions{}))
		},
		"delete a permission": func(by models.Actor) error { return store.DeletePermission(ctx, by, "unheld") },
		"enable a user":       func(by models.Actor) error { return second(store.SetUserEnabled(ctx, by, eve, true)) },
		"enable himself":      func(by models.Actor) error { return second(store.SetUserEnabled(ctx, by, boss.UserID, true)) },
		"enable his token": func(by models.Actor) error {
			return second(store.SetTokenEnabled(ctx, by, tokenID, true, models.ChangeOptions{}))
		},
		"rename his token": func(by models.Actor) error {
			return second(store.UpdateToken(ctx, by, tokenID, models.TokenChanges{Name: given("late")}))
		},
		"let his token in from anywhere": func(by models.Actor) error {
			return second(store.UpdateToken(ctx, by, tokenID, models.TokenChanges{AllowedIPs: null[models.Addresses]()}))
		},
		"shut his token out": func(by models.Actor) error {
			return second(store.UpdateToken(ctx, by, tokenID, models.TokenChanges{AllowedIPs: given(models.Addresses{netip.MustParsePrefix("203.0.113.1/32")})}))
		},
		"rotate his token": func(by models.Actor) error {
			return third(store.RotateToken(ctx, by, tokenID, models.RotateOptions{}))
		},
		"rotate his token, with an overlap": func(by models.Actor) error {
			return third(store.RotateToken(ctx, by, tokenID, models.RotateOptions{Overlap: 60}))
		},
		"disable his token": func(by models.Actor) error {
			return second(store.SetTokenEnabled(ctx, by, tokenID, false, models.ChangeOptions{}))
		},
		"delete his token": func(by models.Actor) error { return store.DeleteToken(ctx, by, tokenID) },
		"set another's password": func(by models.Actor) error {
			return store.SetUserPassword(ctx, by, eve, models.NewSecret("late password"))
		},
		"set his password": func(by models.Actor) error {
			return store.SetPassword(ctx, by, models.NewSecret(password), models.NewSecret("late password"))
		},
		"disable himself": func(by models.Actor) error { return second(store.SetUserEnabled(ctx, by, boss.UserID, false)) },
		"delete himself":  func(by models.Actor) error { return store.DeleteUser(ctx, by, boss.UserID) },
		"sign out":        func(by models.Actor) error { return store.SignOut(ctx, by) },
	}
}

func third[T, U any](_ T, _ U, err error) error { return err }

// A call that came in before its credential ended and is only now carried out changes nothing, whatever it is.
func TestNothingByAnEndedCredential(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		boss := makeUser(t, store, admin, "boss", models.PermissionAdmin, models.PermissionManage)
		eve := makeUser(t, store, admin, "eve").UserID
		token, secret, err := store.CreateToken(ctx, again(boss), "x", models.CreateTokenOptions{
			Permissions: models.Grants{models.PermissionAdmin: true, models.PermissionManage: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		byToken, bySession := authenticate(t, store, secret), signIn(t, store, "boss")
		if _, err := store.CreatePermission(ctx, again(admin), "unheld", models.CreatePermissionOptions{}); err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(second(store.UpdateUserPermissions(ctx, again(admin), admin.UserID, models.Grants{"unheld": false})))
		must(second(store.SetUserEnabled(ctx, again(admin), eve, false)))
		refuses := func(by models.Actor) {
			t.Helper()
			for name, change := range lateChanges(ctx, store, boss, token.ID, eve) {
				before := dump(t, url)
				if err := change(again(by)); err == nil {
					t.Errorf("%s: done by a credential that has ended", name)
				} else {
					oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden)
				}
				sameDump(t, name, before, dump(t, url))
			}
		}
		must(second(store.SetTokenEnabled(ctx, again(boss), token.ID, false, models.ChangeOptions{})))
		refuses(byToken)
		must(second(store.SetTokenEnabled(ctx, again(boss), token.ID, true, models.ChangeOptions{})))
		must(store.DeleteSession(ctx, again(admin), bySession.Credential.ID))
		refuses(bySession)
		must(second(store.SetUserEnabled(ctx, again(admin), boss.UserID, false)))
		refuses(byToken)
		refuses(boss)
	})
}

// A token that has expired makes nothing, and least of all what outlives it.
func TestNothingByAnExpiredToken(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.Now()
		store := openKeyed(t, url, models.Options{Now: func() time.Time { return now }, Key: models.KeySource{File: t.TempDir() + "/key"}})
		_, err := store.Bootstrap(t.Context(), models.NewSecret(password))
		if err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		expires := models.TimeOf(now.Add(time.Minute))
		_, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{
			Permissions: models.Grants{models.PermissionManage: true}, ExpiresAt: &expires,
		})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		for _, moment := range []struct {
			at   time.Time
			want error
		}{{expires.Std().Add(-time.Millisecond), nil}, {expires.Std(), models.ErrUnauthorized}} {
			now = moment.at
			if err := third(store.CreateToken(t.Context(), again(byToken), "late", models.CreateTokenOptions{})); !errors.Is(err, moment.want) {
				t.Errorf("%v after it expired: %v", now.Sub(expires.Std()), err)
			}
		}
	})
}

// A token gives nobody what it does not hold, also not by switching on another token that does.
func TestNoTokenEnablesMoreThanItHolds(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		make := func(permissions ...string) (id string, by models.Actor) {
			t.Helper()
			grants := models.Grants{}
			for _, p := range permissions {
				grants[p] = true
			}
			token, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{Permissions: grants})
			if err != nil {
				t.Fatal(err)
			}
			return token.ID, authenticate(t, store, secret)
		}
		_, narrow := make(models.PermissionManage)
		_, wide := make(models.PermissionManage, models.PermissionAdmin)
		off, _ := make(models.PermissionAdmin)
		enable := func(by models.Actor, on bool) error {
			return second(store.SetTokenEnabled(t.Context(), again(by), off, on, models.ChangeOptions{}))
		}
		if err := enable(narrow, false); err != nil { // taking away is always allowed
			t.Fatal(err)
		}
		wantCode(t, enable(narrow, true), models.Forbidden)
		for _, by := range []models.Actor{wide, admin} {
			if err := errors.Join(enable(by, true), enable(by, false)); err != nil {
				t.Error(err)
			}
		}
	})
}
