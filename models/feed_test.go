package models_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// checkFeed holds a user's feed against what is stored beside it: positions without gaps up to the counter's, every
// token's versions one after the other, and its last event what its row says. It returns the events.
func checkFeed(t testing.TB, store *models.Store, url, userID string) []models.Event {
	t.Helper()
	events := allEvents(t, store, userID)
	type state struct {
		version int64
		enabled bool
		deleted bool
	}
	tokens := map[string]*state{}
	for i, e := range events {
		if i > 0 && e.Position != events[i-1].Position+1 {
			t.Errorf("position %d comes after %d", e.Position, events[i-1].Position)
		}
		if e.TokenID == "" {
			continue
		}
		s := tokens[e.TokenID]
		if s == nil {
			s = &state{}
			tokens[e.TokenID] = s
		}
		version := s.version
		switch e.Method {
		case models.TokenCreated:
			var p models.TokenCreatedParams
			err := e.Decode(&p)
			if err != nil || version != 0 || p.Token.Version != 1 || p.Token.ID != e.TokenID {
				t.Errorf("position %d: %+v after version %d, %v", e.Position, p.Token, version, err)
			}
			s.version, s.enabled = 1, p.Token.Enabled
		case models.TokenEnabledChanged:
			var p models.TokenEnabledChangedParams
			if err := e.Decode(&p); err != nil || p.Version != version+1 || p.Enabled == s.enabled {
				t.Errorf("position %d: %+v after version %d, %v", e.Position, p, version, err)
			}
			s.version, s.enabled = p.Version, p.Enabled
		case models.TokenPermissionsChanged: // what the owner loses or gets changes a token's rights and not its version
			var p models.TokenPermissionsChangedParams
			if err := e.Decode(&p); err != nil || p.Version != version+1 && p.Version != version {
				t.Errorf("position %d: %+v after version %d, %v", e.Position, p, version, err)
			}
			s.version = p.Version
		case models.TokenDeleted:
			s.deleted = true
		}
		if version == 0 && e.Method != models.TokenCreated || s.deleted != (e.Method == models.TokenDeleted) {
			t.Errorf("position %d: %s of a token that is not there", e.Position, e.Method)
		}
	}
	var want []string
	for id, s := range tokens {
		if enabled := 0; !s.deleted {
			if s.enabled {
				enabled = 1
			}
			want = append(want, fmt.Sprintf("id=%s version=%d enabled=%d ", id, s.version, enabled))
		}
	}
	slices.Sort(want)
	db := rawDB(t, url)
	if got := rowsOf(t, db, "SELECT id, version, enabled FROM api_tokens WHERE user_id = ?", userID); !slices.Equal(got, want) {
		t.Errorf("the tokens are\n%q\nand by the feed\n%q", got, want)
	}
	last := events[len(events)-1]
	if got := rowsOf(t, db, "SELECT position, change_id FROM feeds WHERE user_id = ?", userID); !slices.Equal(got, []string{fmt.Sprintf("position=%d change_id=%s ", last.Position, last.ChangeID)}) {
		t.Errorf("the counter is %q after position %s", got, last.At())
	}
	return events
}

// told collects what an observer is told.
type told struct {
	mu     sync.Mutex
	events []models.Event
}

func (o *told) Committed(events []models.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, events...)
}

func (o *told) InDoubt([]string) {}

