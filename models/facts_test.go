package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// The usual collations of MySQL call all of these equal to the original, and the binary ones still the last two.
func lookalikes(s string) []string {
	return []string{strings.ToUpper(s), strings.Replace(s, "a", "á", 1), s + " ", s + "\x00", s + "  "}
}

func TestIdentifiersCompareByteByByte(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		for _, name := range lookalikes("admin") {
			_, _, _, err := store.SignIn(ctx, name, models.NewSecret(password), "192.0.2.1", "test")
			if wantCode(t, err, models.Unauthorized); t.Failed() {
				t.Fatalf("%q signed in as admin", name)
			}
		}
		token, secret, err := store.CreateToken(ctx, again(admin), "abc", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		flip := func(s string) string { return strings.ToLower(s[:8]) + strings.ToUpper(s[8:]) }
		ids := append(lookalikes(token.ID), "0", "", "%", "_", strings.ToLower(token.ID), flip(token.ID), token.ID[:19], "' OR ''='")
		for _, id := range ids {
			if id == token.ID {
				continue // it had no letter to change
			}
			_, err := store.GetTokenPermissions(ctx, admin.Identity, id)
			wantCode(t, err, models.NotFound)
			_, err = store.ReadTokens(ctx, admin.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &id}})
			wantCode(t, err, models.NotFound)
			wantCode(t, store.DeleteToken(ctx, again(admin), id), models.NotFound)
			if t.Failed() {
				t.Fatalf("by the id %q", id)
			}
		}
		for _, s := range append(lookalikes(secret.Reveal()), strings.ToLower(secret.Reveal())) {
			if s == secret.Reveal() {
				continue // it had no "a" to change
			}
			_, err := store.Authenticate(ctx, models.NewSecret(s), "")
			wantCode(t, err, models.Unauthorized)
		}
		authenticate(t, store, secret)

		for _, id := range lookalikes("admin") {
			_, err := store.SetTokenPermissions(ctx, again(admin), token.ID, models.Grants{id: true}, models.ChangeOptions{})
			wantCode(t, err, models.Invalid)
		}
		checkMatches(t, store, admin)
		for _, taken := range []string{"admin", "Admin", "ádmin", "admin "} {
			if _, err := store.CreateUser(ctx, again(admin), taken, models.CreateUserOptions{}); err == nil {
				t.Errorf("a second %q was made", taken)
			}
		}
	})
}

// checkMatches looks for tokens by name, of which one is "abc" already.
func checkMatches(t *testing.T, store *models.Store, admin models.Actor) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{"abc", "ABC", "ábc", "abc"} {
		if _, _, err := store.CreateToken(ctx, again(admin), name, models.CreateTokenOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		match models.Match
		want  int
	}{
		{models.Match{Text: "abc"}, 3}, {models.Match{Text: "ABC"}, 1}, {models.Match{Text: "ábc"}, 1}, {models.Match{Text: "abc "}, 0},
		{models.Match{Text: "aBc", Like: true}, 4}, {models.Match{Text: "ÁB", Like: true}, 1}, {models.Match{Text: "%", Like: true}, 0}, {models.Match{Text: "a_c", Like: true}, 0},
	} {
		read, err := store.ReadTokens(ctx, admin.Identity, models.TokensOptions{Where: models.TokenWhere{Name: &c.match}})
		if err != nil || len(read.Tokens) != c.want {
			t.Errorf("%+v finds %d tokens, %v; want %d", c.match, len(read.Tokens), err, c.want)
		}
	}
}

