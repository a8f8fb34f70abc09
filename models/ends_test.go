package models_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// ends returns what a user was told of the ends of his tokens, as text.
func ends(t testing.TB, store *models.Store, userID string) []string {
	t.Helper()
	said := []string{}
	for _, e := range allEvents(t, store, userID) {
		var p models.TokenExpiringParams
		if e.Method != models.TokenExpiring && e.Method != models.TokenExpired {
			continue
		}
		if err := e.Decode(&p); err != nil || p.TokenID != e.TokenID || !strings.HasPrefix(string(e.Params), `{"by":null,`) {
			t.Errorf("%s: %v", e.Params, err)
		}
		what := fmt.Sprintf("%s %d days", p.ExpiresAt, p.Days)
		if e.Method == models.TokenExpired {
			what = p.ExpiresAt.String() + " over"
		}
		said = append(said, what)
	}
	return said
}

func tellEnds(t testing.TB, store *models.Store) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = store.TellEnds(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEndsAreTold(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		began := time.Date(2027, 5, 1, 12, 0, 0, 0, time.UTC)
		store, admin, clock := openAt(t, url, began)
		ada := makeUser(t, store, admin, "ada")
		set := func(now time.Time) {
			clock(now)
			ada = signIn(t, store, "ada") // a session does not last as long
		}
		after := func(days float64) time.Time { return began.Add(time.Duration(days * float64(24*time.Hour))) }
		end := func(days float64) *models.Time {
			end := models.TimeOf(after(days))
			return &end
		}
		var said []string
		want := func(more ...string) {
			t.Helper()
			tellEnds(t, store)
			said = append(said, more...)
			if got := ends(t, store, ada.UserID); !slices.Equal(got, said) {
				t.Errorf("got %q, want %q", got, said)
				said = got
			}
		}
		token := newToken(t, store, ada, end(40), true)
		newToken(t, store, ada, nil, true)
		want()
		set(after(10).Add(-time.Millisecond))
		want()
		set(after(10)) // exactly 30 days before
		want("2027-06-10T12:00:00.000Z 30 days")
		want()
		set(after(32.9))
		want()
		set(after(33))
		want("2027-06-10T12:00:00.000Z 7 days")
		set(after(39))
		want("2027-06-10T12:00:00.000Z 1 days")
		set(after(40).Add(-time.Millisecond))
		want()
		set(after(40))
		want("2027-06-10T12:00:00.000Z over")
		set(after(400))
		want()

		// Of several that are due only the nearest: in a made one, in one that nobody looked at for a while.
		newToken(t, store, ada, end(400.5), true)
		newToken(t, store, ada, end(403), false) // switched off: told of, too
		want("2028-06-05T00:00:00.000Z 1 days", "2028-06-07T12:00:00.000Z 7 days")
		newToken(t, store, ada, end(500), true)
		deleted := newToken(t, store, ada, end(500), true)
		set(after(600))
		if err := store.DeleteToken(t.Context(), again(ada), deleted.ID); err != nil {
			t.Fatal(err)
		}
		want("2028-06-05T00:00:00.000Z over", "2028-06-07T12:00:00.000Z over", "2028-09-12T12:00:00.000Z over")

		// Another end begins anew; another name, and the same end, do not.
		change := func(changes models.TokenChanges) {
			t.Helper()
			if _, err := store.UpdateToken(t.Context(), again(ada), token.ID, changes); err != nil {
				t.Fatal(err)
			}
		}
		other := "other"
		change(models.TokenChanges{ExpiresAt: models.Optional[models.Time]{Given: true, Value: end(605)}})
		want("2028-12-26T12:00:00.000Z 7 days")
		change(models.TokenChanges{ExpiresAt: models.Optional[models.Time]{Given: true, Value: end(605)}, Name: models.Optional[string]{Given: true, Value: &other}})
		want()
		change(models.TokenChanges{ExpiresAt: models.Optional[models.Time]{Given: true, Value: end(603)}})
		want("2028-12-24T12:00:00.000Z 7 days")
		set(after(602))
		change(models.TokenChanges{ExpiresAt: models.Optional[models.Time]{Given: true, Value: end(700)}})
		want()
		change(models.TokenChanges{ExpiresAt: models.Optional[models.Time]{Given: true}})
		set(after(701))
		want()
		if got := readToken(t, store, ada, token.ID); got.Version != 6 {
			t.Errorf("got %+v: to tell is no change of the token", got)
		}
		if got := ends(t, store, admin.UserID); len(got) > 0 {
			t.Errorf("somebody else was told %q", got)
		}
	})
}

func readToken(t testing.TB, store *models.Store, by models.Actor, id string) *models.Token {
	t.Helper()
	read, err := store.ReadTokens(t.Context(), by.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &id}})
	if err != nil || len(read.Tokens) != 1 {
		t.Fatalf("got %+v, %v", read, err)
	}
	return read.Tokens[0]
}

