package models_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// openHosts opens a store at each host of a cluster, on one fresh database, with an administrator who is signed in.
func openHosts(t *testing.T, o models.Options) (stores []*models.Store, admin models.Actor, urls []string) {
	t.Helper()
	urls = modelstest.Galera(t)
	o.Key = models.KeySource{File: filepath.Join(t.TempDir(), "key")}
	for _, url := range urls {
		stores = append(stores, openKeyed(t, url, o))
	}
	if _, err := stores[0].Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
		t.Fatal(err)
	}
	return stores, signIn(t, stores[1], "admin"), urls
}

// What one host has committed all others know at once: a call through another one, however soon after, goes by it.
func TestGaleraHostsAgree(t *testing.T) {
	stores, admin, urls := openHosts(t, models.Options{})
	ctx := t.Context()
	for round := range rounds(60) {
		one, other := stores[round%3], stores[(round+1)%3]
		token, secret, err := one.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Authenticate(ctx, secret, ""); err != nil {
			t.Fatalf("round %d: another host does not know the token: %v", round, err)
		}
		for i, on := range []bool{false, true, false} {
			got, err := stores[(round+i)%3].SetTokenEnabled(ctx, again(admin), token.ID, on, models.ChangeOptions{})
			if err != nil || got.Enabled != on || got.Version != int64(i+2) {
				t.Fatalf("round %d: switched %v through another host: %+v, %v", round, on, got, err)
			}
		}
		if _, err := other.Authenticate(ctx, secret, ""); err == nil {
			t.Fatalf("round %d: another host takes a token that was switched off", round)
		}
	}
	checkFeed(t, stores[2], urls[0], admin.UserID)
}

// Changes of one and of several users through all hosts at once: each happens or is refused for a reason, feeds have no gap,
// and none is told that it lost to another host.
func TestGaleraChangesAtOnce(t *testing.T) {
	stores, admin, urls := openHosts(t, models.Options{})
	ctx := t.Context()
	everybody := []models.Actor{admin}
	for i := range 3 {
		everybody = append(everybody, makeUser(t, stores[i], admin, fmt.Sprintf("u%d", i), models.PermissionAdmin, models.PermissionVerify))
	}
	hot, _, err := stores[0].CreateToken(ctx, again(admin), "hot", models.CreateTokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var switched atomic.Int64
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var workers []func()
	for i := range 9 {
		workers = append(workers, func() {
			store, random := stores[i%3], rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range rounds(10) {
				by, other := everybody[random.IntN(len(everybody))], everybody[random.IntN(len(everybody))]
				grants := models.Grants{models.PermissionVerify: random.IntN(2) == 0}
				var err error
				switch random.IntN(4) {
				case 0:
					_, err = store.UpdateUserPermissions(ctx, again(by), other.UserID, grants)
				case 1:
					id := fmt.Sprintf("p:%d:%d", i, n)
					if _, err = store.CreatePermission(ctx, again(by), id, models.CreatePermissionOptions{}); err == nil {
						err = stores[(i+1)%3].DeletePermission(ctx, again(by), id)
					}
				case 2:
					_, _, err = store.CreateToken(ctx, again(by), "x", models.CreateTokenOptions{Permissions: grants})
				default:
					version := hot.Version + switched.Load()
					if _, err = store.SetTokenEnabled(ctx, again(admin), hot.ID, version%2 == 0, models.ChangeOptions{Version: &version}); err == nil {
						switched.Add(1)
					}
				}
				oneOf(t, err, models.Forbidden, models.Conflict)
			}
		})
	}
	together(workers...)
	for _, u := range everybody {
		checkFeed(t, stores[1], urls[0], u.UserID)
		checkGrants(t, stores[2], u)
	}
	if rows := rowsOf(t, rawDB(t, urls[0]), "SELECT version FROM api_tokens WHERE id = ?", hot.ID); rows[0] != fmt.Sprintf("version=%d ", hot.Version+switched.Load()) {
		t.Errorf("of %d changes of one token there are %q", switched.Load(), rows)
	}
}

// A limit of a user's tokens is one for all hosts, and so is a name.
func TestGaleraLimitsAndNames(t *testing.T) {
	stores, admin, urls := openHosts(t, models.Options{TokensPerUser: 5})
	ctx := t.Context()
	for round := range rounds(6) {
		var mu sync.Mutex
		var made []string
		var users, permissions atomic.Int64
		var calls []func()
		for i := range 9 {
			store := stores[i%3]
			calls = append(calls, func() {
				token, _, err := store.CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{})
				if oneOf(t, err, models.Conflict); err == nil {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, token.ID)
				}
			})
		}
		together(calls...)
		if rows := rowsOf(t, rawDB(t, urls[0]), "SELECT id FROM api_tokens"); len(rows) != 5 || len(made) != 5 {
			t.Errorf("round %d: %d tokens were made, %d are there; the limit is 5", round, len(made), len(rows))
		}
		calls = nil
		for _, store := range stores {
			calls = append(calls, func() {
				_, err := store.CreateUser(ctx, again(admin), fmt.Sprintf("ada%d", round), models.CreateUserOptions{})
				if oneOf(t, err, models.Conflict); err == nil {
					users.Add(1)
				}
			}, func() {
				_, err := store.CreatePermission(ctx, again(admin), fmt.Sprintf("p%d", round), models.CreatePermissionOptions{})
				if oneOf(t, err, models.Conflict); err == nil {
					permissions.Add(1)
				}
			})
		}
		together(calls...)
		if users.Load() != 1 || permissions.Load() != 1 {
			t.Errorf("round %d: %d users and %d permissions of one name", round, users.Load(), permissions.Load())
		}
		for _, id := range made {
			if err := stores[0].DeleteToken(ctx, again(admin), id); err != nil {
				t.Error(err)
			}
		}
	}
}

