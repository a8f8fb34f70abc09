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

// tokenState is what a feed, as far as it was followed, says of a token.
type tokenState struct {
	version          int64
	enabled, deleted bool
}

// follow holds an event of the token against what the feed said before.
func (s *tokenState) follow(t testing.TB, e models.Event) {
	t.Helper()
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
	}
	if version == 0 && e.Method != models.TokenCreated || s.deleted {
		t.Errorf("position %d: %s of a token that is not there", e.Position, e.Method)
	}
	s.deleted = e.Method == models.TokenDeleted
}

// checkFeed holds a user's feed against what is stored beside it: positions without gaps up to the counter's, every
// token's versions one after the other, and its last event what its row says. It returns the events.
func checkFeed(t testing.TB, store *models.Store, url, userID string) []models.Event {
	t.Helper()
	events := allEvents(t, store, userID)
	tokens := map[string]*tokenState{}
	for i, e := range events {
		if i > 0 && e.Position != events[i-1].Position+1 {
			t.Errorf("position %d comes after %d", e.Position, events[i-1].Position)
		}
		if e.TokenID == "" {
			continue
		}
		if tokens[e.TokenID] == nil {
			tokens[e.TokenID] = &tokenState{}
		}
		tokens[e.TokenID].follow(t, e)
	}
	want := []string{}
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
	db.SetMaxOpenConns(1)
	_, _ = db.Exec("SET SESSION wsrep_sync_wait = 1") // where it is a host of a cluster: what any of them has committed
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

// writer makes random changes of its own tokens, one after the other, and notes those that were made.
type writer struct {
	store  *models.Store
	by     models.Actor
	random *rand.Rand
	own    []string // its tokens
	made   []string // its changes, as changeKey writes them
}

func changeKey(method, tokenID string, version int64, changeID string) string {
	return fmt.Sprint(method, tokenID, version, changeID)
}

func (w *writer) change(t testing.TB) error {
	by := again(w.by)
	note := func(err error, method, id string, version int64) error {
		if err == nil {
			w.made = append(w.made, changeKey(method, id, version, by.ChangeID))
		}
		return err
	}
	if len(w.own) == 0 || w.random.IntN(4) == 0 {
		token, _, err := w.store.CreateToken(t.Context(), by, "x", models.CreateTokenOptions{})
		if err == nil {
			w.own = append(w.own, token.ID)
			note(nil, models.TokenCreated, token.ID, 1)
		}
		return err
	}
	i := w.random.IntN(len(w.own))
	id := w.own[i]
	if w.random.IntN(6) == 0 {
		w.own = slices.Delete(w.own, i, i+1)
		return note(w.store.DeleteToken(t.Context(), by, id), models.TokenDeleted, id, 0)
	}
	read, err := w.store.ReadTokens(t.Context(), by.Identity, models.TokensOptions{ListOptions: models.ListOptions{ID: &id}})
	if err != nil {
		return err
	}
	token, err := w.store.SetTokenEnabled(t.Context(), by, id, w.random.IntN(2) == 0, models.ChangeOptions{})
	if err != nil || token.Version == read.Tokens[0].Version { // or it was so already, which is no change
		return err
	}
	return note(nil, models.TokenEnabledChanged, id, token.Version)
}

// reader follows a feed as it grows, by "what came after the last that I have". It ends with what there is once done is.
func reader(t testing.TB, store *models.Store, done context.Context, userID string) (seen []models.Event) {
	for last := int64(0); ; {
		final := done.Err() != nil
		page, err := store.EventsAfter(t.Context(), userID, last)
		if err != nil {
			t.Error(err)
			return seen
		}
		if len(page) > 0 {
			last = page[len(page)-1].Position
			seen = append(seen, page...)
		} else if final {
			return seen
		}
	}
}

// Sixteen writers, first of one user, then of three. Positions have no gap, follow the commits and are each told once;
// who reads the feed as it grows misses nothing; and each change made has its event, once.
func TestFeedOfManyWriters(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store := openKeyed(t, url, models.Options{Key: models.KeySource{File: filepath.Join(t.TempDir(), "key")}})
		observer := &told{}
		store.Observe(observer)
		if _, err := store.Bootstrap(t.Context(), models.NewSecret(password)); err != nil {
			t.Fatal(err)
		}
		admin := signIn(t, store, "admin")
		ada, bob := makeUser(t, store, admin, "ada"), makeUser(t, store, admin, "bob")
		manyWriters(t, store, observer, url, ada)
		manyWriters(t, store, observer, url, admin, ada, bob)
	})
}

