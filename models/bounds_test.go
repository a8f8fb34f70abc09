package models_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// given is a member that is given.
func given[T any](value T) models.Optional[T] { return models.Optional[T]{Given: true, Value: &value} }

// null is a member that is given as null.
func null[T any]() models.Optional[T] { return models.Optional[T]{Given: true} }

func addresses(t testing.TB, texts ...string) models.Addresses {
	t.Helper()
	set, err := models.ParseAddresses(texts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// from is the caller at another address.
func from(by models.Actor, address string) models.Actor {
	identity := *by.Identity
	identity.From = netip.MustParseAddr(address)
	return models.Actor{Identity: &identity, ChangeID: models.NewChangeID(), Needs: by.Needs}
}

// What is stored is what was asked for, and what null takes away is gone.
func TestBoundsAreStored(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		allowed, rate := addresses(t, "::1", "192.0.2.0/24"), models.RateLimit{Requests: 5, Window: 60}
		made, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{AllowedIPs: &allowed, RateLimit: &rate})
		if err != nil {
			t.Fatal(err)
		}
		stored := func() string {
			return rowsOf(t, rawDB(t, url), "SELECT name, name_folded, expires_at, allowed_ips, rate_requests, rate_window, version FROM api_tokens")[0]
		}
		if got := stored(); got != "name=x name_folded=x expires_at=<nil> allowed_ips=192.0.2.0/24,::1 rate_requests=5 rate_window=60 version=1 " {
			t.Error(got)
		}
		end := models.TimeOf(time.Now().Add(time.Hour))
		for _, c := range []struct {
			changes models.TokenChanges
			want    string
		}{
			{models.TokenChanges{Name: given("Y"), ExpiresAt: given(end)}, "name=Y name_folded=y expires_at=<end> allowed_ips=192.0.2.0/24,::1 rate_requests=5 rate_window=60 version=2 "},
			{models.TokenChanges{AllowedIPs: null[models.Addresses]()}, "name=Y name_folded=y expires_at=<end> allowed_ips=<nil> rate_requests=5 rate_window=60 version=3 "},
			{models.TokenChanges{RateLimit: null[models.RateLimit](), ExpiresAt: null[models.Time]()}, "name=Y name_folded=y expires_at=<nil> allowed_ips=<nil> rate_requests=<nil> rate_window=<nil> version=4 "},
			{models.TokenChanges{AllowedIPs: null[models.Addresses](), RateLimit: null[models.RateLimit](), ExpiresAt: null[models.Time](), Name: given("Y")}, "name=Y name_folded=y expires_at=<nil> allowed_ips=<nil> rate_requests=<nil> rate_window=<nil> version=4 "},
			{models.TokenChanges{RateLimit: given(models.RateLimit{Requests: 1, Window: 1}), AllowedIPs: given(addresses(t, "::2"))}, "name=Y name_folded=y expires_at=<nil> allowed_ips=::2 rate_requests=1 rate_window=1 version=5 "},
			{models.TokenChanges{RateLimit: given(models.RateLimit{Requests: 1, Window: 2})}, "name=Y name_folded=y expires_at=<nil> allowed_ips=::2 rate_requests=1 rate_window=2 version=6 "},
		} {
			if _, err := store.UpdateToken(t.Context(), again(admin), made.ID, c.changes); err != nil {
				t.Errorf("%+v: %v", c.changes, err)
			}
			want := strings.ReplaceAll(c.want, "<end>", fmt.Sprint(int64(end)))
			if got := stored(); got != want {
				t.Errorf("%+v: stored is %s, want %s", c.changes, got, want)
			}
		}
		events := allEvents(t, store, admin.UserID)
		if last := events[len(events)-1]; last.Method != models.TokenUpdated || len(events) != 7 { // his own making, the token's, and five changes
			t.Errorf("%d events, the last is %s", len(events), last.Method)
		}
	})
}

