package models_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// migrationFiles returns the statements of each version, as they lie in the repository.
func migrationFiles(t testing.TB, dialect string) (versions [][]string) {
	t.Helper()
	files, err := filepath.Glob("migrations/" + dialect + "/*.sql")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var statements []string
		for s := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(s) != "" {
				statements = append(statements, s)
			}
		}
		versions = append(versions, statements)
	}
	return versions
}

// schemaOf returns the definitions of all tables and indexes.
func schemaOf(t testing.TB, url string) []string {
	t.Helper()
	db := rawDB(t, url)
	if dialectOf(url) == "sqlite" {
		return rowsOf(t, db, "SELECT type, name, sql FROM sqlite_master")
	}
	return append(rowsOf(t, db, `SELECT table_name, column_name, ordinal_position, column_type, is_nullable, column_key
			FROM information_schema.columns WHERE table_schema = DATABASE()`),
		rowsOf(t, db, `SELECT table_name, index_name, seq_in_index, column_name
			FROM information_schema.statistics WHERE table_schema = DATABASE()`)...)
}

func versionsOf(t testing.TB, db *sql.DB) []string {
	t.Helper()
	return rowsOf(t, db, "SELECT version FROM schema_migrations")
}

func wantVersions(n int) (want []string) {
	for v := range n {
		want = append(want, fmt.Sprintf("version=%d ", v+1))
	}
	return want
}

const createMigrations = "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"

func TestMigrateEmptyDatabaseOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		known := len(migrationFiles(t, dialectOf(url)))
		options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}}
		openKeyed(t, url, options)
		if got := versionsOf(t, rawDB(t, url)); !slices.Equal(got, wantVersions(known)) {
			t.Errorf("got %q", got)
		}
		schema, rows := schemaOf(t, url), dump(t, url)
		openKeyed(t, url, options) // beside the first, as a second node is
		if got := schemaOf(t, url); !slices.Equal(got, schema) {
			t.Errorf("a second start changed the schema from\n%q\nto\n%q", schema, got)
		}
		sameDump(t, "a second start", rows, dump(t, url))
	})
}

// A database of version 1 with rows in every table keeps them, and who is in it can go on.
func TestMigrateOlderDatabaseWithData(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		versions := migrationFiles(t, dialectOf(url))
		db := rawDB(t, url)
		for _, s := range versions[0] {
			mustExec(t, db, s)
		}
		mustExec(t, db, createMigrations)
		mustExec(t, db, "INSERT INTO schema_migrations VALUES (1, 1)")
		mustExec(t, db, "INSERT INTO permissions VALUES ('reports:read', 'Reports', 'Read them.', 5)")
		mustExec(t, db, "INSERT INTO users VALUES ('u1', 'ada', '', ?, 6)", true)
		mustExec(t, db, "INSERT INTO user_permissions VALUES ('u1', 'reports:read')")
		mustExec(t, db, "INSERT INTO api_tokens VALUES ('t1', 'u1', 'Old', 'old', ?, ?, 3, 7, 8, NULL, 9)", []byte("hash"), false)
		mustExec(t, db, "INSERT INTO api_token_permissions VALUES ('t1', 'reports:read')")
		mustExec(t, db, "INSERT INTO sessions VALUES ('s1', 'u1', ?, '192.0.2.1', 'agent', 7, 8, 9000000000000)", []byte("hash"))
		const token = "SELECT id, user_id, name, name_folded, hash, enabled, version, created_at, updated_at, expires_at, last_used_at FROM api_tokens"
		before := map[string][]string{token: nil}
		before["SELECT id, username, password_hash, enabled, created_at FROM users"] = nil
		for _, table := range []string{"user_permissions", "api_token_permissions", "sessions"} {
			before["SELECT * FROM "+table] = nil
		}
		for query := range before {
			before[query] = rowsOf(t, db, query)
		}
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
		if got := versionsOf(t, db); !slices.Equal(got, wantVersions(len(versions))) {
			t.Errorf("got versions %q", got)
		}
		for query, rows := range before {
			if got := rowsOf(t, db, query); len(rows) == 0 || !slices.Equal(got, rows) {
				t.Errorf("%s: changed from %q to %q", query, rows, got)
			}
		}
		ada := models.Actor{ChangeID: models.NewChangeID(), Identity: &models.Identity{
			UserID: "u1", Username: "ada", Credential: models.Credential{Kind: models.KindSession, ID: "s1"},
		}}
		read, err := store.ReadTokens(t.Context(), ada.Identity, models.TokensOptions{})
		if err != nil || len(read.Tokens) != 1 || read.Tokens[0].Enabled || read.Tokens[0].Version != 3 || !read.Tokens[0].Permissions["reports:read"] {
			t.Errorf("got %+v, %v", read, err)
		}
		if _, err := models.ParsePosition(read.Position.String()); err != nil {
			t.Errorf("her position %q is none", read.Position)
		}
		first := allEvents(t, store, "u1")
		if len(first) != 1 || first[0].At() != read.Position || first[0].Method != models.UserCreated || string(first[0].Params) != `{"by":null,"userId":"u1"}` {
			t.Errorf("her feed at %s is %+v", read.Position, first)
		}
		if _, err := store.SetTokenEnabled(t.Context(), ada, "t1", true, models.ChangeOptions{}); err != nil {
			t.Errorf("a user of the older database cannot change his token: %v", err)
		}
	})
}

