package models_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// rotating is a token of an administrator, in a store whose time a test sets.
type rotating struct {
	t       *testing.T
	url     string
	now     time.Time
	store   *models.Store
	admin   models.Actor
	id      string
	secrets []models.Secret // the newest comes last
}

func newRotating(t *testing.T, url string, o models.CreateTokenOptions) *rotating {
	t.Helper()
	r := &rotating{t: t, url: url, now: time.Now()}
	r.store = openKeyed(t, url, models.Options{Now: func() time.Time { return r.now }, Key: models.KeySource{File: t.TempDir() + "/key"}})
	if _, err := r.store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	r.admin = signIn(t, r.store, "admin")
	token, secret, err := r.store.CreateToken(t.Context(), again(r.admin), "x", o)
	if err != nil {
		t.Fatal(err)
	}
	r.id, r.secrets = token.ID, []models.Secret{secret}
	return r
}

func (r *rotating) rotate(by models.Actor, overlap time.Duration) *models.Token {
	r.t.Helper()
	token, secret, err := r.store.RotateToken(r.t.Context(), again(by), r.id, models.RotateOptions{Overlap: int64(overlap / time.Second)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.secrets = append(r.secrets, secret)
	return token
}

// wantGood holds which of the secrets are good, the oldest first: "-" for one that is not.
func (r *rotating) wantGood(when, want string) {
	r.t.Helper()
	got := ""
	for _, s := range r.secrets {
		if _, err := r.store.Authenticate(r.t.Context(), s, ""); err == nil {
			got += "+"
		} else {
			got += "-"
		}
	}
	if got != want {
		r.t.Errorf("%s: the secrets are %s, want %s", when, got, want)
	}
}

func TestSecretsAfterRotation(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		r := newRotating(t, url, models.CreateTokenOptions{})
		r.wantGood("new", "+")
		token := r.rotate(r.admin, 0)
		if token.ID != r.id || token.Version != 2 || !strings.HasPrefix(r.secrets[1].Reveal(), token.Prefix+"_") || r.secrets[1].Reveal() == r.secrets[0].Reveal() {
			t.Errorf("got %+v", token)
		}
		r.wantGood("rotated", "-+")
		if token.PreviousUntil != nil {
			t.Errorf("the one before is said to be good until %v", token.PreviousUntil)
		}
		if token := r.rotate(r.admin, time.Minute); token.PreviousUntil == nil || *token.PreviousUntil != models.TimeOf(r.now.Add(time.Minute)) {
			t.Errorf("the one before is said to be good until %v", token.PreviousUntil)
		}
		r.wantGood("with an overlap", "-++")
		r.now = r.now.Add(time.Minute - time.Millisecond)
		r.wantGood("just before its end", "-++")
		r.now = r.now.Add(time.Millisecond)
		r.wantGood("at its end", "--+")
		r.rotate(r.admin, time.Minute)
		r.rotate(r.admin, time.Minute)
		r.wantGood("one old secret at a time", "---++")
		r.rotate(r.admin, 0)
		r.wantGood("at once", "-----+")
		if rows := rowsOf(t, rawDB(t, url), "SELECT secret_number, previous_hash, previous_until, version FROM api_tokens"); rows[0] != "secret_number=6 previous_hash=<nil> previous_until=<nil> version=6 " {
			t.Error(rows)
		}
		// Off, none is good; on again, those are that have not ended. Deleted, none is.
		r.rotate(r.admin, time.Minute)
		set := func(on bool) {
			if _, err := r.store.SetTokenEnabled(t.Context(), again(r.admin), r.id, on, models.ChangeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		set(false)
		r.wantGood("off", "-------")
		r.rotate(r.admin, time.Minute)
		r.wantGood("rotated while it is off", "--------")
		set(true)
		r.wantGood("on", "------++")
		if err := r.store.DeleteToken(t.Context(), again(r.admin), r.id); err != nil {
			t.Fatal(err)
		}
		r.wantGood("deleted", "--------")
		wantCode(t, third(r.store.RotateToken(t.Context(), again(r.admin), r.id, models.RotateOptions{})), models.NotFound)
	})
}

// An old secret is never good for longer than the token, wherever the token's end is moved.
func TestOverlapEndsWithTheToken(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		end := models.TimeOf(time.Now().Add(time.Hour))
		r := newRotating(t, url, models.CreateTokenOptions{ExpiresAt: &end})
		r.rotate(r.admin, 2*time.Hour)
		stored := rowsOf(t, rawDB(t, url), "SELECT previous_until - expires_at AS longer FROM api_tokens")
		if stored[0] != "longer=0 " {
			t.Errorf("the overlap goes on: %s", stored)
		}
		move := func(to models.Optional[models.Time]) {
			t.Helper()
			if _, err := r.store.UpdateToken(t.Context(), again(r.admin), r.id, models.TokenChanges{ExpiresAt: to}); err != nil {
				t.Fatal(err)
			}
		}
		move(given(models.TimeOf(r.now.Add(time.Minute))))
		r.wantGood("before the end", "++")
		r.now = r.now.Add(time.Minute)
		r.wantGood("at the end", "--")
		move(null[models.Time]()) // what was promised of the old secret stands
		r.wantGood("without an end", "++")
		r.now = end.Std()
		r.wantGood("at the end that it had", "-+")
		// A token past its end has nothing to hand over.
		move(given(models.TimeOf(r.now.Add(time.Second))))
		r.now = r.now.Add(time.Second)
		r.rotate(r.admin, time.Hour)
		move(null[models.Time]())
		r.wantGood("rotated when it had expired", "--+")
	})
}

