package models_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// A change of two users that loses a deadlock to somebody else's transaction is repeated, and nobody notices.
func TestDeadlockIsRepeated(t *testing.T) {
	url := modelstest.MariaDB(t) // SQLite has one writer, and no deadlocks
	store, admin := open(t, url)
	ctx := t.Context()
	const id = "reports:read"
	if _, err := store.CreatePermission(ctx, again(admin), id, models.CreatePermissionOptions{}); err != nil {
		t.Fatal(err)
	}
	ada := makeUser(t, store, admin, "ada", id)
	first, second := min(admin.UserID, ada.UserID), max(admin.UserID, ada.UserID) // feeds are bumped in the order of ids
	// Whoever wrote less is the victim. The other transaction writes a lot, so that the store's is it.
	db := rawDB(t, url)
	mustExec(t, db, "CREATE TABLE weight (id INT PRIMARY KEY, filler VARBINARY(100)) ENGINE=InnoDB")
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		exec("INSERT INTO weight VALUES (?, ?)", i, fmt.Sprint(i))
	}
	exec("SELECT position FROM feeds WHERE user_id = ? FOR UPDATE", second)
	done := make(chan error, 1)
	go func() { done <- store.DeletePermission(ctx, again(admin), id) }()
	waitFor(t, "the change to wait for the second feed", func() bool {
		time.Sleep(150 * time.Millisecond) // this table shows an old state to those who ask more often than every 100 ms
		var n int
		err := db.QueryRow("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&n)
		return err == nil && n > 0
	})
	deadlocks := func() (n int) {
		var name string
		if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := deadlocks()
	exec("SELECT position FROM feeds WHERE user_id = ? FOR UPDATE", first) // the circle closes
	if n := deadlocks() - before; n != 1 {
		t.Fatalf("the test made %d deadlocks", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the caller was told of the deadlock: %v", err)
	}
	checkFeed(t, store, url, admin.UserID)
	checkFeed(t, store, url, ada.UserID)
	checkGrants(t, store, ada)
}

// waitFor waits until f is true, at most as long as a test should ever take.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Changes of one, two and all users at once, by several administrators: each succeeds or is refused for a reason, none
// is told of locks.
func TestChangesOfManyUsersAtOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		everybody := []models.Actor{admin}
		for i := range 4 {
			everybody = append(everybody, makeUser(t, store, admin, fmt.Sprintf("u%d", i), models.PermissionAdmin, models.PermissionManage, models.PermissionVerify))
		}
		work := func(i int) func() {
			return func() {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				by := everybody[i%len(everybody)]
				for n := range rounds(12) {
					other := everybody[random.IntN(len(everybody))]
					grants := models.Grants{models.PermissionVerify: random.IntN(2) == 0}
					var err error
					switch random.IntN(5) {
					case 0:
						_, err = store.UpdateUserPermissions(t.Context(), again(by), other.UserID, grants)
					case 1:
						id := fmt.Sprintf("p:%d:%d", i, n)
						if _, err = store.CreatePermission(t.Context(), again(by), id, models.CreatePermissionOptions{}); err == nil {
							if _, err = store.UpdateUserPermissions(t.Context(), again(by), other.UserID, models.Grants{id: true}); err == nil {
								err = store.DeletePermission(t.Context(), again(by), id)
							}
						}
					case 2:
						_, _, err = store.CreateToken(t.Context(), again(by), "x", models.CreateTokenOptions{Permissions: grants})
					default:
						limit := 3
						var read models.Tokens
						if read, err = store.ReadTokens(t.Context(), by.Identity, models.TokensOptions{ListOptions: models.ListOptions{Limit: &limit}}); err == nil && len(read.Tokens) > 0 {
							token := read.Tokens[random.IntN(len(read.Tokens))]
							_, err = store.UpdateTokenPermissions(t.Context(), again(by), token.ID, grants, models.ChangeOptions{})
						}
					}
					oneOf(t, err, models.Forbidden)
				}
			}
		}
		var workers []func()
		for i := range 10 {
			workers = append(workers, work(i))
		}
		together(workers...)
		for _, u := range everybody {
			checkFeed(t, store, url, u.UserID)
			checkGrants(t, store, u)
		}
	})
}

// A call may be cancelled at any moment. Then it has happened wholly or not at all, and its error says "cancelled", not
// something about connections or transactions that the caller would take for the server's fault.
func TestCancelledChanges(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		made, cancelled := map[string]bool{}, 0
		longest := 500 * time.Microsecond
		for range rounds(150) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			time.AfterFunc(time.Duration(random.Int64N(int64(longest))), cancel)
			started := time.Now()
			token, _, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}})
			switch {
			case err == nil:
				made[token.ID] = true
				longest = time.Since(started) * 5 / 4 // so that the moment falls anywhere in the change
			case errors.Is(err, context.Canceled):
				cancelled++
				longest += longest / 20
			default:
				t.Errorf("a cancelled change gives %T: %v", err, err)
			}
			cancel()
		}
		if cancelled == 0 || len(made) == 0 {
			t.Errorf("%d were cancelled and %d made: it was no race", cancelled, len(made))
		}
		checkFeed(t, store, url, admin.UserID)
		checkGrants(t, store, admin)
		created := map[string]bool{}
		for _, e := range allEvents(t, store, admin.UserID) {
			created[e.TokenID] = true
		}
		for id := range made {
			if !created[id] {
				t.Errorf("token %s was made and is not in the feed", id)
			}
		}
	})
}
