package models_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

const password = "correct horse"

// open opens a store with an administrator on a fresh database, and returns it with the administrator signed in.
func open(t *testing.T, url string) (*models.Store, models.Actor) {
	t.Helper()
	store, err := models.Open(t.Context(), url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if made, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil || !made {
		t.Fatal(made, err)
	}
	return store, signIn(t, store, "admin")
}

func signIn(t *testing.T, store *models.Store, username string) models.Actor {
	t.Helper()
	_, _, secret, err := store.SignIn(t.Context(), username, models.NewSecret(password), "192.0.2.1", "test")
	if err != nil {
		t.Fatal(err)
	}
	return authenticate(t, store, secret)
}

func authenticate(t *testing.T, store *models.Store, secret models.Secret) models.Actor {
	t.Helper()
	identity, err := store.Authenticate(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	return models.Actor{Identity: identity, ChangeID: models.NewChangeID()}
}

func wantCode(t *testing.T, err error, code models.Code) {
	t.Helper()
	var refused *models.Error
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("got %v, want an error of code %d", err, code)
	}
}

func TestTokenLife(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := context.Background()
		token, secret, err := store.CreateToken(ctx, admin, "  ci  ", models.CreateTokenOptions{Permissions: map[string]bool{"tokens:manage": true, "admin": false}})
		if err != nil {
			t.Fatal(err)
		}
		if token.Name != "ci" || !token.Enabled || token.Version != 1 || len(token.EffectivePermissions) != 1 {
			t.Errorf("got %+v", token)
		}
		caller := authenticate(t, store, secret)
		if !caller.Has("tokens:manage") || caller.Has("admin") {
			t.Errorf("got %v", caller.Permissions)
		}
		if _, err = store.SetTokenPermissions(ctx, caller, token.ID, map[string]bool{"admin": true}, models.ChangeOptions{}); true {
			wantCode(t, err, models.Forbidden)
		}
		off, err := store.SetTokenEnabled(ctx, admin, token.ID, false, models.ChangeOptions{})
		if err != nil || off.Enabled || off.Version != 2 {
			t.Errorf("got %+v, %v", off, err)
		}
		_, err = store.Authenticate(ctx, secret, "")
		wantCode(t, err, models.Unauthorized)
		read, err := store.ReadTokens(ctx, admin.Identity, models.TokensOptions{})
		if err != nil || len(read.Tokens) != 1 || read.Position.Number != 3 {
			t.Errorf("got %+v, %v", read, err)
		}
		if err := store.DeleteToken(ctx, admin, token.ID); err != nil {
			t.Error(err)
		}
		wantCode(t, store.DeleteToken(ctx, admin, token.ID), models.NotFound)
		events, err := store.ReadEvents(ctx, admin.Identity, models.EventsOptions{})
		if err != nil || len(events.Events) != 3 || events.Next != nil {
			t.Errorf("got %+v, %v", events, err)
		}
	})
}
