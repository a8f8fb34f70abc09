package server_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// times is n, or many times that where TOKENWIRE_TEST_LONG asks for it.
func times(n int) int {
	if os.Getenv("TOKENWIRE_TEST_LONG") != "" {
		return 20 * n
	}
	return n
}

// overall bounds a test that follows a feed.
const overall = 2 * time.Minute

// Sixteen connections change the tokens of four users, two followers of each are cut off at random and resume: each of
// them has in the end every event of its user after its first connection, once, in order, and no other.
func TestFollowersMissNothing(t *testing.T) {
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(times(1))*overall)
		defer cancel()
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var people []person
		for n := range 4 {
			people = append(people, i.person(fmt.Sprintf("user%d", n), nil))
		}
		var writers, readers sync.WaitGroup
		followers := make([]*follower, 8)
		for n := range followers {
			f := &follower{credential: people[n%4].session}
			followers[n] = f
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			begun := make(chan struct{})
			readers.Go(func() {
				for {
					most := 1 + random.IntN(60)
					if f.first == "" {
						most = 0 // it has its position before the first change
					}
					finished, err := f.follow(ctx, i.url, most, isEnd)
					if most == 0 {
						close(begun)
					}
					if err != nil || finished {
						if err != nil {
							t.Errorf("follower %d: %v", n, err)
						}
						return
					}
				}
			})
			<-begun
		}
		for n := range 16 {
			random := rand.New(rand.NewPCG(seed, uint64(100+n)))
			writers.Go(func() {
				if err := write(ctx, i.url, people[n%4].session, random, times(150)); err != nil {
					t.Errorf("writer %d: %v", n, err)
				}
			})
		}
		writers.Wait()
		for _, p := range people {
			i.end(p)
		}
		readers.Wait()
		cuts := 0
		for n, f := range followers {
			f.mustCheck(t, feedOf(t, i.store, people[n%4].actor.UserID))
			cuts += f.cuts
		}
		t.Logf("%d events to the first follower, %d cuts in all", len(followers[0].got), cuts)
	})
}

// write makes changes over a connection: most of them on the tokens that it made itself.
func write(ctx context.Context, base, session string, random *rand.Rand, changes int) error {
	ws, err := connect(ctx, base, session, "", nil)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	c := &caller{ws: ws}
	var own []string
	for range changes {
		var code int
		var result []byte
		switch {
		case len(own) == 0 || random.IntN(5) == 0:
			if result, code, err = c.call(ctx, "/v1/api-tokens/create", []any{"x"}); err == nil && code == 0 {
				var token struct {
					ID string `json:"id"`
				}
				err = json.Unmarshal(result, &token)
				own = append(own, token.ID)
			}
		case random.IntN(8) == 0:
			_, code, err = c.call(ctx, "/v1/api-tokens/delete", []any{own[0]})
			own = own[1:]
		default:
			_, code, err = c.call(ctx, "/v1/api-tokens/set-enabled", []any{own[random.IntN(len(own))], random.IntN(2) == 0})
		}
		if err != nil || code != 0 {
			return fmt.Errorf("%d, %w", code, err)
		}
	}
	return nil
}

// manyEvents gives a person tokens and then changes what they may do, all at once: (tokens + 1) events a round.
func (i *instance) manyEvents(p person, tokens, rounds int) {
	i.t.Helper()
	ctx := context.Background()
	admin, err := i.store.Authenticate(ctx, models.NewSecret(i.session), "")
	if err != nil {
		i.t.Fatal(err)
	}
	for range tokens {
		if _, _, err := i.store.CreateToken(ctx, p.by(), "x", models.CreateTokenOptions{Permissions: models.Grants{models.PermissionVerify: true}}); err != nil {
			i.t.Fatal(err)
		}
	}
	for n := range rounds {
		by := models.Actor{Identity: admin, ChangeID: models.NewChangeID()}
		if _, err := i.store.UpdateUserPermissions(ctx, by, p.actor.UserID, models.Grants{models.PermissionVerify: n%2 == 1}); err != nil {
			i.t.Fatal(err)
		}
	}
}

