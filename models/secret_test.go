package models_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// hidden is what must be found nowhere. It is hexadecimal so that it can be a key too.
const hidden = "5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4"

type holder struct {
	Secret  models.Secret
	Pointer *models.Secret
	Key     models.Key
	KeyAt   *models.Key
	List    []models.Secret
	ByName  map[string]models.Secret
	Any     any
}

// unexportedHolder is a struct like most of a program's own: fmt calls no method of what lies in a field without an
// upper-case name, it prints what it finds there.
type unexportedHolder struct {
	secret models.Secret
	key    models.Key
	any    any
}

func secretsToPrint(t testing.TB) map[string]any {
	t.Helper()
	s, k := models.NewSecret(hidden), *parseKey(t, hidden)
	h := holder{s, &s, k, &k, []models.Secret{s}, map[string]models.Secret{"x": s}, s}
	return map[string]any{
		"secret": s, "pointer": &s, "key": k, "pointer to key": &k, "struct": h, "pointer to struct": &h,
		"list": []any{s, &s, k, &k}, "map": map[string]any{"secret": s, "key": k},
	}
}

// shows reports whether out has the secret or the key, in any of the ways that Go writes text and bytes.
func shows(out string) bool {
	raw, _ := hex.DecodeString(hidden)
	decimal := strings.Trim(fmt.Sprint(raw), "[]")
	for _, form := range []string{hidden, hex.EncodeToString([]byte(hidden)), string(raw), decimal, fmt.Sprintf("%#v", raw)[7:40], fmt.Sprintf("%q", raw)[1:20]} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"}

func TestSecretsRedactThemselves(t *testing.T) {
	for name, v := range secretsToPrint(t) {
		for _, verb := range verbs {
			if out := fmt.Sprintf(verb, v); shows(out) {
				t.Errorf("%s: %s gives %s", name, verb, out)
			}
		}
		v1, err1 := json.Marshal(v)
		v2, err2 := jsonv2.Marshal(v)
		if err1 != nil || err2 != nil || shows(string(v1)) || shows(string(v2)) || !bytes.Contains(v1, []byte("redacted")) || !bytes.Contains(v2, []byte("redacted")) {
			t.Errorf("%s: json gives %s, %v and %s, %v", name, v1, err1, v2, err2)
		}
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		if shows(text.String()) || shows(structured.String()) {
			t.Errorf("%s: slog gives %s and %s", name, &text, &structured)
		}
		var encoded bytes.Buffer
		if err := gob.NewEncoder(&encoded).Encode(v); shows(encoded.String()) { // an error is as good
			t.Errorf("%s: gob gives %q, %v", name, &encoded, err)
		}
	}
	if got := models.NewSecret(hidden).String(); got != "[redacted]" {
		t.Errorf("got %q", got)
	}
	if got := models.NewSecret(hidden).Reveal(); got != hidden {
		t.Errorf("Reveal gives %q", got)
	}
}

// %w outside of Errorf, and of what is no error, is the one verb for which fmt calls no method either.
func TestSecretsWhereNoMethodIsCalled(t *testing.T) {
	s, k := models.NewSecret(hidden), *parseKey(t, hidden)
	h := unexportedHolder{s, k, s}
	for name, v := range map[string]any{"struct": h, "pointer": &h, "list": []any{h}, "secret": s, "pointer to secret": &s, "key": k, "pointer to key": &k} {
		for _, verb := range append(verbs, "%w") {
			if out := fmt.Sprintf(verb, v); shows(out) {
				t.Errorf("%s: %s gives %.200s", name, verb, out)
				break
			}
		}
		var text bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		if shows(text.String()) {
			t.Errorf("%s: slog gives %.200s", name, &text)
		}
	}
}

// Printers of other makers follow pointers and read unexported fields: there must be no way to the text.
func TestSecretsUnderReflection(t *testing.T) {
	s, k := models.NewSecret(hidden), *parseKey(t, hidden)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Func: // can be called, but not from a field that is not exported
			if v.CanInterface() {
				t.Errorf("a %s can be had", v.Type())
			}
		default:
			t.Errorf("a %s is to be read", v.Type())
		}
	}
	walk(reflect.ValueOf(&unexportedHolder{s, k, s}))
	walk(reflect.ValueOf(s))
	walk(reflect.ValueOf(k))
}

