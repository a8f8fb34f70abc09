package models_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// Pruning deletes from the beginning, whatever the clocks of the nodes said, and forgets no user who is still there.
func TestPruningKeepsASuffix(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}, EventsKept: time.Hour, Now: now})
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		idle := makeUser(t, store, admin, "idle")
		gone := makeUser(t, store, admin, "gone")
		token, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// One node's clock is an hour and a half slow for some changes in the middle.
		for i := range 30 {
			ahead.Store(int64(time.Duration(i) * 6 * time.Minute))
			if i%7 == 3 {
				ahead.Add(-int64(90 * time.Minute))
			}
			if _, err := store.SetTokenEnabled(t.Context(), again(admin), token.ID, i%2 == 1, models.ChangeOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.DeleteUser(t.Context(), again(admin), gone.UserID); err != nil {
			t.Fatal(err)
		}
		all := allEvents(t, store, admin.UserID)
		ahead.Store(int64(178 * time.Minute)) // so that of changes that are to be kept some come before an old one
		for more := true; more; {
			if more, err = store.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		cutoff := models.TimeOf(now().Add(-time.Hour))
		checkPruned(t, store, admin, all, cutoff)
		if events := allEvents(t, store, idle.UserID); len(events) != 0 {
			t.Errorf("events of %v are left after a cut at %v", events[0].Time, cutoff)
		}
		// Nothing of his is kept, and yet he stands where he stood.
		resumable(t, store, idle.Identity, idle.Position, true)
		if _, _, err := store.CreateToken(t.Context(), again(idle), "x", models.CreateTokenOptions{}); err != nil {
			t.Error(err)
		}
		if feeds := rowsOf(t, rawDB(t, url), "SELECT user_id FROM feeds"); len(feeds) != 3 { // "gone" is told of for an hour
			t.Errorf("got feeds %q", feeds)
		}
		ahead.Store(int64(400 * time.Minute))
		if _, err := store.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if feeds := rowsOf(t, rawDB(t, url), "SELECT user_id FROM feeds"); len(feeds) != 2 {
			t.Errorf("got feeds %q", feeds)
		}
	})
}

// checkPruned wants an end of what was a user's whole feed to be left, the part from cutoff on, and to be all that there
// is to go on from.
func checkPruned(t *testing.T, store *models.Store, who models.Actor, all []models.Event, cutoff models.Time) {
	t.Helper()
	left, last := allEvents(t, store, who.UserID), all[len(all)-1].At()
	if len(left) == 0 || len(left) == len(all) || left[len(left)-1].At() != last {
		t.Fatalf("%d of %d events are left", len(left), len(all))
	}
	for i, e := range left {
		if e.Time < cutoff || i > 0 && e.Position != left[i-1].Position+1 {
			t.Errorf("position %d of %v is left after a cut at %v", e.Position, e.Time, cutoff)
		}
	}
	id := *who.Identity
	id.Position = last
	for i, e := range all {
		resumable(t, store, &id, e.At(), i >= len(all)-len(left))
	}
	_, err := store.ReadEvents(t.Context(), &id, models.EventsOptions{After: all[len(all)-len(left)-1].At().String()})
	wantCode(t, err, models.Gone)
	if read, err := store.ReadEvents(t.Context(), &id, models.EventsOptions{After: last.String()}); err != nil || len(read.Events) != len(left)-1 {
		t.Errorf("%d events are left and %d read before the last, %v", len(left), len(read.Events), err)
	}
}

func resumable(t testing.TB, store *models.Store, id *models.Identity, p models.Position, want bool) {
	t.Helper()
	if got, err := store.Resumable(t.Context(), id, p); err != nil || got != want {
		t.Errorf("resumable from %s: %v, %v; want %v", p, got, err, want)
	}
}

func TestResumable(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		ada := makeUser(t, store, admin, "ada")
		for range 3 {
			for _, u := range []models.Actor{admin, ada} {
				if _, _, err := store.CreateToken(t.Context(), again(u), "x", models.CreateTokenOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		own, foreign := allEvents(t, store, ada.UserID), allEvents(t, store, admin.UserID)
		id := signIn(t, store, "ada").Identity
		for _, e := range own {
			resumable(t, store, id, e.At(), true)
		}
		for _, e := range foreign {
			resumable(t, store, id, e.At(), false)
		}
		last := own[len(own)-1].At()
		resumable(t, store, id, models.Position{Number: last.Number + 1, ChangeID: last.ChangeID}, false)
		resumable(t, store, id, models.Position{Number: last.Number + 1, ChangeID: models.NewChangeID()}, false)
		resumable(t, store, id, models.Position{Number: last.Number, ChangeID: strings.ToLower(last.ChangeID) + " "}, false)
		resumable(t, store, id, models.Position{Number: last.Number - 1, ChangeID: last.ChangeID}, false)
		resumable(t, store, id, models.Position{}, false)
	})
}

// After a restore the same numbers name other changes: who saw the lost ones must read anew, however far the feed has
// come since; who saw only what was restored goes on.
func TestResumableAfterRestore(t *testing.T) {
	folder := t.TempDir()
	file, backup := filepath.Join(folder, "db"), filepath.Join(folder, "backup")
	url, key := "sqlite:"+file, models.KeySource{File: filepath.Join(folder, "key")}
	var shared, lost []models.Event
	create := func(s *models.Store, by models.Actor) {
		if _, _, err := s.CreateToken(t.Context(), again(by), "x", models.CreateTokenOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var admin models.Actor
	closed(t, url, key, func(s *models.Store) {
		if _, err := s.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin = signIn(t, s, "admin")
		create(s, admin)
		shared = allEvents(t, s, admin.UserID)
	})
	copyFile(t, file, backup)
	closed(t, url, key, func(s *models.Store) {
		for range 3 {
			create(s, admin)
		}
		lost = allEvents(t, s, admin.UserID)[len(shared):]
	})
	copyFile(t, backup, file)
	closed(t, url, key, func(s *models.Store) {
		for range 5 { // behind what was lost, level with it, beyond it
			id := signIn(t, s, "admin").Identity
			for _, e := range shared {
				resumable(t, s, id, e.At(), true)
			}
			for _, e := range lost {
				resumable(t, s, id, e.At(), false)
			}
			create(s, admin)
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A read that holds a connection and asks for another one waits for itself as soon as there are as many of it as
// connections.
func TestManyReadsAtOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		for range 3 {
			if _, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		one := 1
		first, err := store.ReadEvents(t.Context(), admin.Identity, models.EventsOptions{Limit: &one})
		if err != nil || first.Next == nil {
			t.Fatal(first, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		read := func() {
			for range 5 {
				page, err := store.ReadEvents(ctx, admin.Identity, models.EventsOptions{After: *first.Next})
				if err != nil || len(page.Events) != 2 {
					t.Errorf("got %d events, %v", len(page.Events), err)
				}
				tokens, err := store.ReadTokens(ctx, admin.Identity, models.TokensOptions{})
				if err != nil || len(tokens.Tokens) != 3 {
					t.Errorf("got %d tokens, %v", len(tokens.Tokens), err)
				}
			}
		}
		together(slices.Repeat([]func(){read}, 64)...)
	})
}
