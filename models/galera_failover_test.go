package models_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// goesOn wants changes and reads to work again within seconds; what fails meanwhile says that the database is away, and
// changes nothing.
func goesOn(t *testing.T, store *models.Store, admin models.Actor, after string) {
	t.Helper()
	began := time.Now()
	for {
		token, _, err := store.CreateToken(t.Context(), again(admin), after, models.CreateTokenOptions{})
		if err == nil {
			_, err = store.SetTokenEnabled(t.Context(), again(admin), token.ID, false, models.ChangeOptions{})
		}
		if err == nil {
			_, err = store.ReadTokens(t.Context(), admin.Identity, models.TokensOptions{})
		}
		if err == nil {
			break
		}
		if !models.Away(err) && !errors.Is(err, models.ErrInDoubt) {
			t.Fatalf("after %s: %T: %v", after, err, err)
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("after %s nothing goes on: %v", after, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("after %s calls went on within %v", after, time.Since(began))
}

// A store that knows several hosts leaves one that turns read-only, one that is not in its cluster any more, and one that is
// gone, and goes on at another one.
func TestGaleraHostsThatFail(t *testing.T) {
	cluster := modelstest.StartCluster(t)
	hosts := cluster.URLs()
	for _, statement := range []string{"CREATE USER app", "GRANT ALL ON `test\\_%`.* TO app"} { // root writes also where it is read-only
		mustExec(t, rawDB(t, hosts[0]), statement)
	}
	readOnly := func(on bool, which ...int) {
		t.Helper()
		for _, i := range which {
			mustExec(t, rawDB(t, hosts[i]), "SET GLOBAL read_only = ?", on)
		}
	}
	readOnly(true, 1, 2)
	url := strings.Replace(cluster.URL(), "root@", "app@", 1)
	key := models.KeySource{File: filepath.Join(t.TempDir(), "key")}
	store := openKeyed(t, url, models.Options{Key: key})
	if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	admin := signIn(t, store, "admin")
	goesOn(t, store, admin, "the start")

	readOnly(true, 0)
	_, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
	if !models.Away(err) {
		t.Errorf("with all hosts read-only: %v", err)
	}
	readOnly(false, 1)
	began := time.Now()
	goesOn(t, store, admin, "another host took over")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("that took %v", took)
	}
	readOnly(false, 0, 2)
	readOnly(true, 1)
	if _, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{}); err != nil {
		t.Errorf("the caller was told that a host turned read-only: %v", err)
	}
	readOnly(false, 1)

	single := strings.Replace(hosts[0], "root@", "app@", 1)
	alone := openKeyed(t, single, models.Options{Key: key})
	if _, err := alone.EnterNode(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	cluster.Freeze(1, 2) // the first host is the smaller part
	_, name, _ := strings.Cut(strings.TrimPrefix(hosts[0], "mysql://"), "/")
	if err := alone.WantNodes(t.Context(), ""); !models.Away(err) {
		t.Errorf("a statement that the first host could not tell the others of: %v", err)
	}
	waitFor(t, "the first host to be alone", func() bool {
		_, err := rawDB(t, hosts[0]).Exec("SELECT name FROM " + name + ".meta")
		return err != nil
	})
	if _, err := models.Open(t.Context(), single, models.Options{Key: key}); !models.Away(err) {
		t.Errorf("a host without its cluster was opened: %v", err)
	}
	cluster.Thaw(1, 2)
	goesOn(t, store, admin, "the cluster was apart")
	cluster.Kill(0)
	goesOn(t, store, admin, "a host was killed")
	checkFeed(t, store, hosts[1], admin.UserID)
	for _, end := range []func(int){func(int) {}, cluster.Stop} { // it was killed already
		end(0)
		if _, _, err := store.CreateToken(t.Context(), again(admin), "missed", models.CreateTokenOptions{}); err != nil {
			t.Fatal(err)
		}
		cluster.Start(0)
		checkFeed(t, store, hosts[0], admin.UserID)
	}
}