// A call that came in by a secret that has ended, and is only now carried out, changes nothing. By one that has not it does.
func TestNothingByASecretThatHasEnded(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		r := newRotating(t, url, models.CreateTokenOptions{Permissions: models.Grants{models.PermissionAdmin: true, models.PermissionManage: true}})
		ctx := t.Context()
		eve := makeUser(t, r.store, r.admin, "eve").UserID
		makeUser(t, r.store, r.admin, "another", models.PermissionAdmin) // so that the one may go
		first := authenticate(t, r.store, r.secrets[0])
		first.Needs = models.PermissionManage
		rename := func(by models.Actor) error {
			return second(r.store.UpdateToken(ctx, again(by), r.id, models.TokenChanges{Name: given(models.NewChangeID())}))
		}
		refuses := func(when string, by models.Actor) {
			t.Helper()
			for name, change := range lateChanges(ctx, r.store, r.admin, r.id, eve) {
				before := dump(t, url)
				if err := change(again(by)); err == nil {
					t.Errorf("%s: %s: done by a secret that has ended", when, name)
				} else {
					oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden)
				}
				sameDump(t, when+": "+name, before, dump(t, url))
			}
		}
		r.rotate(r.admin, time.Minute)
		oneOf(t, rename(first))
		oneOf(t, rename(authenticate(t, r.store, r.secrets[0]))) // an identity of after the rotation
		r.now = r.now.Add(time.Minute)
		if err := r.store.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
		refuses("after the overlap", first)
		second := authenticate(t, r.store, r.secrets[1])
		oneOf(t, rename(second))
		r.rotate(r.admin, time.Minute)
		r.rotate(r.admin, time.Minute)
		if err := r.store.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
		refuses("rotated twice", second)
		oneOf(t, rename(authenticate(t, r.store, r.secrets[3])))
		r.rotate(authenticate(t, r.store, r.secrets[3]), 0) // by itself
		oneOf(t, rename(authenticate(t, r.store, r.secrets[4])))
	})
}