func manyWriters(t *testing.T, store *models.Store, observer *told, url string, users ...models.Actor) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	done, stop := context.WithCancel(t.Context())
	seen, before := make([][]models.Event, len(users)), make([]int64, len(users))
	var readers sync.WaitGroup
	for i, u := range users {
		events := allEvents(t, store, u.UserID)
		before[i] = events[len(events)-1].Position
		readers.Go(func() { seen[i] = reader(t, store, done, u.UserID) })
	}
	var writers [16]writer
	var work []func()
	for i := range writers {
		writers[i] = writer{store: store, by: users[i%len(users)], random: rand.New(rand.NewPCG(seed, uint64(i)))}
		work = append(work, func() {
			for range rounds(12) {
				if err := writers[i].change(t); err != nil {
					t.Error(err)
				}
			}
		})
	}
	together(work...)
	stop()
	readers.Wait()
	for i, u := range users {
		events := checkFeed(t, store, url, u.UserID)
		same := func(a, b models.Event) bool {
			return a.Position == b.Position && string(a.Notification()) == string(b.Notification())
		}
		if !slices.EqualFunc(seen[i], events, same) {
			t.Errorf("a reader that followed has %d events, the feed has %d, or they differ", len(seen[i]), len(events))
		}
		// What the observer was told is the feed, each once; of one user perhaps in another order.
		own := slices.DeleteFunc(slices.Clone(observer.events), func(e models.Event) bool { return e.UserID != u.UserID })
		slices.SortFunc(own, func(a, b models.Event) int { return int(a.Position - b.Position) })
		if !slices.EqualFunc(own, events, same) {
			t.Errorf("the observer was told %d events, the feed has %d, or they differ", len(own), len(events))
		}
		var of []writer
		for w := i; w < len(writers); w += len(users) {
			of = append(of, writers[w])
		}
		checkMade(t, events[slices.IndexFunc(events, func(e models.Event) bool { return e.Position == before[i] })+1:], of)
	}
}

// checkMade wants the events to be the writers' changes, each once, and each writer's in the order in which it made them.
func checkMade(t testing.TB, events []models.Event, writers []writer) {
	t.Helper()
	where := map[string]int64{}
	for _, e := range events {
		version := int64(0)
		switch e.Method {
		case models.TokenCreated:
			version = 1
		case models.TokenEnabledChanged:
			var p models.TokenEnabledChangedParams
			if err := e.Decode(&p); err != nil {
				t.Error(err)
			}
			version = p.Version
		}
		key := changeKey(e.Method, e.TokenID, version, e.ChangeID)
		if where[key] != 0 {
			t.Errorf("%s is in the feed twice", key)
		}
		where[key] = e.Position
	}
	made := 0
	for i, w := range writers {
		last := int64(0)
		for _, key := range w.made {
			if where[key] <= last {
				t.Errorf("writer %d made %s and then heard of it at position %d after %d", i, key, where[key], last)
			}
			last = where[key]
		}
		made += len(w.made)
	}
	if made != len(events) {
		t.Errorf("%d changes were made and %d events told", made, len(events))
	}
}

// A user who has no feed, whatever became of it, changes nothing: it would be told to nobody.
func TestNoChangeWithoutFeed(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		store, admin := open(t, url)
		mustExec(t, rawDB(t, url), "DELETE FROM feeds")
		before := dump(t, url)
		_, _, err := store.CreateToken(t.Context(), again(admin), "x", models.CreateTokenOptions{})
		wantCode(t, err, models.NotFound)
		sameDump(t, "a change without a feed", before, dump(t, url))
	})
}