// A token is good from its addresses only, also where a change of it is under way when it is shut out.
func TestTokenElsewhere(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		boss := makeUser(t, store, admin, "boss", models.PermissionAdmin, models.PermissionManage)
		eve := makeUser(t, store, admin, "eve").UserID
		allowed := addresses(t, "192.0.2.0/24", "2001:db8::/32")
		token, secret, err := store.CreateToken(ctx, again(boss), "x", models.CreateTokenOptions{
			Permissions: models.Grants{models.PermissionAdmin: true, models.PermissionManage: true}, AllowedIPs: &allowed,
		})
		if err != nil {
			t.Fatal(err)
		}
		for address, want := range map[string]bool{
			"192.0.2.1": true, "::ffff:192.0.2.1": true, "2001:db8::1": true, "2001:db8::1%eth0": true,
			"192.0.3.1": false, "::ffff:192.0.3.1": false, "::1": false, "": false, "192.0.2.1:80": false, "somewhere": false,
		} {
			if _, err := store.Authenticate(ctx, secret, address); (err == nil) != want || err != nil && err != models.ErrUnauthorized {
				t.Errorf("from %q: %v", address, err)
			}
		}
		if err := store.FlushUses(ctx); err != nil {
			t.Fatal(err)
		}
		inside, err := store.Authenticate(ctx, secret, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		byToken := models.Actor{Identity: inside, ChangeID: models.NewChangeID(), Needs: models.PermissionManage}
		if _, err := store.UpdateToken(ctx, again(byToken), token.ID, models.TokenChanges{Name: given("y")}); err != nil {
			t.Errorf("from inside: %v", err)
		}
		if _, err := store.UpdateToken(ctx, again(boss), token.ID, models.TokenChanges{AllowedIPs: given(addresses(t, "192.0.2.2"))}); err != nil {
			t.Fatal(err)
		}
		for name, change := range lateChanges(ctx, store, boss, token.ID, eve) {
			before := dump(t, url)
			if err := change(again(byToken)); err == nil {
				t.Errorf("%s: done by a token that was shut out", name)
			} else {
				oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden)
			}
			sameDump(t, name, before, dump(t, url))
		}
		if _, err := store.UpdateToken(ctx, from(byToken, "::ffff:192.0.2.2"), token.ID, models.TokenChanges{Name: given("z")}); err != nil {
			t.Errorf("from the address that is left: %v", err)
		}
		if _, err := store.UpdateToken(ctx, from(byToken, "192.0.2.2"), token.ID, models.TokenChanges{AllowedIPs: given(addresses(t, "2001:db8::/32"))}); err == nil {
			t.Error("a token widens its own addresses")
		}
	})
}

// A token makes others while it is made narrower. What comes after that in the feed is as narrow.
func TestNothingBeyondBoundsUnderRaces(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		token, secret, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		other, _, err := store.CreateToken(ctx, again(admin), "other", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		limits := []models.RateLimit{{Requests: 5, Window: 60}, {Requests: 4, Window: 60}, {Requests: 3, Window: 60}}
		for _, limit := range limits {
			wide := models.Optional[models.RateLimit]{Given: true, Value: &models.RateLimit{Requests: limit.Requests + 1, Window: 60}}
			last := allEvents(t, store, admin.UserID)
			work := func() {
				for range 5 {
					made, _, err := store.CreateToken(ctx, again(byToken), "made", models.CreateTokenOptions{})
					if oneOf(t, err); err == nil {
						oneOf(t, store.DeleteToken(ctx, again(byToken), made.ID))
					}
					_, err = store.UpdateToken(ctx, again(byToken), other.ID, models.TokenChanges{RateLimit: given(models.RateLimit{Requests: 1, Window: 60})})
					oneOf(t, err)
					_, err = store.UpdateToken(ctx, again(byToken), other.ID, models.TokenChanges{RateLimit: wide})
					oneOf(t, err, models.Forbidden)
				}
			}
			together(work, work, func() {
				_, err := store.UpdateToken(ctx, again(admin), token.ID, models.TokenChanges{RateLimit: given(limit)})
				oneOf(t, err)
			})
			wantNarrow(t, allEvents(t, store, admin.UserID)[len(last):], token.ID, byToken, limit)
		}
	})
}

// wantNarrow holds that after the event by which a token got a limit nothing that it does is wider.
func wantNarrow(t *testing.T, events []models.Event, tokenID string, by models.Actor, limit models.RateLimit) {
	t.Helper()
	narrow := false
	for _, e := range events {
		var p struct {
			Token *models.Token `json:"token"`
			By    models.By     `json:"by"`
		}
		if err := e.Decode(&p); err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Method == models.TokenUpdated && e.TokenID == tokenID:
			narrow = true
		case !slices.Contains([]string{models.TokenCreated, models.TokenUpdated}, e.Method) || *p.By.Credential != by.Credential:
		case narrow && (p.Token.RateLimit == nil || p.Token.RateLimit.Requests > limit.Requests):
			t.Errorf("position %d: a token with %v made %v", e.Position, limit, p.Token.RateLimit)
		}
	}
	if !narrow {
		t.Error("it was never narrowed")
	}
}

