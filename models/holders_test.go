package models_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// openTicking opens a store with an administrator whose clock goes on by a millisecond each time, so that the order of ids
// is that of their making.
func openTicking(t *testing.T, url string) (*models.Store, models.Actor) {
	t.Helper()
	began, ticks := time.Now(), atomic.Int64{}
	store := openKeyed(t, url, models.Options{
		Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")},
		Now: func() time.Time { return began.Add(time.Duration(ticks.Add(1)) * time.Millisecond) },
	})
	if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	return store, signIn(t, store, "admin")
}

// holderText is a holder as username[/token], with what is not so.
func holderText(h models.Holder, names map[string]string) string {
	s := h.User.Username
	if !h.User.Enabled {
		s += "(off)"
	}
	if h.Token != nil {
		s += "/" + names[h.Token.ID]
		if !h.Token.Enabled {
			s += "(off)"
		}
	}
	if !h.Effective {
		s += " without effect"
	}
	return s
}

// holders reads all holders of a permission in pages of a size.
func holders(t testing.TB, store *models.Store, id string, size int) (all []models.Holder) {
	t.Helper()
	for after := ""; len(all) < 1000; {
		page, err := store.GetHolders(t.Context(), id, models.HoldersOptions{Limit: &size, After: after})
		if err != nil || len(page.Holders) > size || page.Next != nil && len(page.Holders) < size {
			t.Fatalf("got %d holders of %d, %v", len(page.Holders), size, err)
		}
		if all = append(all, page.Holders...); page.Next == nil {
			return all
		}
		after = *page.Next
	}
	t.Fatal("there is no end of it")
	return nil
}

// people makes users and tokens around the permission reports:read: bob does not hold it any more, "a.b" and "ab" sort
// by bytes, and eve is switched off. It returns the tokens' names by id.
func people(t *testing.T, store *models.Store, admin models.Actor) (names map[string]string) {
	t.Helper()
	if _, err := store.CreatePermission(t.Context(), again(admin), "reports:read", models.CreatePermissionOptions{}); err != nil {
		t.Fatal(err)
	}
	names = map[string]string{}
	for _, name := range []string{"eve", "bob", "ab", "a.b"} {
		u := makeUser(t, store, admin, name, "reports:read", models.PermissionVerify)
		for n, grants := range []models.Grants{{"reports:read": true}, {models.PermissionVerify: true}, {"reports:read": true, models.PermissionVerify: true}} {
			token, _, err := store.CreateToken(t.Context(), again(u), fmt.Sprint(n), models.CreateTokenOptions{Permissions: grants})
			if err != nil {
				t.Fatal(err)
			}
			names[token.ID] = token.Name
			if name == "ab" && n == 2 {
				if _, err := store.SetTokenEnabled(t.Context(), again(u), token.ID, false, models.ChangeOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var err error
		switch name {
		case "bob":
			_, err = store.UpdateUserPermissions(t.Context(), again(admin), u.UserID, models.Grants{"reports:read": false})
		case "eve":
			_, err = store.SetUserEnabled(t.Context(), again(admin), u.UserID, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestGetHolders(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := openTicking(t, url)
		names := people(t, store, admin)
		all := holders(t, store, "reports:read", 100)
		want := []string{
			"a.b", "a.b/0", "a.b/2", "ab", "ab/0", "ab/2(off)", "admin", "bob/0 without effect", "bob/2 without effect",
			"eve(off)", "eve(off)/0", "eve(off)/2",
		}
		var got []string
		for _, h := range all {
			got = append(got, holderText(h, names))
			if h.Token != nil && h.Token.Prefix != "twt_"+h.Token.ID {
				t.Errorf("token %s begins with %s", h.Token.ID, h.Token.Prefix)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		for size := 1; size <= len(all)+1; size++ {
			paged := holders(t, store, "reports:read", size)
			same := func(a, b models.Holder) bool { return holderText(a, names) == holderText(b, names) }
			if !slices.EqualFunc(paged, all, same) {
				t.Errorf("in pages of %d: got %d rows, want %d", size, len(paged), len(all))
			}
		}
		if got := holders(t, store, models.PermissionAdmin, 100); len(got) != 1 || got[0].User.ID != admin.UserID || got[0].Token != nil {
			t.Errorf("admin is held by %+v", got)
		}
	})
}

// Pages go on after a row, whatever comes and goes in between.
func TestGetHoldersWhileTheyChange(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		names := people(t, store, admin)
		four := 4
		first, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{Limit: &four})
		if err != nil || first.Next == nil || first.Holders[3].User.Username != "ab" {
			t.Fatal(first, err)
		}
		if err := store.DeleteUser(t.Context(), again(admin), first.Holders[3].User.ID); err != nil { // where the page ended
			t.Fatal(err)
		}
		makeUser(t, store, admin, "aa", "reports:read") // before
		makeUser(t, store, admin, "ac", "reports:read") // after
		rest, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{Limit: &four, After: *first.Next})
		var got []string
		for _, h := range rest.Holders {
			got = append(got, holderText(h, names))
		}
		if err != nil || len(got) != 4 || got[0] != "ac" || got[1] != "admin" || !strings.HasPrefix(got[2], "bob/") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestGetHoldersRefuses(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		people(t, store, admin)
		one, none, many := 1, 0, 101
		page, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{Limit: &one})
		if err != nil || page.Next == nil {
			t.Fatal(page, err)
		}
		users, err := store.ReadUsers(t.Context(), models.UsersOptions{ListOptions: models.ListOptions{Limit: &one, OrderBy: models.OrderBy{{Column: "username"}}}})
		if err != nil || users.Next == nil {
			t.Fatal(users, err)
		}
		for _, id := range []string{"nosuch", "", "reports:rea_", "%", "Reports:read", "reports:read ", "reports:réad"} {
			_, err := store.GetHolders(t.Context(), id, models.HoldersOptions{})
			wantCode(t, err, models.NotFound)
		}
		forge := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for _, after := range []string{
			"x", "!", *users.Next, (*page.Next)[1:], forge(`{"o":"holders of reports:read","v":["a"]}`), forge(`{"o":"holders of reports:read","v":["a",1]}`),
			forge(`{"o":"holders of reports:read","v":[["a"],"b"]}`), forge(`{"o":"holders of reports:read","v":["a","b","c"]}`), forge(`{"o":"holders of admin","v":["a","b"]}`),
		} {
			_, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{After: after})
			wantCode(t, err, models.Invalid)
		}
		// What is well formed is bound as a value and leads to holders of this permission only.
		forged := forge(`{"o":"holders of reports:read","v":["' OR ''='","' OR ''='"]}`)
		if got, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{After: forged}); err != nil || len(got.Holders) != 12 {
			t.Errorf("got %d holders, %v", len(got.Holders), err)
		}
		_, err = store.GetHolders(t.Context(), models.PermissionAdmin, models.HoldersOptions{After: *page.Next})
		wantCode(t, err, models.Invalid)
		for _, limit := range []*int{&none, &many} {
			_, err := store.GetHolders(t.Context(), "reports:read", models.HoldersOptions{Limit: limit})
			wantCode(t, err, models.Invalid)
		}
	})
}
