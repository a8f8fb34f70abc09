package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// reporter reports leaks and looks at what the owner is told.
type reporter struct {
	t     *testing.T
	store *models.Store
	owner models.Actor
	last  int64 // position
}

// report reports a text and wants these events of it: "leaked <url>", "off <version>", "ended".
func (r *reporter) report(text string, url *string, wantToken string, want ...string) {
	r.t.Helper()
	_, tokenID, err := r.store.ReportLeak(r.t.Context(), models.Actor{ChangeID: models.NewChangeID()}, models.NewSecret(text), url)
	if err != nil || tokenID != wantToken {
		r.t.Errorf("got %q, %v, want %q", tokenID, err, wantToken)
	}
	r.told(want...)
}

func (r *reporter) told(want ...string) {
	r.t.Helper()
	events, err := r.store.EventsAfter(r.t.Context(), r.owner.UserID, r.last)
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		r.last = e.Position
		var leaked models.TokenLeakedParams
		var changed models.TokenEnabledChangedParams
		var ended models.SessionEndedParams
		switch {
		case !strings.HasPrefix(string(e.Params), `{"by":null,`):
			continue
		case e.Method == models.TokenLeaked && e.Decode(&leaked) == nil && leaked.URL != nil:
			got = append(got, "leaked "+*leaked.URL)
		case e.Method == models.TokenLeaked:
			got = append(got, "leaked")
		case e.Method == models.TokenEnabledChanged && e.Decode(&changed) == nil && !changed.Enabled:
			got = append(got, fmt.Sprint("off ", changed.Version))
		case e.Method == models.SessionEnded && e.Decode(&ended) == nil:
			got = append(got, "ended "+ended.Reason)
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("told %q, want %q", got, want)
	}
}

func (r *reporter) enable(token *models.Token) {
	r.t.Helper()
	if _, err := r.store.SetTokenEnabled(r.t.Context(), again(r.owner), token.ID, true, models.ChangeOptions{}); err != nil {
		r.t.Fatal(err)
	}
	r.told()
}

func TestReportLeak(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		began := time.Date(2027, 5, 1, 12, 0, 0, 0, time.UTC)
		store, admin, set := openAt(t, url, began)
		ada := makeUser(t, store, admin, "ada")
		token, secret, err := store.CreateToken(t.Context(), again(ada), "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text := secret.Reveal()
		r := &reporter{t: t, store: store, owner: ada}
		r.told()
		here, there := "https://git.example/a#L10", "http://paste.example/?b"

		// What is no good secret: nothing comes of it.
		for _, other := range []string{"", "x", text[:74], text + "x", token.Prefix, strings.Replace(text, token.ID, ada.Credential.ID, 1),
			strings.Replace(text, "twt_", "tws_", 1)} {
			r.report(other, &here, "")
		}
		if got := readToken(t, store, ada, token.ID); !got.Enabled || got.Version != 1 {
			t.Errorf("got %+v", got)
		}

		// A good one, and reported again: a place that is news is told of, the same is not, and none is none.
		r.report(text, &here, token.ID, "leaked "+here, "off 2")
		_, err = store.Authenticate(t.Context(), secret, "")
		wantCode(t, err, models.Unauthorized)
		r.report(text, &here, token.ID)
		r.report(text, nil, token.ID)
		r.report(text, &there, token.ID, "leaked "+there)
		r.enable(token)
		r.report(text, &there, token.ID, "leaked "+there, "off 4")
		r.enable(token)
		r.report(text, nil, token.ID, "leaked", "off 6")

		// Not more than ten places a day are told of, and then others again.
		for i := range 12 {
			place := fmt.Sprintf("https://paste.example/%d", i)
			if i < 8 {
				r.report(text, &place, token.ID, "leaked "+place)
			} else {
				r.report(text, &place, token.ID)
			}
		}
		r.enable(token)
		fresh := "https://paste.example/fresh"
		r.report(text, &fresh, token.ID, "leaked "+fresh, "off 8") // what switches it off is always told
		r.report(text, &fresh, token.ID)
		set(began.Add(24 * time.Hour))
		r.report(text, &fresh, token.ID, "leaked "+fresh)
		r.report(text, &fresh, token.ID)
	})
}

