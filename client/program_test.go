package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

const (
	// patience is how long the tests wait for what takes milliseconds.
	patience = 20 * time.Second
	// longLease does not run out within a test on a slow machine, and no beat comes to confirm what should be confirmed at once.
	longLease = maxLease
	// shortLease is for tests that wait for its end.
	shortLease = 3 * time.Second
)

// installation is Tokenwire itself, an administrator's client, and a verifier.
type installation struct {
	*servertest.Program
	admin *Client
	v     *Verifier
}

// install starts Tokenwire, with a verifier.
func install(t *testing.T, database string, o VerifierOptions) *installation {
	t.Helper()
	i := &installation{Program: servertest.Start(t, database)}
	session := NewSecret(i.SignIn("admin", servertest.Password))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if i.admin, err = Dial(ctx, Options{URL: i.URL() + "/api", Token: session}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.admin.Close() })
	if err := i.admin.Call(ctx, "/v1/permissions/create", []string{"repo:read"}, nil); err != nil {
		t.Fatal(err)
	}
	service := i.create(t, "service", TokenOptions{Permissions: map[string]bool{"tokens:verify": true}})
	o.URL, o.Token = i.URL()+"/api", service.Secret
	if i.v, err = NewVerifier(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.v.Close() })
	return i
}

func (i *installation) create(t *testing.T, name string, o TokenOptions) Created {
	t.Helper()
	created, err := i.admin.CreateToken(t.Context(), name, o)
	if err != nil || created.Name != name || created.Secret.Reveal() == "" {
		t.Fatalf("%+v, %v", created, err)
	}
	return created
}

// set switches a token on or off, and wants each verifier that held it to have confirmed.
func (i *installation) set(t *testing.T, created Created, enabled bool, verifiers int) {
	t.Helper()
	changed, err := i.admin.SetTokenEnabled(t.Context(), created.ID, enabled, ChangeOptions{})
	if r := changed.Receipt; err != nil || changed.Enabled != enabled || r.Verifiers != verifiers || r.Confirmed != verifiers {
		t.Fatalf("%+v, %v", changed, err)
	}
}

// held verifies until the answer is held, which takes a lease.
func (i *installation) held(t *testing.T, created Created) {
	t.Helper()
	for deadline := time.Now().Add(patience); i.v.held(digestOf(created.Secret.Reveal())) == nil; time.Sleep(time.Millisecond) {
		if d, err := i.v.Verify(t.Context(), created.Secret.Reveal()); time.Now().After(deadline) {
			t.Fatalf("it is not held: %+v, %v, %+v", d, err, i.v.Stats())
		}
	}
}