func TestNoSecret(t *testing.T) {
	for _, s := range []models.Secret{{}, models.NewSecret("")} {
		if !s.IsZero() || s.Reveal() != "" || s.String() != "[redacted]" {
			t.Errorf("%v holds %q", s, s.Reveal())
		}
	}
	if models.NewSecret("x").IsZero() {
		t.Error("a secret is none")
	}
}

// What can open a door is not in the database: neither as it is, nor in a form that would do in its place.
func TestNoSecretInTheDatabase(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		folder := t.TempDir()
		source := models.KeySource{File: filepath.Join(folder, "key")}
		const newPassword = "another horse entirely"
		search := map[string]string{"password": password, "new password": newPassword}
		add := func(what string, s models.Secret) {
			search[what] = s.Reveal()
			search["random part of "+what] = strings.Split(s.Reveal(), "_")[2]
			sum := sha256.Sum256([]byte(s.Reveal()))
			search["digest of "+what] = string(sum[:])
			search["hexadecimal digest of "+what] = hex.EncodeToString(sum[:])
		}
		known := "" // what is in the database, to see that the search would find it
		closed(t, url, source, func(s *models.Store) {
			if _, err := s.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
				t.Fatal(err)
			}
			_, session, secret, err := s.SignIn(t.Context(), "admin", models.NewSecret(password), "192.0.2.1", "test")
			if err != nil {
				t.Fatal(err)
			}
			known = session.ID
			add("session", secret)
			admin := authenticate(t, s, secret)
			token, secret, err := s.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{"admin": true}})
			if err != nil {
				t.Fatal(err)
			}
			add("token", secret)
			for i := range 2 { // the database holds something of the last two secrets
				_, secret, err := s.RotateToken(t.Context(), again(admin), token.ID, models.RotateOptions{Overlap: 60})
				if err != nil {
					t.Fatal(err)
				}
				add(fmt.Sprint("secret of the token after rotation ", i), secret)
			}
			if _, err := s.SetTokenEnabled(t.Context(), again(admin), token.ID, false, models.ChangeOptions{}); err != nil {
				t.Error(err)
			}
			if err := s.SetPassword(t.Context(), again(admin), models.NewSecret(password), models.NewSecret(newPassword)); err != nil {
				t.Error(err)
			}
			if _, err := s.CreateUser(t.Context(), again(admin), "ada", models.CreateUserOptions{Password: models.NewSecret(password)}); err != nil {
				t.Error(err)
			}
			s.FlushUses(t.Context())
			searchDatabase(t, url, search, known) // while it is open: SQLite has most of it in the -wal file
		})
		key, err := os.ReadFile(source.File)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := hex.DecodeString(strings.TrimSpace(string(key)))
		search["key"], search["hexadecimal key"] = string(raw), strings.TrimSpace(string(key))
		searchDatabase(t, url, search, known)
	})
}

func searchDatabase(t *testing.T, url string, search map[string]string, known string) {
	t.Helper()
	haystacks := map[string]string{}
	for table, rows := range dump(t, url) {
		haystacks["table "+table] = strings.Join(rows, "\n")
	}
	if file := models.DatabaseFile(url); file != "" {
		files, _ := filepath.Glob(file + "*")
		raw := ""
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			raw += string(b)
		}
		if haystacks["files"] = raw; !strings.Contains(raw, known) {
			t.Fatal("the files do not even hold what they must")
		}
	}
	if !strings.Contains(haystacks["table sessions"], known) {
		t.Fatal("the dump does not even hold what it must")
	}
	for where, text := range haystacks {
		for what, secret := range search {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the %s is in it", where, what)
			}
		}
	}
}