// What a program of the version before writes into a database of this one is whole: it names the columns that it knows.
func TestOlderProgramBesideNewerDatabase(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		db := rawDB(t, url)
		token, secret, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var hash []byte
		if err := db.QueryRow("SELECT hash FROM api_tokens WHERE id = ?", token.ID).Scan(&hash); err != nil {
			t.Fatal(err)
		}
		if err := store.DeleteToken(t.Context(), again(admin), token.ID); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, `INSERT INTO api_tokens (id, user_id, name, name_folded, hash, enabled, version, created_at, updated_at, expires_at, last_used_at)
			VALUES (?, ?, 'x', 'x', ?, ?, 1, 1, 1, NULL, NULL)`, token.ID, admin.UserID, hash, true)
		authenticate(t, store, secret)
		if got := rowsOf(t, db, "SELECT allowed_ips, rate_requests, rate_window, secret_number, previous_hash, previous_until FROM api_tokens"); !slices.Equal(got,
			[]string{"allowed_ips=<nil> rate_requests=<nil> rate_window=<nil> secret_number=1 previous_hash=<nil> previous_until=<nil> "}) {
			t.Errorf("got %q", got)
		}
		if _, err := db.Exec(`INSERT INTO api_tokens (id, user_id, name, name_folded, hash, enabled, version, created_at, updated_at)
			VALUES ('other', 'u', 'x', 'x', ?, ?, 1, 1, 1)`, hash, true); err == nil {
			t.Error("two tokens have one secret")
		}
	})
}

func TestMigrateNewerDatabase(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		known := len(migrationFiles(t, dialectOf(url)))
		options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}}
		openKeyed(t, url, options)
		db := rawDB(t, url)
		mustExec(t, db, "INSERT INTO schema_migrations VALUES (?, 1)", known+1)
		openKeyed(t, url, options) // a node of the version before works beside the one that migrated
		mustExec(t, db, "INSERT INTO schema_migrations VALUES (?, 1)", known+2)
		before := dump(t, url)
		store, err := models.Open(t.Context(), url, options)
		if err == nil {
			store.Close()
			t.Fatal("a database two versions ahead was opened")
		}
		if !strings.Contains(err.Error(), "newer Tokenwire") || !strings.Contains(err.Error(), fmt.Sprint(known+2)) {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
		sameDump(t, "a refused start", before, dump(t, url))
	})
}

// MySQL commits each statement of a migration by itself, so that a start can end between any two of them.
func TestMigrateAgainAfterCut(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, reference string) {
		key := models.KeySource{File: filepath.Join(t.TempDir(), "key")}
		openKeyed(t, reference, models.Options{Key: key})
		schema := schemaOf(t, reference)
		fresh := modelstest.SQLite
		if dialectOf(reference) != "sqlite" {
			fresh = modelstest.MariaDB
		}
		versions := migrationFiles(t, dialectOf(reference))
		for v, statements := range versions {
			for cut := range len(statements) + 1 { // the last one: all was done but the version was not noted
				url := fresh(t)
				db := rawDB(t, url)
				mustExec(t, db, createMigrations)
				for done := range v {
					for _, s := range versions[done] {
						mustExec(t, db, s)
					}
					mustExec(t, db, "INSERT INTO schema_migrations VALUES (?, 1)", done+1)
					if done == 0 { // users of before there was a feed
						mustExec(t, db, "INSERT INTO users VALUES ('u1', 'ada', '', ?, 6), ('u2', 'bob', '', ?, 7)", true, true)
					}
				}
				for _, s := range statements[:cut] {
					mustExec(t, db, s)
				}
				store, err := models.Open(t.Context(), url, models.Options{Key: key})
				if err != nil {
					t.Fatalf("version %d cut after %d statements: %v", v+1, cut, err)
				}
				if err := store.Close(); err != nil {
					t.Error(err)
				}
				if got := schemaOf(t, url); !slices.Equal(got, schema) {
					t.Errorf("version %d cut after %d statements gave the schema\n%q\ninstead of\n%q", v+1, cut, got, schema)
				}
				if got := versionsOf(t, db); !slices.Equal(got, wantVersions(len(versions))) {
					t.Errorf("version %d cut after %d statements: %q", v+1, cut, got)
				}
				feeds := rowsOf(t, db, "SELECT f.user_id FROM feeds f JOIN events e ON e.user_id = f.user_id AND e.position = f.position AND e.change_id = f.change_id")
				if all := rowsOf(t, db, "SELECT id FROM users"); len(feeds) != len(all) {
					t.Errorf("version %d cut after %d statements: users %q, good feeds %q", v+1, cut, all, feeds)
				}
				db.Close()
			}
		}
	})
}

