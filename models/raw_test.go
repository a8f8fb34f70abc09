package models_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/tokenwire/tokenwire/models"
)

// rawDB opens the database behind url without the store, to see and do what the store does not.
func rawDB(t testing.TB, databaseURL string) *sql.DB {
	t.Helper()
	var db *sql.DB
	var err error
	if file := models.DatabaseFile(databaseURL); file != "" {
		db, err = sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	} else {
		u, bad := url.Parse(databaseURL)
		if bad != nil {
			t.Fatal(bad)
		}
		config := mysql.NewConfig()
		config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.Trim(u.Path, "/")
		db, err = sql.Open("mysql", config.FormatDSN())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func dialectOf(databaseURL string) string {
	scheme, _, _ := strings.Cut(databaseURL, ":")
	return scheme
}

func mustExec(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// rowsOf returns every row of a table as text, in the order of that text.
func rowsOf(t testing.TB, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for rows.Next() {
		values := make([]any, len(columns))
		pointers := make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			t.Fatal(err)
		}
		var line strings.Builder
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			fmt.Fprintf(&line, "%s=%v ", columns[i], v)
		}
		out = append(out, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// dump returns all rows of all tables, table by table.
func dump(t testing.TB, databaseURL string) map[string][]string {
	t.Helper()
	db := rawDB(t, databaseURL)
	list := "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
	if dialectOf(databaseURL) == "sqlite" {
		list = "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	tables := map[string][]string{}
	for _, row := range rowsOf(t, db, list) {
		_, name, _ := strings.Cut(strings.TrimSpace(row), "=")
		tables[name] = rowsOf(t, db, "SELECT * FROM "+name)
	}
	if len(tables) < 5 { // the tests that look for something in a dump must not look at nothing
		t.Fatalf("only %d tables in the dump", len(tables))
	}
	return tables
}

// sameDump fails the test where two dumps differ.
func sameDump(t testing.TB, what string, before, after map[string][]string) {
	t.Helper()
	for table := range before {
		if !slices.Equal(before[table], after[table]) {
			t.Errorf("%s: table %s changed\nfrom %q\nto   %q", what, table, before[table], after[table])
		}
	}
	if len(before) != len(after) {
		t.Errorf("%s: %d tables, then %d", what, len(before), len(after))
	}
}

// openKeyed opens a store that is closed when the test ends.
func openKeyed(t testing.TB, databaseURL string, o models.Options) *models.Store {
	t.Helper()
	store, err := models.Open(t.Context(), databaseURL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// makeUser makes a user with permissions and returns him signed in. by is an administrator who holds them.
func makeUser(t testing.TB, store *models.Store, by models.Actor, name string, permissions ...string) models.Actor {
	t.Helper()
	grants := models.Grants{}
	for _, p := range permissions {
		grants[p] = true
	}
	by.ChangeID = models.NewChangeID()
	if _, err := store.CreateUser(t.Context(), by, name, models.CreateUserOptions{Password: models.NewSecret(password), Permissions: grants}); err != nil {
		t.Fatal(err)
	}
	_, _, secret, err := store.SignIn(t.Context(), name, models.NewSecret(password), "192.0.2.1", "test")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := store.Authenticate(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	return models.Actor{Identity: identity, ChangeID: models.NewChangeID()}
}

// again is the same caller with another change.
func again(by models.Actor) models.Actor {
	by.ChangeID = models.NewChangeID()
	return by
}

// allEvents returns a user's whole feed, oldest first.
func allEvents(t testing.TB, store *models.Store, userID string) []models.Event {
	t.Helper()
	var all []models.Event
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Position
		}
		page, err := store.EventsAfter(t.Context(), userID, after)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < models.EventsPage {
			return all
		}
	}
}
