package models_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// openAt opens a store with an administrator whose clock stands still until set sets it.
func openAt(t *testing.T, url string, now time.Time) (store *models.Store, admin models.Actor, set func(time.Time)) {
	t.Helper()
	var clock atomic.Int64
	set = func(now time.Time) { clock.Store(now.UnixMilli()) }
	set(now)
	store = openKeyed(t, url, models.Options{
		Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}, Now: func() time.Time { return time.UnixMilli(clock.Load()) },
	})
	if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	return store, signIn(t, store, "admin"), set
}

// newToken makes a token that may expire, and may be off.
func newToken(t testing.TB, store *models.Store, by models.Actor, expires *models.Time, enabled bool) *models.Token {
	t.Helper()
	token, _, err := store.CreateToken(t.Context(), again(by), "x", models.CreateTokenOptions{ExpiresAt: expires})
	if err == nil && !enabled {
		token, err = store.SetTokenEnabled(t.Context(), again(by), token.ID, false, models.ChangeOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestCountTokens(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		began := time.Date(2027, 5, 1, 12, 0, 0, 0, time.UTC)
		store, admin, set := openAt(t, url, began)
		ada := makeUser(t, store, admin, "ada")
		want := func(who models.Actor, want string) {
			t.Helper()
			got, err := store.CountTokens(t.Context(), who.Identity, models.CountOptions{})
			text := fmt.Sprintf("%d: %d on, %d off, %d expired, at %d", got.Total, got.Enabled, got.Disabled, got.Expired, got.Position.Number)
			if err != nil || text != want {
				t.Errorf("got %s, %v, want %s", text, err, want)
			}
			read, err := store.ReadTokens(t.Context(), who.Identity, models.TokensOptions{})
			if err != nil || read.Position != got.Position {
				t.Errorf("counted at %v and read at %v, %v", got.Position, read.Position, err)
			}
		}
		want(ada, "0: 0 on, 0 off, 0 expired, at 1")
		late, soon := models.TimeOf(began.Add(time.Hour)), models.TimeOf(began.Add(time.Minute))
		for range 3 {
			newToken(t, store, ada, nil, true)
		}
		newToken(t, store, ada, nil, false)
		newToken(t, store, ada, &late, true)
		newToken(t, store, ada, &late, false)
		newToken(t, store, ada, &soon, true)
		newToken(t, store, ada, &soon, false)
		newToken(t, store, admin, &soon, true)
		want(ada, "8: 5 on, 3 off, 0 expired, at 12")
		want(admin, "1: 1 on, 0 off, 0 expired, at 2")
		// A credential is good until the millisecond that it expires at, and so it is counted.
		set(soon.Std().Add(-time.Millisecond))
		want(ada, "8: 5 on, 3 off, 0 expired, at 12")
		set(soon.Std())
		want(ada, "8: 4 on, 2 off, 2 expired, at 12")
		want(admin, "1: 0 on, 0 off, 1 expired, at 2")
		set(late.Std())
		want(ada, "8: 3 on, 1 off, 4 expired, at 12")

		yes, no := true, false
		for _, c := range []struct {
			where models.TokenWhere
			n     int64
		}{
			{models.TokenWhere{Expired: &yes}, 4}, {models.TokenWhere{Expired: &no}, 4}, {models.TokenWhere{Enabled: &yes}, 5},
			{models.TokenWhere{Enabled: &yes, Expired: &no}, 3}, {models.TokenWhere{Enabled: &no, Expired: &no}, 1},
			{models.TokenWhere{Enabled: &no, Expired: &yes}, 2}, {models.TokenWhere{Expired: &no, Name: &models.Match{Text: "y", Like: true}}, 0},
		} {
			got, err := store.CountTokens(t.Context(), ada.Identity, models.CountOptions{Where: c.where})
			if err != nil || got.Total != c.n || got.Enabled+got.Disabled+got.Expired != c.n {
				t.Errorf("%+v: counted %+v, %v, want %d", c.where, got, err, c.n)
			}
			read, err := store.ReadTokens(t.Context(), ada.Identity, models.TokensOptions{Where: c.where})
			if err != nil || int64(len(read.Tokens)) != c.n {
				t.Errorf("%+v: read %d, %v, want %d", c.where, len(read.Tokens), err, c.n)
			}
		}
	})
}

// counted is an EventCount as text: each hour with its changes, and from when.
func counted(t testing.TB, store *models.Store, who models.Actor) string {
	t.Helper()
	got, err := store.CountEvents(t.Context(), who.Identity)
	if err != nil || got.Hours == nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	var b strings.Builder
	for _, h := range got.Hours {
		fmt.Fprintf(&b, "%s %d, ", h.From, h.Changes)
	}
	return fmt.Sprintf("%sfrom %s, %v", b.String(), got.From, got.Complete)
}

func TestCountEvents(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin, set := openAt(t, url, time.Date(2027, 5, 1, 11, 30, 0, 0, time.UTC))
		ada := makeUser(t, store, admin, "ada", models.PermissionManage, models.PermissionVerify)
		want := func(who models.Actor, want string) {
			t.Helper()
			if got := counted(t, store, who); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		// What only nodes are told is not counted: where there is nothing, it is from now.
		want(ada, "from 2027-05-01T11:30:00.000Z, true")
		set(time.Date(2027, 5, 1, 12, 59, 59, 998e6, time.UTC))
		a := newToken(t, store, ada, nil, true)
		set(time.Date(2027, 5, 1, 12, 59, 59, 999e6, time.UTC))
		b := newToken(t, store, ada, nil, true)
		set(time.Date(2027, 5, 1, 13, 0, 0, 0, time.UTC))
		for _, grants := range []models.Grants{{models.PermissionVerify: true}, {models.PermissionManage: true}} {
			if _, err := store.SetTokenPermissions(t.Context(), again(ada), a.ID, grants, models.ChangeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		newToken(t, store, admin, nil, true)
		set(time.Date(2027, 5, 2, 0, 10, 0, 0, time.UTC))
		if err := store.DeleteToken(t.Context(), again(ada), b.ID); err != nil {
			t.Fatal(err)
		}
		want(ada, "2027-05-01T12:00:00.000Z 2, 2027-05-01T13:00:00.000Z 2, 2027-05-02T00:00:00.000Z 1, from 2027-05-01T12:59:59.998Z, true")
		want(admin, "2027-05-01T13:00:00.000Z 1, from 2027-05-01T13:00:00.000Z, true")
		// A token that hears of itself only counts that, and one with tokens:manage all.
		token := models.Actor{Identity: &models.Identity{UserID: ada.UserID, Credential: models.Credential{Kind: models.KindToken, ID: b.ID}}}
		want(token, "2027-05-01T12:00:00.000Z 1, 2027-05-02T00:00:00.000Z 1, from 2027-05-01T12:59:59.999Z, true")
		token.Credential.ID = a.ID
		want(token, "2027-05-01T12:00:00.000Z 1, 2027-05-01T13:00:00.000Z 2, from 2027-05-01T12:59:59.998Z, true")
		token.Identity = token.With(models.PermissionSet{models.PermissionManage: true})
		want(token, "2027-05-01T12:00:00.000Z 2, 2027-05-01T13:00:00.000Z 2, 2027-05-02T00:00:00.000Z 1, from 2027-05-01T12:59:59.998Z, true")
	})
}

// The clocks of several nodes differ, so that a later position may have an earlier time: hours are in order, and from is
// the earliest time, even so. Of a feed that is longer than what is looked at, the newest is.
func TestCountEventsOfManyNodesAndPositions(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		const last, bound = 25_000, 10_000 // the feed's last position, and how many are looked at
		now := time.Date(2027, 5, 1, 15, 0, 0, 0, time.UTC)
		store, admin, _ := openAt(t, url, now)
		ada := makeUser(t, store, admin, "ada")
		db := rawDB(t, url)
		at := func(hour, minute int) int64 { return time.Date(2027, 5, 1, hour, minute, 0, 0, time.UTC).UnixMilli() }
		add := func(position, time int64) {
			mustExec(t, db, "INSERT INTO events (user_id, position, change_id, method, token_id, time, params) VALUES (?, ?, 'aaaaaaaaaaaa', ?, 'x', ?, ?)",
				ada.UserID, position, models.TokenDeleted, time, []byte("{}"))
		}
		mustExec(t, db, "UPDATE feeds SET position = ? WHERE user_id = ?", last, ada.UserID)
		mustExec(t, db, "DELETE FROM events WHERE user_id = ?", ada.UserID)
		want := func(want string) {
			t.Helper()
			if got := counted(t, store, ada); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		want("from 2027-05-01T15:00:00.000Z, true") // all of it is past its time
		add(last-2, at(13, 7))
		add(last-1, at(12, 5))
		add(last, at(13, 3))
		want("2027-05-01T12:00:00.000Z 1, 2027-05-01T13:00:00.000Z 2, from 2027-05-01T12:05:00.000Z, true")
		add(last-bound+1, at(11, 59)) // the oldest that is looked at
		want("2027-05-01T11:00:00.000Z 1, 2027-05-01T12:00:00.000Z 1, 2027-05-01T13:00:00.000Z 2, from 2027-05-01T11:59:00.000Z, true")
		add(last-bound, at(11, 58))
		want("2027-05-01T11:00:00.000Z 1, 2027-05-01T12:00:00.000Z 1, 2027-05-01T13:00:00.000Z 2, from 2027-05-01T11:59:00.000Z, false")
		if got := counted(t, store, admin); got != "from 2027-05-01T15:00:00.000Z, true" { // whose feed is his own
			t.Errorf("got %s", got)
		}
	})
}