// A user is deleted, and a permission, while other hosts are about to give them something: nothing of that is left.
func TestGaleraNothingLeft(t *testing.T) {
	stores, admin, urls := openHosts(t, models.Options{})
	ctx, db := t.Context(), rawDB(t, urls[0])
	for round := range rounds(10) {
		name, permission := fmt.Sprintf("ada%d", round), fmt.Sprintf("p%d", round)
		if _, err := stores[0].CreatePermission(ctx, again(admin), permission, models.CreatePermissionOptions{}); err != nil {
			t.Fatal(err)
		}
		ada := makeUser(t, stores[0], admin, name, permission)
		grants := models.Grants{permission: true}
		together(
			func() { oneOf(t, stores[0].DeleteUser(ctx, again(admin), ada.UserID)) },
			func() { oneOf(t, stores[1].DeletePermission(ctx, again(admin), permission), models.NotFound) },
			func() {
				_, _, _, err := stores[1].SignIn(ctx, name, models.NewSecret(password), "192.0.2.1", "test")
				oneOf(t, err, models.Unauthorized, models.NotFound)
			},
			func() {
				_, _, err := stores[1].CreateToken(ctx, again(ada), "x", models.CreateTokenOptions{Permissions: grants})
				oneOf(t, err, models.Unauthorized, models.NotFound, models.Forbidden, models.Invalid)
			},
			func() {
				_, _, err := stores[2].CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: grants})
				oneOf(t, err, models.Forbidden, models.Invalid)
			},
			func() {
				_, err := stores[2].UpdateUserPermissions(ctx, again(admin), ada.UserID, grants)
				oneOf(t, err, models.NotFound, models.Forbidden, models.Invalid)
			},
		)
		for _, query := range []string{
			"SELECT 'token of nobody' FROM api_tokens WHERE user_id NOT IN (SELECT id FROM users)",
			"SELECT 'session of nobody' FROM sessions WHERE user_id NOT IN (SELECT id FROM users)",
			"SELECT 'permission of nobody' FROM user_permissions WHERE user_id NOT IN (SELECT id FROM users)",
			"SELECT 'permission of no token' FROM api_token_permissions WHERE token_id NOT IN (SELECT id FROM api_tokens)",
			"SELECT 'no such permission' FROM api_token_permissions WHERE permission_id NOT IN (SELECT id FROM permissions)",
			"SELECT 'no such permission' FROM user_permissions WHERE permission_id NOT IN (SELECT id FROM permissions)",
		} {
			if rows := rowsOf(t, db, query); len(rows) > 0 {
				t.Fatalf("round %d left %q", round, rows)
			}
		}
	}
	checkFeed(t, stores[2], urls[0], admin.UserID)
}