// Whoever rotates gets the secret. A token gets none of a token that is more than itself, and by a secret with an end none
// without.
func TestRotationLengthensNothing(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		r := newRotating(t, url, models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		ctx := t.Context()
		make := func(o models.CreateTokenOptions) (id string) {
			t.Helper()
			token, _, err := r.store.CreateToken(ctx, again(r.admin), "other", o)
			if err != nil {
				t.Fatal(err)
			}
			return token.ID
		}
		rotate := func(by models.Actor, id string, overlap int64) error {
			return third(r.store.RotateToken(ctx, again(by), id, models.RotateOptions{Overlap: overlap}))
		}
		ada := makeUser(t, r.store, r.admin, "ada", models.PermissionManage, models.PermissionVerify)
		token, secret, err := r.store.CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		verifying, _, err := r.store.CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
		if err != nil {
			t.Fatal(err)
		}
		adas := authenticate(t, r.store, secret)
		wantCode(t, rotate(adas, verifying.ID, 0), models.Forbidden)
		// What the other one was given has no effect while she does not hold it herself. It may again.
		if _, err := r.store.UpdateUserPermissions(ctx, again(r.admin), ada.UserID, models.Grants{models.PermissionVerify: false}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, rotate(adas, verifying.ID, 0), models.Forbidden)
		oneOf(t, rotate(ada, verifying.ID, 0))
		oneOf(t, rotate(adas, token.ID, 0))

		free, end := make(models.CreateTokenOptions{}), models.TimeOf(r.now.Add(time.Hour))
		brief := make(models.CreateTokenOptions{ExpiresAt: &end})
		manager := authenticate(t, r.store, r.secrets[0])
		oneOf(t, rotate(manager, free, 0))
		r.rotate(manager, time.Minute)
		wantCode(t, rotate(manager, r.id, 0), models.Forbidden) // by the old secret
		wantCode(t, rotate(manager, r.id, 60), models.Forbidden)
		wantCode(t, rotate(manager, brief, 0), models.Forbidden) // which outlives the old secret
		present := authenticate(t, r.store, r.secrets[1])
		oneOf(t, rotate(present, brief, 0))
		if _, err := r.store.UpdateToken(ctx, again(present), r.id, models.TokenChanges{ExpiresAt: given(end)}); err != nil {
			t.Fatal(err)
		}
		oneOf(t, rotate(present, brief, 0))
		wantCode(t, rotate(present, free, 0), models.Forbidden)
		if _, err := r.store.SetTokenEnabled(ctx, again(r.admin), r.id, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		wantCode(t, rotate(present, r.id, 60), models.Unauthorized)
	})
}

// Of many rotations at once each gives a secret, the numbers follow each other, and the last one's is good alone.
func TestRotationsAtOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		r := newRotating(t, url, models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		for range rounds(3) {
			var mu sync.Mutex
			var versions []int64
			newest := models.Secret{}
			one := func() {
				token, secret, err := r.store.RotateToken(t.Context(), again(r.admin), r.id, models.RotateOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if versions = append(versions, token.Version); len(versions) == 1 || token.Version > versions[0] {
					versions[0], versions[len(versions)-1] = token.Version, versions[0]
					newest = secret
				}
				r.secrets = append(r.secrets, secret)
			}
			byOld := authenticate(t, r.store, r.secrets[0])
			last := allEvents(t, r.store, r.admin.UserID)
			work := func() { changeUntilRefused(t, r.store, byOld) }
			r.secrets = r.secrets[:0]
			together(one, work, one, work, one)
			if n := changesAfter(t, r.store, byOld, last[len(last)-1].Position, models.TokenRotated); n != 0 {
				t.Errorf("%d changes by an old secret come after the rotation", n)
			}
			for _, s := range r.secrets {
				if _, err := r.store.Authenticate(t.Context(), s, ""); (err == nil) != (s.Reveal() == newest.Reveal()) {
					t.Errorf("a secret that is the newest: %v; %v", s.Reveal() == newest.Reveal(), err)
				}
			}
			r.secrets = []models.Secret{newest}
		}
		if rows := rowsOf(t, rawDB(t, url), "SELECT secret_number - version AS apart FROM api_tokens"); rows[0] != "apart=0 " {
			t.Error(rows)
		}
	})
}