// A token switches another one on while it is itself made narrower than that. After that it does not any more.
func TestNothingEnabledBeyondBoundsUnderRaces(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		_, secret, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := store.CreateToken(ctx, again(admin), "other", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		bound := func(rate models.Optional[models.RateLimit]) {
			oneOf(t, second(store.UpdateToken(ctx, again(admin), byToken.Credential.ID, models.TokenChanges{RateLimit: rate})))
		}
		for round := range rounds(10) {
			last := allEvents(t, store, admin.UserID)
			together(func() {
				for n := range 100 {
					err := second(store.SetTokenEnabled(ctx, again(byToken), other.ID, n%2 == 1, models.ChangeOptions{}))
					if oneOf(t, err, models.Forbidden); err != nil {
						return
					}
				}
			}, func() { bound(given(models.RateLimit{Requests: 1, Window: 1})) })
			narrow := false
			for _, e := range allEvents(t, store, admin.UserID)[len(last):] {
				var p models.TokenEnabledChangedParams
				if err := e.Decode(&p); err != nil {
					t.Fatal(err)
				}
				narrow = narrow || e.Method == models.TokenUpdated
				if narrow && p.Enabled {
					t.Fatalf("round %d: position %d switches on what goes beyond who does it: %s", round, e.Position, e.Params)
				}
			}
			if !narrow {
				t.Error("it was never narrowed")
			}
			bound(null[models.RateLimit]())
		}
	})
}

// A token with an end makes nothing that outlives it, be it made anew, changed, switched on or given something.
func TestNothingOutlivesTheTokenThatMakesIt(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		end := models.TimeOf(time.Now().Add(time.Hour))
		before, after := end-1, end+1
		own, secret, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{
			Permissions: models.Grants{models.PermissionManage: true, models.PermissionVerify: true}, ExpiresAt: &end,
		})
		if err != nil {
			t.Fatal(err)
		}
		free, _, err := store.CreateToken(ctx, again(admin), "free", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		byToken := authenticate(t, store, secret)
		create := func(expires *models.Time) (*models.Time, error) {
			made, _, err := store.CreateToken(ctx, again(byToken), "made", models.CreateTokenOptions{ExpiresAt: expires})
			if err != nil {
				return nil, err
			}
			return made.ExpiresAt, nil
		}
		for _, c := range []struct{ asked, want *models.Time }{{nil, &end}, {&end, &end}, {&before, &before}} {
			if got, err := create(c.asked); err != nil || *got != *c.want {
				t.Errorf("asked for %v: %v, %v", c.asked, got, err)
			}
		}
		_, err = create(&after)
		wantCode(t, err, models.Forbidden)
		extend := func(id string, expires models.Optional[models.Time]) error {
			return second(store.UpdateToken(ctx, again(byToken), id, models.TokenChanges{ExpiresAt: expires}))
		}
		wantCode(t, extend(own.ID, given(after)), models.Forbidden)
		wantCode(t, extend(own.ID, null[models.Time]()), models.Forbidden)
		wantCode(t, second(store.UpdateTokenPermissions(ctx, again(byToken), free.ID, models.Grants{models.PermissionVerify: true}, models.ChangeOptions{})), models.Forbidden)
		for _, err := range []error{
			second(store.UpdateTokenPermissions(ctx, again(byToken), free.ID, models.Grants{models.PermissionVerify: false}, models.ChangeOptions{})),
			second(store.SetTokenEnabled(ctx, again(byToken), free.ID, false, models.ChangeOptions{})),
			extend(free.ID, given(before)), extend(free.ID, given(end)), // narrower than it was
		} {
			oneOf(t, err)
		}
		wantCode(t, extend(free.ID, given(after)), models.Forbidden)
		if err := second(store.UpdateToken(ctx, again(admin), free.ID, models.TokenChanges{ExpiresAt: given(after)})); err != nil {
			t.Error(err)
		}
		wantCode(t, second(store.SetTokenEnabled(ctx, again(byToken), free.ID, true, models.ChangeOptions{})), models.Forbidden)
		oneOf(t, extend(free.ID, given(end)))
		oneOf(t, second(store.SetTokenEnabled(ctx, again(byToken), free.ID, true, models.ChangeOptions{})))
	})
}
