package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
)

// guess takes an attempt that turns out wrong and returns how long to wait if it is refused.
func (l *signInLimits) guess(username, address string) time.Duration {
	end, err := l.attempt(username, address)
	if err == nil {
		end(wrong)
		return 0
	}
	var refused *models.Error
	if !errors.As(err, &refused) || refused.Code != models.TooMany {
		return -1
	}
	return time.Duration(refused.Data["retryAfterMs"].(int64)) * time.Millisecond
}

// right takes an attempt that turns out good, and reports whether it was let through.
func (l *signInLimits) right(username, address string) bool {
	end, err := l.attempt(username, address)
	if err != nil {
		return false
	}
	end(good)
	return true
}

func TestGuessesPerAccountAndSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		for n := range limitPair.burst {
			if wait := l.guess("victim", "192.0.2.1"); wait != 0 {
				t.Fatalf("guess %d waits %v", n, wait)
			}
		}
		wait := l.guess("victim", "192.0.2.1")
		if wait <= 0 || wait > limitPair.every {
			t.Fatal("the next one waits", wait)
		}
		for range 1000 { // asking again and again must not make the wait longer
			l.guess("victim", "192.0.2.1")
		}
		if wait := l.guess("victim", "192.0.2.2"); wait != 0 {
			t.Error("another source waits", wait)
		}
		time.Sleep(wait)
		if wait := l.guess("victim", "192.0.2.1"); wait != 0 {
			t.Error("who waited as he was told waits again", wait)
		}
		if wait := l.guess("victim", "192.0.2.1"); wait == 0 {
			t.Error("two guesses after one wait")
		}
		// In an hour no more than the burst and what the hour brings.
		guesses := 0
		for range 3600 {
			time.Sleep(time.Second)
			if l.guess("victim", "192.0.2.1") == 0 {
				guesses++
			}
		}
		if want := int(time.Hour/limitPair.every) + 1; guesses > want {
			t.Errorf("%d guesses in an hour, want at most %d", guesses, want)
		}
	})
}

// TestSprayRefused: a source that has used up its attempts must not get new ones by naming many accounts, which would
// push what is known of it, and of others, out of the buckets.
func TestSprayRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		for range limitPair.burst {
			l.guess("victim", "192.0.2.1")
		}
		for n := range maxBuckets + limitSource.burst {
			l.guess(fmt.Sprint("nobody", n), "192.0.2.1")
		}
		time.Sleep(limitSource.every)
		if l.guess("victim", "192.0.2.1") == 0 {
			t.Error("refused attempts on other accounts made the server forget the guesses on this one")
		}
	})
}

// TestGoodNotCounted: good sign-ins cost nothing, also when many are under way at once and some of them are refused.
func TestGoodNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		for n := range 1000 {
			if !l.right("admin", "192.0.2.1") {
				t.Fatalf("good sign-in %d was refused", n)
			}
		}
		var ends []func(outcome)
		for range limitPair.burst {
			end, err := l.attempt("admin", "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		time.Sleep(5 * time.Millisecond)
		if l.right("admin", "192.0.2.1") {
			t.Error("more under way at once than there are attempts")
		}
		if wait := l.guess("admin", "192.0.2.1"); wait <= 0 || wait > busyRetry {
			t.Error("while others are under way, which may be good, the wait is", wait)
		}
		time.Sleep(40 * time.Millisecond) // the password's hash
		for _, end := range ends {
			end(good)
		}
		for n := range limitPair.burst {
			if !l.right("admin", "192.0.2.1") {
				t.Fatalf("the %d good sign-ins before were counted: number %d after them is refused", limitPair.burst, n+1)
			}
		}
	})
}

// TestNobodyLockedOut: an attacker with thousands of sources keeps guessing one password. He gets few guesses in all; who
// has signed in from his source before is not touched, and all others get in when he stops.
func TestNobodyLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		const home = "198.51.100.7"
		if !l.right("victim", home) {
			t.Fatal("the first sign-in is refused")
		}
		guesses := 0
		for n := range 5000 {
			if l.guess("victim", fmt.Sprintf("203.0.%d.%d", n/250, n%250)) == 0 {
				guesses++
			}
			if n%500 == 0 && !l.right("victim", home) {
				t.Fatal("the victim is locked out")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if want := limitAccount.burst + int(50*time.Second/limitAccount.every) + 1; guesses > want {
			t.Errorf("%d guesses from many sources, want at most %d", guesses, want)
		}
		l.guess("victim", "198.51.100.98") // the attempt that the last moment may have brought
		wait := l.guess("victim", "198.51.100.99")
		if wait <= 0 || wait > limitAccount.every {
			t.Error("from a new place the wait is", wait)
		}
		time.Sleep(wait)
		if !l.right("victim", "198.51.100.99") {
			t.Error("locked out though the attack is over")
		}
	})
}