// Sixteen writers, three users. Positions have no gap, follow the commits and are each told once; who reads the feed as
// it grows, by "what came after the last that I have", misses nothing; and each change made has its event, once.
func TestFeedOfManyWriters(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
		observer := &told{}
		store.Observe(observer)
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		users := []models.Actor{admin, makeUser(t, store, admin, "ada"), makeUser(t, store, admin, "bob")}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)

		reading, stop := context.WithCancel(t.Context())
		seen := make([][]models.Event, len(users))
		var readers sync.WaitGroup
		for i, u := range users {
			readers.Go(func() {
				for last := int64(0); ; {
					final := reading.Err() != nil
					page, err := store.EventsAfter(t.Context(), u.UserID, last)
					if err != nil {
						t.Error(err)
						return
					}
					if len(page) > 0 {
						last = page[len(page)-1].Position
						seen[i] = append(seen[i], page...)
					} else if final {
						return
					}
				}
			})
		}

		var made [16][]string // of each writer: the changes that it made, in its order
		var writers []func()
		for w := range made {
			writers = append(writers, func() {
				random := rand.New(rand.NewPCG(seed, uint64(w)))
				by := users[w%len(users)]
				var own []string
				note := func(err error, method, id string, version int64, change string) {
					if err != nil {
						t.Error(err)
						return
					}
					made[w] = append(made[w], fmt.Sprint(method, id, version, change))
				}
				for range rounds(12) {
					by := again(by)
					if len(own) == 0 || random.IntN(4) == 0 {
						token, _, err := store.CreateToken(t.Context(), by, "x", models.CreateTokenOptions{})
						note(err, models.TokenCreated, token.ID, 1, by.ChangeID)
						own = append(own, token.ID)
						continue
					}
					i := random.IntN(len(own))
					if random.IntN(6) == 0 {
						note(store.DeleteToken(t.Context(), by, own[i]), models.TokenDeleted, own[i], 0, by.ChangeID)
						own = slices.Delete(own, i, i+1)
						continue
					}
					on := random.IntN(2) == 0
					before := int64(0)
					read, err := store.ReadTokens(t.Context(), by.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &own[i]}})
					if err != nil {
						t.Error(err)
						return
					}
					before = read.Tokens[0].Version
					if token, err := store.SetTokenEnabled(t.Context(), by, own[i], on, models.ChangeOptions{}); err != nil || token.Version != before {
						note(err, models.TokenEnabledChanged, own[i], token.Version, by.ChangeID)
					}
				}
			})
		}
		together(writers...)
		stop()
		readers.Wait()

		for i, u := range users {
			events := checkFeed(t, store, url, u.UserID)
			where := map[string]int64{}
			changes := 0
			for j, e := range events {
				if j >= len(seen[i]) || seen[i][j].Position != e.Position || seen[i][j].ChangeID != e.ChangeID {
					t.Fatalf("a reader that followed has %d events, or others; position %d", len(seen[i]), e.Position)
				}
				version := int64(0)
				switch e.Method {
				case models.TokenCreated:
					version = 1
				case models.TokenEnabledChanged:
					var p models.TokenEnabledChangedParams
					e.Decode(&p)
					version = p.Version
				case models.TokenDeleted:
				default:
					continue
				}
				changes++
				key := fmt.Sprint(e.Method, e.TokenID, version, e.ChangeID)
				if where[key] != 0 {
					t.Errorf("%s is in the feed twice", key)
				}
				where[key] = e.Position
			}
			for w := i; w < len(made); w += len(users) {
				last := int64(0)
				for _, key := range made[w] {
					changes--
					if where[key] <= last {
						t.Errorf("writer %d made %s and then heard of it at position %d after %d", w, key, where[key], last)
					}
					last = where[key]
				}
			}
			if changes != 0 {
				t.Errorf("%d more events than changes", changes)
			}
			// What the observer was told is the feed, each once; of one user perhaps in another order.
			own := slices.DeleteFunc(slices.Clone(observer.events), func(e models.Event) bool { return e.UserID != u.UserID })
			slices.SortFunc(own, func(a, b models.Event) int { return int(a.Position - b.Position) })
			if !slices.EqualFunc(own, events, func(a, b models.Event) bool {
				return a.Position == b.Position && string(a.Notification()) == string(b.Notification())
			}) {
				t.Errorf("the observer was told %d events, the feed has %d, or they differ", len(own), len(events))
			}
		}
	})
}