func TestLongReplay(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		ada := i.person("ada", models.Grants{models.PermissionVerify: true})
		f := &follower{credential: ada.session}
		if _, err := f.follow(ctx, i.url, 0, nil); err != nil {
			t.Fatal(err)
		}
		i.manyEvents(ada, 60, 40)
		var all sync.WaitGroup
		all.Go(func() { // what happens during a replay comes after it
			random := rand.New(rand.NewPCG(1, 1))
			if err := write(ctx, i.url, ada.session, random, 50); err != nil {
				t.Error(err)
			}
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if finished, err := f.follow(ctx, i.url, math.MaxInt, isEnd); err != nil || !finished {
				t.Error(finished, err)
			}
		}()
		all.Wait()
		i.end(ada)
		<-ended
		f.mustCheck(t, feedOf(t, i.store, ada.actor.UserID))
		if len(f.got) < 2000 {
			t.Errorf("only %d events were replayed", len(f.got))
		}
	})
}

// A follower that stops reading holds up nobody, is closed, and resumes completely.
func TestSlowReader(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		ada := i.person("ada", models.Grants{models.PermissionVerify: true})
		f := &follower{credential: ada.session, client: tightClient()}
		quick := &follower{credential: ada.session}
		ws, err := connect(ctx, i.url, f.credential, "", f.client)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		if _, err := f.ready(ctx, ws); err != nil {
			t.Fatal(err)
		}
		if _, err := quick.follow(ctx, i.url, 0, nil); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for finished := false; !finished; { // on a busy machine it may be too slow for once
				var err error
				if finished, err = quick.follow(ctx, i.url, math.MaxInt, isEnd); err != nil && websocket.CloseStatus(err) != 4008 {
					t.Error("the quick one:", err)
					return
				}
			}
		}()
		i.manyEvents(ada, 60, 70)
		finished, err := f.read(ctx, ws, math.MaxInt, isEnd)
		if code := websocket.CloseStatus(err); finished || code != 4008 && code != -1 || ctx.Err() != nil {
			t.Errorf("the slow one was closed with %v", err)
		} else {
			t.Logf("the slow one got %d events and then: %v", len(f.got), err)
		}
		i.end(ada)
		<-ended
		f.client = nil
		if finished, err := f.follow(ctx, i.url, math.MaxInt, isEnd); err != nil || !finished {
			t.Error("the slow one, resumed:", finished, err)
		}
		feed := feedOf(t, i.store, ada.actor.UserID)
		f.mustCheck(t, feed)
		quick.mustCheck(t, feed)
	})
}

// tightClient makes connections whose kernel buffer holds little, so that not reading is soon noticed.
func tightClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}}
}

// fault is what may happen to a feed on its way, and what the check must say of it.
type fault struct {
	mangle func(n int, raw string) []string
	want   string
}

// feedFaults returns every kind of fault. foreign is an event of another feed.
func feedFaults(foreign string) map[string]fault {
	var kept string
	return map[string]fault{
		"honest": {func(_ int, raw string) []string { return []string{raw} }, ""},
		"drops one": {func(n int, raw string) []string {
			if n%500 == 0 {
				return nil
			}
			return []string{raw}
		}, "never came"},
		"doubles one": {func(n int, raw string) []string {
			if n%500 == 0 {
				return []string{raw, raw}
			}
			return []string{raw}
		}, "came again"},
		"swaps two": {func(n int, raw string) []string {
			switch n % 500 {
			case 0:
				kept = raw
				return nil
			case 1:
				if kept != "" {
					raws := []string{raw, kept}
					kept = ""
					return raws
				}
			}
			return []string{raw}
		}, "came after"},
		"tells of another's": {func(n int, raw string) []string {
			if n%500 == 0 {
				return []string{raw, foreign}
			}
			return []string{raw}
		}, "not of this feed"},
		"changes one": {func(n int, raw string) []string {
			if n%500 == 0 {
				raw = strings.Replace(raw, `"time":"2`, `"time":"1`, 1)
			}
			return []string{raw}
		}, "not of this feed"},
	}
}