// Secrets that are, or may be again, good for something.
func TestReportLeakOfOtherSecrets(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		began := time.Date(2027, 5, 1, 12, 0, 0, 0, time.UTC)
		store, admin, set := openAt(t, url, began)
		ada := makeUser(t, store, admin, "ada")
		r := &reporter{t: t, store: store, owner: ada}
		r.told()
		end := models.TimeOf(began.Add(time.Hour))
		create := func(o models.CreateTokenOptions) (*models.Token, string) {
			token, secret, err := store.CreateToken(t.Context(), again(ada), "x", o)
			if err != nil {
				t.Fatal(err)
			}
			return token, secret.Reveal()
		}
		rotated, old := create(models.CreateTokenOptions{})
		brief, expired := create(models.CreateTokenOptions{ExpiresAt: &end})
		gone, deleted := create(models.CreateTokenOptions{})
		off, disabled := create(models.CreateTokenOptions{})
		if err := store.DeleteToken(t.Context(), again(ada), gone.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := store.SetTokenEnabled(t.Context(), again(ada), off.ID, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.RotateToken(t.Context(), again(ada), rotated.ID, models.RotateOptions{Overlap: 60}); err != nil {
			t.Fatal(err)
		}
		r.told()
		r.report(deleted, nil, "")
		r.report(disabled, nil, off.ID)
		r.report(old, nil, rotated.ID, "leaked", "off 3") // in its overlap
		r.enable(rotated)
		set(end.Std())
		r.report(old, nil, "") // and after it
		r.report(expired, nil, brief.ID, "leaked", "off 2")
		if _, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, false); err != nil {
			t.Fatal(err)
		}
		last, err := store.EventsAfter(t.Context(), ada.UserID, r.last)
		if err != nil || len(last) != 1 {
			t.Fatal(last, err)
		}
		if _, err := store.SetUserEnabled(t.Context(), again(admin), ada.UserID, true); err != nil {
			t.Fatal(err)
		}

		// A session ends.
		_, _, session, err := store.SignIn(t.Context(), "ada", models.NewSecret(password), "192.0.2.1", "test")
		if err != nil {
			t.Fatal(err)
		}
		userID, tokenID, err := store.ReportLeak(t.Context(), models.Actor{ChangeID: models.NewChangeID()}, session, nil)
		if err != nil || userID != ada.UserID || tokenID != "" {
			t.Errorf("got %q, %q, %v", userID, tokenID, err)
		}
		r.told("ended session-deleted")
		r.report(session.Reveal(), nil, "")
		_, err = store.Authenticate(t.Context(), session, "")
		wantCode(t, err, models.Unauthorized)
	})
}

// What is kept of where it was found.
func TestReportLeakURL(t *testing.T) {
	store, admin := open(t, modelstest.SQLite(t))
	token, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &reporter{t: t, store: store, owner: admin}
	r.told()
	for _, place := range []string{"", "x", "ftp://git.example/", "javascript:alert(1)", "//git.example/", "https:///x", "https:git.example", "https://git.example/\n",
		"https://git.example/\u202e", "https://git.example/a b", "https://git.example/é", "https://%zz/", "https://git.example/" + strings.Repeat("x", 1981), "https://:80/"} {
		_, _, err := store.ReportLeak(t.Context(), models.Actor{ChangeID: models.NewChangeID()}, secret, &place)
		wantCode(t, err, models.Invalid)
		_, _, err = store.ReportLeak(t.Context(), models.Actor{ChangeID: models.NewChangeID()}, models.NewSecret("x"), &place)
		wantCode(t, err, models.Invalid) // which says nothing of the token
	}
	r.told()
	long := "https://git.example/" + strings.Repeat("x", 1980)
	kept := map[string]string{
		"HTTPS://ada:hunter2@git.example:444/a/../b?c=d#e": "https://git.example:444/a/../b?c=d#e", "https://ada@git.example": "https://git.example",
		"https://git.example/?q=" + secret.Reveal() + "&x": "https://git.example/?q=" + token.Prefix + "&x", long: long, "http://[2001:db8::1]/": "http://[2001:db8::1]/",
	}
	for place, want := range kept {
		r.enable(token)
		_, _, err := store.ReportLeak(t.Context(), models.Actor{ChangeID: models.NewChangeID()}, secret, &place)
		if err != nil {
			t.Errorf("%s: %v", place, err)
		}
		r.told("leaked "+want, fmt.Sprint("off ", readToken(t, store, admin, token.ID).Version))
	}
}

// A token is switched off with its events or not at all, and who reports is told which.
func TestReportLeakIsWholeOrNothing(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		token, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		db := rawDB(t, url)
		for _, table := range []string{"events", "feeds", "token_leaks"} {
			mustExec(t, db, "ALTER TABLE "+table+" RENAME TO elsewhere")
			place := "https://git.example/"
			_, _, err := store.ReportLeak(t.Context(), models.Actor{ChangeID: models.NewChangeID()}, secret, &place)
			if err == nil {
				t.Errorf("without %s it was done", table)
			}
			mustExec(t, db, "ALTER TABLE elsewhere RENAME TO "+table)
			if got := readToken(t, store, admin, token.ID); !got.Enabled || got.Version != 1 {
				t.Errorf("without %s the token is %+v", table, got)
			}
		}
		if left := rowsOf(t, db, "SELECT * FROM token_leaks"); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
	})
}