// A password is changed at one host while others sign in with the old one: none of their sessions is good after.
func TestGaleraSetPasswordRacingSignIn(t *testing.T) {
	stores, admin, _ := openHosts(t, models.Options{})
	ctx := t.Context()
	ada := makeUser(t, stores[0], admin, "ada")
	for round := range rounds(5) {
		old, next := models.NewSecret(password), models.NewSecret(fmt.Sprint("another horse ", round))
		var mu sync.Mutex
		var secrets []models.Secret
		enter := func(store *models.Store) func() {
			return func() {
				_, _, secret, err := store.SignIn(ctx, "ada", old, "192.0.2.1", "test")
				if oneOf(t, err, models.Unauthorized); err == nil {
					mu.Lock()
					defer mu.Unlock()
					secrets = append(secrets, secret)
				}
			}
		}
		together(enter(stores[1]), enter(stores[2]), enter(stores[1]), func() { oneOf(t, stores[0].SetUserPassword(ctx, again(admin), ada.UserID, next)) })
		for _, secret := range secrets {
			_, err := stores[2].Authenticate(ctx, secret, "")
			wantCode(t, err, models.Unauthorized)
		}
		if err := stores[0].SetUserPassword(ctx, again(admin), ada.UserID, old); err != nil {
			t.Fatal(err)
		}
	}
}

// Whose token is switched off through one host makes nothing through another one from then on, also not what leaves no event
// in his own feed. The other host is kept busy, so that it learns of the end late.
func TestGaleraNothingAfterTheEnd(t *testing.T) {
	stores, admin, urls := openHosts(t, models.Options{})
	ctx := t.Context()
	token, secret, err := stores[0].CreateToken(ctx, again(admin), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionAdmin: true}})
	if err != nil {
		t.Fatal(err)
	}
	last := rawDB(t, urls[2])
	db := rawDB(t, urls[0])
	mustExec(t, db, "CREATE TABLE weight (id INT PRIMARY KEY, filler BIGINT) ENGINE=InnoDB")
	mustExec(t, db, "INSERT INTO weight SELECT seq, 0 FROM seq_1_to_2000")
	for round := range rounds(12) {
		by := authenticate(t, stores[1], secret)
		busy, stop := context.WithCancel(ctx)
		var made sync.Map
		var all sync.WaitGroup
		all.Go(func() {
			for busy.Err() == nil {
				db.ExecContext(busy, "UPDATE weight SET filler = filler + 1")
			}
		})
		for i := range 3 {
			all.Go(func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("u%d.%d.%d", round, i, n)
					_, err := stores[1].CreateUser(ctx, again(by), name, models.CreateUserOptions{})
					if oneOf(t, err, models.Unauthorized, models.Forbidden); err != nil {
						return
					}
					made.Store(name, true)
				}
			})
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		if _, err := stores[2].SetTokenEnabled(ctx, again(admin), token.ID, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		before := rowsOf(t, last, "SELECT username FROM users")
		stop()
		all.Wait()
		made.Range(func(name, _ any) bool {
			if !slices.Contains(before, fmt.Sprintf("username=%s ", name)) {
				t.Errorf("round %d: %s was made after the token had ended", round, name)
			}
			return true
		})
		if _, err := stores[0].SetTokenEnabled(ctx, again(admin), token.ID, true, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// Nodes that start on several hosts at once find one schema, whether there was none or an older one.
func TestGaleraMigrationsAtOnce(t *testing.T) {
	for _, from := range []int{0, 1, 3} {
		t.Run(fmt.Sprint("from version ", from), func(t *testing.T) {
			urls := modelstest.Galera(t)
			db := rawDB(t, urls[0])
			versions := migrationFiles(t, "mysql")
			for i, statements := range versions[:from] {
				for _, s := range append(statements, createMigrations) {
					mustExec(t, db, s)
				}
				mustExec(t, db, "INSERT INTO schema_migrations VALUES (?, 1)", i+1)
			}
			key := models.KeySource{File: filepath.Join(t.TempDir(), "key")}
			var starts []func()
			for _, url := range slices.Concat(urls, urls) {
				starts = append(starts, func() {
					store, err := models.Open(t.Context(), url, models.Options{Key: key})
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
						t.Error(err)
					}
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			together(starts...)
			reference := modelstest.MariaDB(t)
			openKeyed(t, reference, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
			for _, url := range urls {
				checkTogether(t, url)
				if got, want := schemaOf(t, url), schemaOf(t, reference); !slices.Equal(got, want) {
					t.Errorf("got the schema\n%q\nwant\n%q", got, want)
				}
			}
		})
	}
}