// What was stored is what is read, to the millisecond, whatever the databases do to fractions and zones.
func TestTimes(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.Date(2027, 3, 28, 1, 59, 59, 999_999_999, time.UTC) // cut, not rounded; an hour that summer time skips
		store := openKeyed(t, url, models.Options{Key: models.KeySource{Key: parseKey(t, strings.Repeat("ab", 32))}, Now: func() time.Time { return now }})
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		for text, want := range map[string]string{
			"2027-03-28T03:59:59.9995+02:00": "", // equal to now once it is cut
			"2027-03-28T02:00:00Z":           "2027-03-28T02:00:00.000Z",
			"2027-03-28T04:30:00.1239+02:00": "2027-03-28T02:30:00.123Z",
			"9999-12-31T23:59:59.999Z":       "9999-12-31T23:59:59.999Z",
		} {
			var expires models.Time
			if err := expires.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(text, err)
			}
			made, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{ExpiresAt: &expires})
			if want == "" {
				wantCode(t, err, models.Invalid)
				continue
			}
			if err != nil {
				t.Fatal(text, err)
			}
			read, err := store.ReadTokens(t.Context(), admin.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &made.ID}})
			if err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal(made, json.Deterministic(true))
			b, _ := json.Marshal(read.Tokens[0], json.Deterministic(true))
			if string(a) != string(b) || read.Tokens[0].ExpiresAt.String() != want || made.CreatedAt.String() != "2027-03-28T01:59:59.999Z" {
				t.Errorf("made %s, read %s, want it to expire at %s", a, b, want)
			}
			now = expires.Std().Add(-time.Millisecond)
			authenticate(t, store, secret)
			now = expires.Std()
			if _, err := store.Authenticate(t.Context(), secret, ""); text[:4] != "9999" || err == nil { // by then the session is over too
				wantCode(t, err, models.Unauthorized)
			}
			now = time.Date(2027, 3, 28, 1, 59, 59, 999_999_999, time.UTC)
		}
		for _, wrong := range []string{"", "now", "2027-03-28", "2027-03-28 02:00:00Z", "2027-03-28T02:00:00", "1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "2027-02-30T00:00:00Z"} {
			if err := new(models.Time).UnmarshalText([]byte(wrong)); err == nil {
				t.Errorf("%q is a time", wrong)
			}
		}
	})
}

// GORM leaves out a false that it takes for "not given", and says nothing of it.
func TestFalseIsStored(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ada := makeUser(t, store, admin, "ada")
		token, _, err := store.CreateToken(t.Context(), again(ada), "x", models.CreateTokenOptions{Permissions: models.Grants{"admin": false}})
		if err != nil || !token.Enabled || len(token.Permissions) != 0 {
			t.Fatalf("got %+v, %v", token, err)
		}
		db := rawDB(t, url)
		value := func(table, id string) (enabled bool) {
			if err := db.QueryRow("SELECT enabled FROM "+table+" WHERE id = ?", id).Scan(&enabled); err != nil {
				t.Fatal(err)
			}
			return enabled
		}
		for _, on := range []bool{false, true, false} {
			if _, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, true); err != nil { // or she could not change her token
				t.Fatal(err)
			}
			if got, err := store.SetTokenEnabled(t.Context(), again(ada), token.ID, on, models.ChangeOptions{}); err != nil || got.Enabled != on || value("api_tokens", token.ID) != on {
				t.Errorf("token set to %v: %v, %v, stored %v", on, got.Enabled, err, value("api_tokens", token.ID))
			}
			if got, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, on); err != nil || got.Enabled != on || value("users", ada.UserID) != on {
				t.Errorf("user set to %v: %v, %v, stored %v", on, got.Enabled, err, value("users", ada.UserID))
			}
			where := models.TokenWhere{Enabled: &on}
			if read, err := store.ReadTokens(t.Context(), ada.Identity, models.TokensOptions{Where: where}); err != nil || len(read.Tokens) != 1 {
				t.Errorf("enabled = %v finds %d, %v", on, len(read.Tokens), err)
			}
		}
	})
}

// What is read of a token is of one moment: its permissions are those that it had at the position that comes with them.
func TestFactsAreOfOneMoment(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ctx := t.Context()
		token, secret, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
		if err != nil {
			t.Fatal(err)
		}
		digest := models.DigestOf(secret.Reveal())
		first, err := store.Facts(ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		const changes = 300
		changed := make(chan error, 1)
		go func() {
			for n := range changes {
				if _, err := store.UpdateTokenPermissions(ctx, again(admin), token.ID, models.Grants{models.PermissionVerify: n%2 == 1}, models.ChangeOptions{}); err != nil {
					changed <- err
					return
				}
			}
			changed <- nil
		}()
		for last := first.Position.Number + changes; ; {
			facts, err := store.Facts(ctx, digest)
			if err != nil {
				t.Fatal(err)
			}
			since := facts.Position.Number - first.Position.Number
			if has := len(facts.Permissions) == 1; has != (since%2 == 0) {
				t.Errorf("%d changes later it has %v", since, facts.Permissions)
			}
			if facts.Position.Number == last || t.Failed() {
				break
			}
		}
		if err := <-changed; err != nil {
			t.Error(err)
		}
	})
}
