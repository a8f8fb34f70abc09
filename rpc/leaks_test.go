package rpc

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
)

func TestLeaksPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeakLimits()
		wait := func(address string) time.Duration {
			err := l.attempt(address)
			if err == nil {
				return 0
			}
			return time.Duration(err.(*models.Error).Data["retryAfterMs"].(int64)) * time.Millisecond
		}
		for n := range 30 {
			if wait := wait("2001:db8::1"); wait != 0 {
				t.Fatalf("report %d waits %v", n, wait)
			}
		}
		for range 1000 { // to ask again makes it no longer
			if wait := wait("2001:db8::2"); wait != 2*time.Second { // who has one address of a network has all
				t.Fatalf("the next one waits %v", wait)
			}
		}
		if wait := wait("192.0.2.1"); wait != 0 {
			t.Errorf("another source waits %v", wait)
		}
		time.Sleep(2 * time.Second)
		if first, second := wait("2001:db8::1"), wait("2001:db8::1"); first != 0 || second != 2*time.Second {
			t.Errorf("after the wait they wait %v and %v", first, second)
		}
	})
}

// Whatever the token is, the answer is the same; it is 503 where the database is away, and no report is let through
// beyond the limit.
func TestReportLeakAnswers(t *testing.T) {
	s, store := newTestService(t, io.Discard)
	_, _, session, err := store.SignIn(t.Context(), "admin", models.NewSecret("correct horse battery"), "192.0.2.1", "test")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := store.Authenticate(t.Context(), session, "")
	if err != nil {
		t.Fatal(err)
	}
	create := func() (*models.Token, string) {
		token, secret, err := store.CreateToken(t.Context(), models.Actor{Identity: admin, ChangeID: models.NewChangeID()}, "x", models.CreateTokenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return token, secret.Reveal()
	}
	door := Door{Address: "192.0.2.1", SignedIn: func(models.Secret, models.Time) {}}
	report := func(who *models.Identity, door Door, text string) string {
		params, _ := json.Marshal([]any{text, map[string]any{"url": "https://git.example/"}})
		result, failed := s.Call(t.Context(), who, door, "/v1/leaks/report", params)
		if failed != nil {
			return string(marshalError(failed))
		}
		return string(result)
	}
	_, good := create()
	_, other := create()
	_, third := create()
	for _, text := range []string{good, good, "", "x", strings.Replace(good, "twt_", "tws_", 1)} {
		if got := report(nil, door, text); got != "{}" {
			t.Errorf("got %s", got)
		}
	}
	if got := report(admin, door, other); got != "{}" { // who is signed in is told of no more than others
		t.Errorf("got %s", got)
	}
	events, err := store.ReadEvents(t.Context(), admin, models.EventsOptions{})
	if err != nil || len(events.Events) != 7 { // three made, two leaked and switched off
		t.Fatal(events, err)
	}
	for _, e := range events.Events[:4] {
		if !strings.HasPrefix(string(e.Params), `{"by":null,`) {
			t.Errorf("got %s", e.Params)
		}
	}
	for range 24 {
		report(nil, door, "x")
	}
	if got := report(nil, door, third); !strings.HasPrefix(got, `{"code":429,`) || !strings.Contains(got, `"retryAfterMs":`) {
		t.Errorf("got %s", got)
	}
	door.Address = "192.0.2.2"
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := report(nil, door, third); !strings.HasPrefix(got, `{"code":503,`) {
		t.Errorf("got %s", got)
	}
}
