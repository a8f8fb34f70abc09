// Package modelstest gives tests their storage: each one runs on SQLite and on
// a real MariaDB server, both fresh and empty.
//
// It promises that:
//
//   - every URL it hands out names a database nobody else uses;
//   - the MariaDB servers are private: started from the installed binaries, in
//     temporary folders, listening on 127.0.0.1 only and reading no
//     configuration of the machine;
//   - no server outlives the test process, however the process ends; a process
//     that is killed or panics leaves only a temporary folder behind;
//   - nothing waits for ever: every wait has a bound, and a server that fails
//     says why with the end of its log;
//   - where MariaDB is not installed the test is skipped with the reason, or
//     fails if TOKENWIRE_TEST_NO_SKIP=1, which CI sets.
//
// A package whose tests use Each or MariaDB ends the shared server with
//
//	func TestMain(m *testing.M) { programs.Main(m) }
package modelstest

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// shared is the one server that all tests of this process use, unless they
// start their own. Once starts it for the first test in need.
var shared struct {
	once   sync.Once
	server *instance
	err    error
}

// Each runs f as the subtests "sqlite" and "mariadb", each with the URL of a
// fresh empty database.
func Each(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("mariadb", func(t *testing.T) { f(t, MariaDB(t)) })
}

// SQLite returns the URL of a fresh database file, sqlite:<path>. The file does
// not exist yet; its folder is removed when the test ends.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "tokenwire.db")
}

// MariaDB returns the URL of a fresh database on the shared server,
// mysql://root@127.0.0.1:<port>/<name>. The database is dropped when the test
// ends, which fails the test if it left a transaction open there.
func MariaDB(t testing.TB) string {
	t.Helper()
	installed := requireTools(t)
	shared.once.Do(func() { startShared(installed) })
	if shared.err != nil {
		t.Fatalf("shared MariaDB server: %v", shared.err)
	}
	server := shared.server
	name, err := server.createDatabase()
	if err != nil {
		t.Fatalf("fresh database: %v", err)
	}
	t.Cleanup(func() {
		if err := server.exec("DROP DATABASE " + name); err != nil {
			t.Errorf("drop the database of this test: %v", err)
		}
	})
	return server.url(name)
}

// startShared starts the shared server, which ends after the last test.
func startShared(installed tools) {
	if shared.err = programs.AtEnd(endShared); shared.err == nil {
		shared.server, shared.err = newInstance(installed, flushPerSecond)
	}
}

func endShared() error {
	// Taking the once waits for a start under way and rules out a later one.
	shared.once.Do(func() {})
	if shared.server == nil {
		return nil
	}
	return shared.server.remove()
}

// requireTools returns the installed MariaDB, or ends the test for the want of
// one.
func requireTools(t testing.TB) tools {
	t.Helper()
	installed, err := findTools()
	if err != nil {
		programs.Missing(t, "MariaDB server to test on", err)
	}
	return installed
}