// Whoever has the receipt of a change gets no old answer, in whatever way a token is changed.
func TestReceipts(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, database string) {
		i := install(t, database, VerifierOptions{Lease: longLease})
		created := i.create(t, "ci", TokenOptions{Permissions: map[string]bool{"repo:read": true}, AllowedIPs: []string{"192.0.2.0/24"}})
		i.held(t, created)
		secret, ctx := created.Secret.Reveal(), t.Context()
		d := verdict(t, i.v, secret)
		if !d.Active || d.TokenID != created.ID || d.Username != "admin" || !d.Has("repo:read") || d.Has("admin") ||
			!d.From(netip.MustParseAddr("192.0.2.200")) || d.From(netip.MustParseAddr("192.0.3.1")) || !d.ExpiresAt().IsZero() {
			t.Errorf("%+v", d)
		}
		i.set(t, created, false, 1)
		if verdict(t, i.v, secret).Active {
			t.Error("it is active, and was disabled")
		}
		i.set(t, created, true, 0)
		i.held(t, created)
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		changed, err := i.admin.UpdateToken(ctx, created.ID, TokenChanges{Name: "new", AllowedIPs: Clear[[]string](), ExpiresAt: Set(end)})
		if err != nil || changed.Receipt.Confirmed != 1 || changed.Receipt.Elapsed <= 0 || changed.AllowedIPs != nil || changed.ExpiresAt == nil || !changed.ExpiresAt.Equal(end) {
			t.Errorf("%+v, %v", changed, err)
		}
		if d := verdict(t, i.v, secret); !d.From(netip.MustParseAddr("192.0.3.1")) || !d.ExpiresAt().Equal(end) {
			t.Errorf("%+v", d)
		}
		if changed, err = i.admin.UpdateTokenPermissions(ctx, created.ID, map[string]bool{"repo:read": false}, ChangeOptions{changed.Version}); err != nil || changed.Receipt.Confirmed != 1 {
			t.Errorf("%+v, %v", changed, err)
		}
		if verdict(t, i.v, secret).Has("repo:read") {
			t.Error("it has what was taken")
		}
		if _, err := i.admin.SetTokenPermissions(ctx, created.ID, map[string]bool{"repo:read": true}, ChangeOptions{1}); code(err) != 409 {
			t.Errorf("another version: %v", err)
		}
		if changed, err = i.admin.SetTokenPermissions(ctx, created.ID, map[string]bool{"repo:read": true}, ChangeOptions{}); err != nil || changed.Receipt.Confirmed != 1 || !verdict(t, i.v, secret).Has("repo:read") {
			t.Errorf("%+v, %v", changed, err)
		}
		rotated, err := i.admin.RotateToken(ctx, created.ID, RotateOptions{})
		if err != nil || rotated.Receipt.Confirmed != 1 || verdict(t, i.v, secret).Active || !verdict(t, i.v, rotated.Secret.Reveal()).Active {
			t.Errorf("%+v, %v", rotated, err)
		}
		receipt, err := i.admin.DeleteToken(ctx, created.ID)
		if err != nil || receipt.Confirmed != 1 || verdict(t, i.v, rotated.Secret.Reveal()).Active {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
}

// What else is typed is read as the server writes it.
func TestTokenMethods(t *testing.T) {
	i := install(t, modelstest.SQLite(t), VerifierOptions{Lease: longLease})
	ctx := t.Context()
	created := i.create(t, "reader", TokenOptions{RateLimit: &RateLimit{100, 60}, Permissions: map[string]bool{"repo:read": true}})
	isOn := true
	page, err := i.admin.ReadTokens(ctx, TokensQuery{Where: TokensWhere{NameLike: "READ", Enabled: &isOn}, OrderBy: [][2]string{{"name", "asc"}}, Limit: 1})
	if err != nil || len(page.Tokens) != 1 || page.Next != "" || page.Position == "" || page.Tokens[0].RateLimit.Window != 60 || !slices.Equal(page.Tokens[0].EffectivePermissions, []string{"repo:read"}) {
		t.Errorf("%+v, %v", page, err)
	}
	if page, err = i.admin.ReadTokens(ctx, TokensQuery{Where: TokensWhere{Name: "rea"}}); err != nil || len(page.Tokens) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	permissions, err := i.admin.GetTokenPermissions(ctx, created.ID)
	if err != nil || !slices.ContainsFunc(permissions, func(p GrantablePermission) bool { return p.ID == "repo:read" && p.Enabled }) {
		t.Errorf("%+v, %v", permissions, err)
	}
	if _, err := i.admin.GetTokenPermissions(ctx, "nobody's"); code(err) != 404 {
		t.Errorf("%v", err)
	}
	// A token with a rate limit is asked for each time, and told when it is over it.
	for range 100 {
		verdict(t, i.v, created.Secret.Reveal())
	}
	_, err = i.v.Verify(ctx, created.Secret.Reveal())
	if limited, ok := errors.AsType[*RateLimited](err); !ok || limited.RetryAfter <= 0 || limited.RetryAfter > time.Minute {
		t.Errorf("%v", err)
	}
	events := i.admin.Events(ctx)
	if _, err := i.admin.DeleteToken(ctx, created.ID); err != nil {
		t.Error(err)
	}
	for event, err := range events {
		if err != nil || event.Method != "/v1/api-tokens/deleted" {
			t.Errorf("%+v, %v", event, err)
		}
		break
	}
}

// While it is switched on and off, each answer is of a moment in which it was asked.
func TestAnswersOfTheirTime(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, database string) {
		i := install(t, database, VerifierOptions{Lease: longLease})
		created := i.create(t, "ci", TokenOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var phase atomic.Int64 // odd: on; even: off; negative: being changed
		done := make(chan struct{})
		phase.Store(1)
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				before := phase.Load()
				d, err := i.v.Verify(t.Context(), created.Secret.Reveal())
				if after := phase.Load(); before == after && before > 0 && (err != nil || d.Active != (before%2 == 1)) {
					t.Errorf("in phase %d: %+v, %v", before, d, err)
					return
				}
			}
		}()
		n := int64(1)
		for ; ctx.Err() == nil; n++ {
			phase.Store(-n)
			if _, err := i.admin.SetTokenEnabled(t.Context(), created.ID, n%2 == 0, ChangeOptions{}); err != nil {
				t.Fatal(err)
			}
			phase.Store(n + 1)
			time.Sleep(time.Millisecond) // in which it is held
		}
		<-done
		if stats := i.v.Stats(); n < 5 || stats.Drops < 1 {
			t.Errorf("%d changes, %+v", n, stats)
		}
	})
}

