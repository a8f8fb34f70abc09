package models_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestOpenSaysWhatToDo: who cannot open the database is told how to mend it, and never the password.
func TestOpenSaysWhatToDo(t *testing.T) {
	const secret = "no-error-has-this"
	for name, test := range map[string]struct {
		wrong func(t *testing.T, u *url.URL)
		want  []string
	}{
		"wrong password": {func(t *testing.T, u *url.URL) { u.User = url.UserPassword("root", secret) }, []string{"1045", "TOKENWIRE_DATABASE_PASSWORD"}},
		"no database":    {func(t *testing.T, u *url.URL) { u.Path = "/none" }, []string{"1049", "'none'", "CREATE DATABASE", "README.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(modelstest.MariaDB(t))
			if err != nil {
				t.Fatal(err)
			}
			test.wrong(t, u)
			refusesToOpen(t, u.String(), secret, test.want...)
		})
	}
	for _, text := range []string{"a note\n", strings.Repeat("These are notes.\n", 100)} {
		t.Run(fmt.Sprintf("a file of %d bytes of something else", len(text)), func(t *testing.T) {
			at := modelstest.SQLite(t)
			file := models.DatabaseFile(at)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			refusesToOpen(t, at, secret, file+" is no database of SQLite", "--database")
			if now, err := os.ReadFile(file); err != nil || string(now) != text {
				t.Errorf("the file was changed to %q, %v", now, err)
			}
		})
	}
}

// refusesToOpen opens a database, which must fail with an error that has these words and no secret, and is nothing to wait for.
func refusesToOpen(t *testing.T, at, secret string, words ...string) {
	t.Helper()
	s, err := models.Open(t.Context(), at, models.Options{})
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v: it lacks %q", err, word)
		}
	}
	if strings.Contains(err.Error(), secret) || models.Away(err) {
		t.Errorf("%v: it has the password, or is taken for one that passes", err)
	}
}