// TestSources: whoever has an IPv6 prefix has all of its addresses.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		for n := range limitPair.burst {
			l.guess("victim", fmt.Sprintf("2001:db8:1:2::%d", n+1))
		}
		if l.guess("victim", "2001:db8:1:2:ffff::1") == 0 {
			t.Error("another address of the same /64 is another source")
		}
		if l.guess("victim", "2001:db8:1:3::1") != 0 {
			t.Error("another /64 is the same source")
		}
		for n := range limitPair.burst {
			if l.guess("other", []string{"192.0.2.1", "::ffff:192.0.2.1"}[n%2]) != 0 {
				t.Fatal("guess", n)
			}
		}
		if l.guess("other", "::ffff:192.0.2.1") == 0 {
			t.Error("an IPv4 address in IPv6 clothes is another source")
		}
	})
}

// TestSourceLimit: one password tried on many accounts.
func TestSourceLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		for n := range limitSource.burst {
			if l.guess(fmt.Sprint("user", n), "192.0.2.1") != 0 {
				t.Fatal("guess", n)
			}
		}
		if wait := l.guess("one more", "192.0.2.1"); wait <= 0 || wait > limitSource.every {
			t.Error("the next one waits", wait)
		}
	})
}

// TestBusy: sign-ins that wait for a core are bounded, and strangers, many or one, do not take the places of those who have
// signed in from there before.
func TestBusy(t *testing.T) {
	l := newSignInLimits()
	for n := range maxSignIns - maxStrangers {
		if !l.right(fmt.Sprint("known", n), "198.51.100.1") {
			t.Fatal("known", n)
		}
	}
	var ends []func(outcome)
	begin := func(username, address string) bool {
		end, err := l.attempt(username, address)
		if err == nil {
			ends = append(ends, end)
		}
		return err == nil
	}
	for n := range maxPerSource {
		if !begin(fmt.Sprint("user", n), "192.0.2.1") {
			t.Fatal("stranger", n)
		}
	}
	if begin("one more", "192.0.2.1") {
		t.Error("one source takes more than its places")
	}
	for n := range maxStrangers - maxPerSource {
		if !begin(fmt.Sprint("user", n), fmt.Sprintf("203.0.113.%d", n)) {
			t.Fatal("stranger", n, "from elsewhere")
		}
	}
	if wait := l.guess("one more", "192.0.2.200"); wait <= 0 {
		t.Error("one more stranger than may wait waits", wait)
	}
	for n := range maxSignIns - maxStrangers {
		if !begin(fmt.Sprint("known", n), "198.51.100.1") {
			t.Fatal("strangers keep out known", n)
		}
	}
	if l.right("known0", "198.51.100.1") {
		t.Error("more than may wait")
	}
	for _, end := range ends {
		end(unknown)
	}
	if wait := l.guess("one more", "192.0.2.200"); wait != 0 || l.underWay+l.strangers+len(l.perSource)+len(l.perPair) != 0 {
		t.Error("all are done:", wait, l.underWay, l.strangers, l.perSource)
	}
}

// TestHangingUp: who hangs up again and again uses up his attempts, unless he has signed in from there before.
func TestHangingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newSignInLimits()
		if !l.right("ada", "198.51.100.1") {
			t.Fatal("the first sign-in is refused")
		}
		hangUp := func(address string) bool {
			end, err := l.attempt("ada", address)
			if err == nil {
				end(abandoned)
			}
			return err == nil
		}
		for n := range 10 * limitPair.burst {
			if !hangUp("198.51.100.1") {
				t.Fatal("known, refused after", n)
			}
			if got, want := hangUp("192.0.2.1"), n < limitPair.burst; got != want {
				t.Fatal("a stranger is let through after", n)
			}
		}
	})
}

// newTestService returns a service on a fresh SQLite database with the administrator "admin".
func newTestService(t testing.TB, log io.Writer) (*Service, *models.Store) {
	t.Helper()
	dir := t.TempDir()
	store, err := models.Open(context.Background(), "sqlite:"+filepath.Join(dir, "db"), models.Options{Key: models.KeySource{File: filepath.Join(dir, "key")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Bootstrap(context.Background(), models.NewSecret("correct horse battery")); err != nil {
		t.Fatal(err)
	}
	s := NewService(store, Options{Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry(), Version: "test"})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		store.Close()
	})
	return s, store
}

// TestAbandonedSignIn: an attacker who hangs up before the password is looked at has not signed in. If his source became
// known for the account by that, many such sources could guess without the limit per account.
func TestAbandonedSignIn(t *testing.T) {
	s, _ := newTestService(t, io.Discard)
	gone, hangUp := context.WithCancel(context.Background())
	hangUp()
	door := Door{Address: "203.0.113.1", SignedIn: func(models.Secret, models.Time) {}}
	if _, failed := s.Call(gone, nil, door, "/v1/session/sign-in", []byte(`["admin","wrong password"]`)); failed == nil {
		t.Fatal("signed in")
	}
	for n := range limitAccount.burst {
		s.signIns.guess("admin", fmt.Sprintf("198.51.100.%d", n))
	}
	if s.signIns.guess("admin", door.Address) == 0 {
		t.Error("an abandoned sign-in made its source one that has signed in before")
	}
}

func signInAdmin(store *models.Store) (*models.User, *models.Session, models.Secret, error) {
	return store.SignIn(context.Background(), "admin", models.NewSecret("correct horse battery"), "", "")
}