// A server that stands still is no answer, nor is one that is gone; and both come back.
func TestServerAway(t *testing.T) {
	t.Parallel()
	i := install(t, modelstest.SQLite(t), VerifierOptions{Lease: shortLease})
	created := i.create(t, "ci", TokenOptions{})
	i.held(t, created)
	for name, outage := range map[string][2]func(){
		"frozen": {i.Freeze, i.Thaw},
		"killed": {i.Kill, i.Start},
	} {
		outage[0]()
		for deadline := time.Now().Add(patience); i.v.held(digestOf(created.Secret.Reveal())) != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it answers from memory for ever", name)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if d, err := i.v.Verify(ctx, created.Secret.Reveal()); !errors.Is(err, ErrUnavailable) || d.Active {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		cancel()
		outage[1]()
		i.held(t, created)
		i.set(t, created, false, 1)
		if verdict(t, i.v, created.Secret.Reveal()).Active {
			t.Errorf("%s: it is active after that, and was disabled", name)
		}
		i.set(t, created, true, 0)
		i.held(t, created)
	}
}

// A verifier whose connection is cut holds up a change for no longer than its lease.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, database string) {
		t.Parallel()
		i := install(t, database, VerifierOptions{Lease: shortLease})
		created := i.create(t, "ci", TokenOptions{})
		i.held(t, created)
		i.v.session.Load().conn.abort()
		changed, err := i.admin.SetTokenEnabled(t.Context(), created.ID, false, ChangeOptions{})
		if err != nil || changed.Receipt.Elapsed > shortLease+patience/4 {
			t.Errorf("%+v, %v", changed, err)
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			d, err := i.v.Verify(t.Context(), created.Secret.Reveal())
			if d.Active || time.Now().After(deadline) {
				t.Fatalf("%+v, %v", d, err)
			}
			if err == nil {
				break
			}
		}
	})
}

// What was answered from memory is in the server's books.
func TestUsesAreReported(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, database string) {
		i := install(t, database, VerifierOptions{Lease: longLease})
		created := i.create(t, "ci", TokenOptions{})
		i.held(t, created)
		for range 100 {
			verdict(t, i.v, created.Secret.Reveal())
		}
		d, _ := i.v.verify(t.Context(), created.Secret.Reveal())
		i.v.count(d, false)
		stats := i.v.Stats()
		want := stats.Hits + stats.Misses - 1
		if err := i.v.Close(); err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			usage, err := i.admin.TokenUsage(t.Context(), created.ID, UsageQuery{From: time.Now().Add(-time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			if usage.Allowed == want && usage.Denied == 1 && usage.LastUsedAt != nil && len(usage.Hours) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v, and not %d", usage, want)
			}
		}
		// It gave its lease back: nobody waits for it.
		i.set(t, created, false, 0)
	})
}