// The start of a node as goroutines of one process: all of them succeed, one makes the administrator, and they share one key.
func TestOpenTogetherInOneProcess(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		options := models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}}
		stores := make([]*models.Store, 4)
		made := make([]bool, len(stores))
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() {
				var err error
				if stores[i], err = models.Open(t.Context(), url, options); err != nil {
					t.Errorf("store %d: %v", i, err)
					return
				}
				if made[i], err = stores[i].Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
					t.Errorf("store %d: bootstrap: %v", i, err)
				}
			})
		}
		all.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(made), func(b bool) bool { return !b })); n != 1 {
			t.Errorf("%d stores made the administrator", n)
		}
		for _, s := range stores {
			if s == nil {
				continue
			}
			defer s.Close()
			admin := signIn(t, s, "admin")
			_, secret, err := s.CreateToken(t.Context(), admin, "x", models.CreateTokenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for j, other := range stores {
				if other == nil {
					continue
				}
				if _, err := other.Authenticate(t.Context(), secret, ""); err != nil {
					t.Errorf("store %d does not know another one's token: %v", j, err)
				}
			}
		}
		checkTogether(t, url)
	})
}

const (
	childURL = "MODELS_TEST_OPEN_URL"
	childKey = "MODELS_TEST_OPEN_KEY"
)

// TestOpenChild is one of the processes of TestOpenTogetherInManyProcesses, and nothing by itself.
func TestOpenChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		return
	}
	store := openKeyed(t, url, models.Options{Key: models.KeySource{File: os.Getenv(childKey)}})
	if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	signIn(t, store, "admin")
}

// File locks of SQLite are between processes, so that goroutines alone would prove little.
func TestOpenTogetherInManyProcesses(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		key := filepath.Join(t.TempDir(), "key")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpenChild$")
				child.Env = append(os.Environ(), childURL+"="+url, childKey+"="+key)
				if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS")) {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		all.Wait()
		checkTogether(t, url)
	})
}

func checkTogether(t *testing.T, url string) {
	t.Helper()
	db := rawDB(t, url)
	if got := versionsOf(t, db); !slices.Equal(got, wantVersions(len(migrationFiles(t, dialectOf(url))))) {
		t.Errorf("got versions %q", got)
	}
	if got := rowsOf(t, db, "SELECT username FROM users"); !slices.Equal(got, []string{"username=admin "}) {
		t.Errorf("got users %q", got)
	}
	if got := rowsOf(t, db, "SELECT id FROM permissions"); len(got) != 3 {
		t.Errorf("got permissions %q", got)
	}
}

// Another node migrates for longer than any statement of a call may take: a start waits for it.
func TestWaitingForALongMigration(t *testing.T) {
	t.Parallel()
	url := modelstest.MariaDB(t)
	db := rawDB(t, url)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const lock = "SELECT GET_LOCK(CONCAT('tokenwire migrations ', SHA1(DATABASE())), 0)"
	var got int
	if err := conn.QueryRowContext(t.Context(), lock).Scan(&got); err != nil || got != 1 {
		t.Fatal(got, err)
	}
	const long = 11 * time.Second // a call's statement is given up after 10
	freed := time.AfterFunc(long, func() { conn.Close() })
	defer freed.Stop()
	db.SetMaxIdleConns(0) // closed is closed
	began := time.Now()
	openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
	if waited := time.Since(began); waited < long-time.Second {
		t.Errorf("waited %v only", waited)
	}
}