// The check that the other tests rely on finds each kind of fault, as rare as one event in 500.
func TestCheckFindsBrokenFeeds(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	ctx, cancel := context.WithTimeout(context.Background(), overall)
	defer cancel()
	ada, eve := i.person("ada", models.Grants{models.PermissionVerify: true}), i.person("eve", nil)
	i.end(eve)
	foreign := feedOf(t, i.store, eve.actor.UserID)
	faults := feedFaults(string(foreign[len(foreign)-1].Notification()))
	followers := map[string]*follower{}
	for name, fault := range faults {
		n := 0
		f := &follower{credential: ada.session, mangle: func(raw string) []string { n++; return fault.mangle(n, raw) }}
		if _, err := f.follow(ctx, i.url, 0, nil); err != nil {
			t.Fatal(err)
		}
		followers[name] = f
	}
	i.manyEvents(ada, 30, 20)
	i.end(ada)
	own := feedOf(t, i.store, ada.actor.UserID)
	for name, f := range followers {
		last := string(own[len(own)-1].Notification())
		if finished, err := f.follow(ctx, i.url, math.MaxInt, func(raw string) bool { return raw == last }); err != nil || !finished {
			t.Fatal(finished, err)
		}
		found := strings.Join(f.check(own), "\n")
		if want := faults[name].want; want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("%s: the check finds %q", name, found)
		}
	}
}

// A position that cannot be gone on from gives reset, and the position to go on from; one that can does not.
func TestPositionsThatCannotBeResumed(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		var ahead atomic.Int64
		i := startWith(t, url, models.Options{EventsKept: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}, nil)
		ada, eve := i.person("ada", nil), i.person("eve", nil)
		i.end(ada)
		i.end(eve)
		ahead.Store(int64(2 * time.Hour))
		i.end(ada)
		i.end(ada)
		old := feedOf(t, i.store, ada.actor.UserID)
		foreign := feedOf(t, i.store, eve.actor.UserID)
		if _, err := i.store.Prune(context.Background()); err != nil {
			t.Fatal(err)
		}
		last := old[len(old)-1].At()
		for name, c := range map[string]struct {
			since string
			reset bool
		}{
			"the last":           {last.String(), false},
			"one before":         {old[len(old)-2].At().String(), false},
			"pruned":             {old[0].At().String(), true},
			"the last pruned":    {old[len(old)-3].At().String(), true},
			"foreign":            {foreign[len(foreign)-1].At().String(), true},
			"future":             {models.Position{Number: last.Number + 1, ChangeID: models.NewChangeID()}.String(), true},
			"far future":         {models.Position{Number: math.MaxInt64, ChangeID: last.ChangeID}.String(), true},
			"of another change":  {models.Position{Number: last.Number, ChangeID: models.NewChangeID()}.String(), true},
			"no change":          {fmt.Sprint(last.Number), true},
			"zero":               {"0-" + last.ChangeID, true},
			"negative":           {"-1-" + last.ChangeID, true},
			"not canonical":      {"0" + last.String(), true},
			"garbage":            {"x", true},
			"trailing blank":     {last.String() + " ", true},
			"an injection":       {last.String() + "' OR '1'='1", true},
			"not UTF-8":          {"\xff\xfe", true},
			"longer than it can": {strings.Repeat("9", 4000), true},
		} {
			ws, err := connect(context.Background(), i.url, ada.session, c.since, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			ready, err := (&follower{}).ready(context.Background(), ws)
			want := last.String()
			if name == "one before" {
				want = c.since
			}
			if err != nil || ready.Params.Reset != c.reset || ready.Params.Position != want {
				t.Errorf("%s: got %+v, %v; want %s, reset %v", name, ready.Params, err, want, c.reset)
			}
			ws.CloseNow()
		}
		if _, err := connect(context.Background(), i.url, "tws_none", last.String(), nil); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a bad credential with a good position: %v", err)
		}
	})
}
