package models_test

import (
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestIdentify: who is asked about again is who he is by now, or nobody: as if he showed his credential again.
func TestIdentify(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		made := func() (*models.Token, models.Secret, *models.Identity) {
			t.Helper()
			token, secret, err := store.CreateToken(ctx, admin, "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
			if err != nil {
				t.Fatal(err)
			}
			return token, secret, authenticate(t, store, secret).Identity
		}
		same := func(what string, id *models.Identity) {
			t.Helper()
			if now, err := store.Identify(ctx, id); err != nil || now.UserID != id.UserID || now.Username != id.Username || now.Credential != id.Credential {
				t.Errorf("%s: %+v, %v", what, now, err)
			}
		}
		nobody := func(what string, id *models.Identity) {
			t.Helper()
			if now, err := store.Identify(ctx, id); now != nil {
				t.Errorf("%s: %+v", what, now)
			} else {
				wantCode(t, err, models.Unauthorized)
			}
		}
		token, _, id := made()
		same("a token", id)
		same("a session", admin.Identity)
		if _, err := store.SetTokenPermissions(ctx, admin, token.ID, models.Grants{}, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		if now, err := store.Identify(ctx, id); err != nil || len(now.Permissions) != 0 {
			t.Errorf("with what it held before: %+v, %v", now, err)
		}
		if _, _, err := store.RotateToken(ctx, admin, token.ID, models.RotateOptions{Overlap: 60}); err != nil {
			t.Fatal(err)
		}
		if now, err := store.Identify(ctx, id); err != nil || now.SecretUntil == nil || now.SecretNumber != id.SecretNumber {
			t.Errorf("by a secret that goes on for a while: %+v, %v", now, err)
		}
		if _, _, err := store.RotateToken(ctx, admin, token.ID, models.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
		nobody("by a secret that is over", id)
		for range 2 {
			if _, _, err := store.RotateToken(ctx, admin, token.ID, models.RotateOptions{Overlap: 60}); err != nil {
				t.Fatal(err)
			}
		}
		nobody("by a secret before that", id)
		token, _, id = made()
		if _, _, err := store.RotateToken(ctx, admin, token.ID, models.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
		nobody("by a secret that was replaced", id)
		token, _, id = made()
		if _, err := store.SetTokenEnabled(ctx, admin, token.ID, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		nobody("a token that is off", id)
		token, _, id = made()
		if err := store.DeleteToken(ctx, admin, token.ID); err != nil {
			t.Fatal(err)
		}
		nobody("a token that is gone", id)
		token, _, id = made()
		elsewhere, err := models.ParseAddresses([]string{"192.0.2.7"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.UpdateToken(ctx, admin, token.ID, models.TokenChanges{AllowedIPs: models.Optional[models.Addresses]{Given: true, Value: &elsewhere}}); err != nil {
			t.Fatal(err)
		}
		nobody("a token that is not good from there", id)
		if err := store.SignOut(ctx, admin); err != nil {
			t.Fatal(err)
		}
		nobody("a session that is over", admin.Identity)
	})
}