// Several nodes look at the same time, while the owner moves ends: each step of an end is told once.
func TestEndsAreToldOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		const nodes, tokens = 3, 40
		began := time.Now().Add(-time.Hour)
		now := began
		options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}, Now: func() time.Time { return now }}
		store := openKeyed(t, url, options)
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		var all []*models.Token
		for i := range tokens {
			end := models.TimeOf(began.Add(20*24*time.Hour + time.Duration(i)*time.Millisecond))
			all = append(all, newToken(t, store, admin, &end, true))
		}
		stores := []*models.Store{store}
		for range nodes - 1 {
			stores = append(stores, openKeyed(t, url, options))
		}
		var work sync.WaitGroup
		for _, node := range stores {
			work.Go(func() { tellEnds(t, node) })
		}
		work.Go(func() {
			for _, token := range all[:tokens/2] {
				end := models.Optional[models.Time]{Given: true, Value: new(*token.ExpiresAt + 1)}
				if _, err := store.UpdateToken(t.Context(), again(admin), token.ID, models.TokenChanges{ExpiresAt: end}); err != nil {
					t.Error(err)
				}
			}
		})
		work.Wait()
		tellEnds(t, store)
		told := map[string]int{}
		for _, e := range allEvents(t, store, admin.UserID) {
			var p models.TokenExpiringParams
			if e.Method != models.TokenExpiring {
				continue
			}
			if err := e.Decode(&p); err != nil || p.Days != 30 {
				t.Error(p, err)
			}
			told[fmt.Sprint(e.TokenID, p.ExpiresAt)]++
		}
		for i, token := range all {
			end := *token.ExpiresAt
			if i < tokens/2 {
				end++
			}
			if told[fmt.Sprint(token.ID, end)] != 1 {
				t.Errorf("the end of %d was told %d times", i, told[fmt.Sprint(token.ID, end)])
			}
		}
		for what, n := range told {
			if n != 1 {
				t.Errorf("%s was told %d times", what, n)
			}
		}
	})
}

// The store tells of ends by itself, once there is an observer to tell.
func TestEndsAreToldByThemselves(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		var clock atomic.Int64
		clock.Store(time.Now().UnixMilli())
		store := openKeyed(t, url, models.Options{
			Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}, EndsEvery: time.Millisecond, Now: func() time.Time { return time.UnixMilli(clock.Load()) },
		})
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		end := models.Time(clock.Load() + 5000)
		token := newToken(t, store, admin, &end, true)
		time.Sleep(20 * time.Millisecond) // many turns
		if got := ends(t, store, admin.UserID); len(got) > 0 {
			t.Errorf("told nobody %q", got)
		}
		heard := make(hearing, 10)
		store.Observe(heard)
		for _, want := range []string{models.TokenExpiring, models.TokenExpired} {
			select {
			case e := <-heard:
				if e.Method != want || e.TokenID != token.ID || e.UserID != admin.UserID || int64(e.Time) != clock.Load() {
					t.Errorf("got %+v, want %s", e, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s was not told", want)
			}
			clock.Store(int64(end))
		}
	})
}

// hearing is an observer who passes on what he is told.
type hearing chan models.Event

func (h hearing) Committed(events []models.Event) {
	for _, e := range events {
		h <- e
	}
}

func (h hearing) InDoubt([]string) {}

// To find what is due takes no look at what is not, however much that is: tokens without an end, with one far away, and
// those of which all has been told.
func TestEndsAreFoundByAnIndex(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		open(t, url)
		db := rawDB(t, url)
		explain := "EXPLAIN"
		if dialectOf(url) == "sqlite" {
			explain = "EXPLAIN QUERY PLAN"
		}
		plan := fmt.Sprint(rowsOf(t, db, explain+" SELECT id, user_id, expires_at, end_told FROM api_tokens WHERE end_told = ? AND expires_at <= ? ORDER BY expires_at LIMIT 500", 0, 5))
		if !strings.Contains(plan, "api_tokens_end (end_told=? AND expires_at<?)") && !strings.Contains(plan, "type=range possible_keys=api_tokens_end key=api_tokens_end key_len=17") {
			t.Errorf("it goes by %s", plan)
		}
	})
}

// What had ended before this was told of is told to nobody.
func TestEndsOfBefore(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		db := rawDB(t, url)
		versions := migrationFiles(t, dialectOf(url))
		mustExec(t, db, createMigrations)
		for i, statements := range versions[:3] {
			for _, s := range statements {
				mustExec(t, db, s)
			}
			mustExec(t, db, "INSERT INTO schema_migrations VALUES (?, 1)", i+1)
		}
		mustExec(t, db, "INSERT INTO users (id, username, password_hash, enabled, created_at) VALUES ('u1', 'ada', '', ?, 6)", true)
		mustExec(t, db, "INSERT INTO feeds (user_id, position, change_id) VALUES ('u1', 1, 'aaaaaaaaaaaa')")
		now := time.Now().UnixMilli()
		for id, end := range map[string]any{"past": now - 100_000, "near": now + 3_600_000, "none": nil} {
			mustExec(t, db, "INSERT INTO api_tokens (id, user_id, name, name_folded, hash, enabled, version, created_at, updated_at, expires_at) VALUES (?, 'u1', 'x', 'x', ?, ?, 1, 1, 1, ?)",
				id, []byte(id), true, end)
		}
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
		tellEnds(t, store)
		if got := ends(t, store, "u1"); len(got) != 1 || !strings.HasSuffix(got[0], " 1 days") {
			t.Errorf("got %q", got)
		}
	})
}
