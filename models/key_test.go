package models_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

func parseKey(t testing.TB, hexadecimal string) *models.Key {
	t.Helper()
	k, err := models.ParseKey(models.NewSecret(hexadecimal))
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

// closed opens a store, lets f use it, and closes it.
func closed(t *testing.T, url string, source models.KeySource, f func(*models.Store)) {
	t.Helper()
	store, err := models.Open(t.Context(), url, models.Options{Key: source})
	if err != nil {
		t.Fatal(err)
	}
	f(store)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// refused wants Open to fail, to say why in words that contain each of say, and to change nothing in the database.
func refused(t *testing.T, url string, source models.KeySource, say ...string) {
	t.Helper()
	before := dump(t, url)
	store, err := models.Open(t.Context(), url, models.Options{Key: source})
	if err == nil {
		store.Close()
		t.Error("the store was opened")
		return
	}
	for _, s := range say {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	sameDump(t, "a refused start", before, dump(t, url))
}

func TestKeyFile(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		folder := t.TempDir()
		source := models.KeySource{File: filepath.Join(folder, "key")}
		var token models.Secret
		closed(t, url, source, func(s *models.Store) {
			if _, err := s.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
				t.Fatal(err)
			}
			var err error
			if _, token, err = s.CreateToken(t.Context(), signIn(t, s, "admin"), "x", models.CreateTokenOptions{}); err != nil {
				t.Fatal(err)
			}
		})
		key, err := os.ReadFile(source.File)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := hex.DecodeString(strings.TrimSpace(string(key))); err != nil || len(b) != 32 || bytes.Count(b, []byte{0}) == 32 {
			t.Errorf("the file does not hold 64 hexadecimal digits")
		}
		if info, err := os.Stat(source.File); err != nil || info.Mode() != 0o600 {
			t.Errorf("got mode %v, %v", info.Mode(), err)
		}
		onlyFiles(t, folder, "key")

		if err := os.Remove(source.File); err != nil {
			t.Fatal(err)
		}
		refused(t, url, source, source.File, "TOKENWIRE_KEY")
		onlyFiles(t, folder) // above all no new key

		for content, say := range map[string]string{
			strings.Repeat("0f", 32) + "\n": "not the one",
			"":                              "64 hexadecimal digits",
			string(key[:40]):                "64 hexadecimal digits",
		} {
			if err := os.WriteFile(source.File, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, url, source, say)
			if got, err := os.ReadFile(source.File); err != nil || string(got) != content {
				t.Errorf("a refused start changed the key file: %v", err)
			}
		}
		refused(t, url, models.KeySource{Key: parseKey(t, strings.Repeat("ab", 32))}, "not the one")

		if err := os.WriteFile(source.File, key, 0o600); err != nil {
			t.Fatal(err)
		}
		good := func(s *models.Store) { authenticate(t, s, token) }
		closed(t, url, source, good)
		given := parseKey(t, string(key))
		closed(t, url, models.KeySource{Key: given}, good)
		closed(t, url, models.KeySource{Key: given, File: filepath.Join(folder, "none")}, good)
		onlyFiles(t, folder, "key")
	})
}

// A file that is no key must stop a first start too: to overwrite it could destroy the key of another database.
func TestKeyFileIsNeverOverwritten(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		source := models.KeySource{File: filepath.Join(t.TempDir(), "key")}
		if err := os.WriteFile(source.File, []byte("something else"), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := models.Open(t.Context(), url, models.Options{Key: source}); err == nil {
			s.Close()
			t.Error("the store was opened")
		}
		if got, err := os.ReadFile(source.File); err != nil || string(got) != "something else" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestGivenKeyMakesNoFile(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		folder := t.TempDir()
		closed(t, url, models.KeySource{Key: parseKey(t, strings.Repeat("ab", 32)), File: filepath.Join(folder, "key")}, func(*models.Store) {})
		onlyFiles(t, folder)
	})
}

func onlyFiles(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder has %q, want %q", got, want)
	}
}

// Two nodes with keys of their own meet on a fresh database: one key becomes the database's, the other node is told.
func TestTwoKeysOnFreshDatabase(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		closed(t, url, models.KeySource{Key: parseKey(t, strings.Repeat("ab", 32))}, func(*models.Store) {})
		db := rawDB(t, url)
		for round := range 10 {
			mustExec(t, db, "DELETE FROM meta WHERE name = 'key-check'") // fresh again, without the cost of migrations
			keys := []string{strings.Repeat("01", 32), strings.Repeat("02", 32)}
			stores := make([]*models.Store, len(keys))
			var all sync.WaitGroup
			for i, k := range keys {
				source := models.KeySource{Key: parseKey(t, k)}
				all.Go(func() {
					var err error
					stores[i], err = models.Open(t.Context(), url, models.Options{Key: source})
					if err != nil && !strings.Contains(err.Error(), "not the one") {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			all.Wait()
			if (stores[0] == nil) == (stores[1] == nil) {
				t.Errorf("round %d: both keys were taken, or none", round)
			}
			for _, s := range stores {
				if s != nil {
					s.Close()
				}
			}
		}
	})
}
