package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// verdict is a Verify that must give an answer.
func verdict(t *testing.T, v *Verifier, token string) Decision {
	t.Helper()
	d, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return d
}

// refused is a Verify that must not give one.
func refused(t *testing.T, v *Verifier, token string) {
	t.Helper()
	if d, err := v.Verify(t.Context(), token); !errors.Is(err, ErrUnavailable) || d.Active {
		t.Errorf("verify: %+v, %v", d, err)
	}
}

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		token := s.mint("t1", map[string]any{"permissions": []string{"repo:read", "a"}, "allowedIps": []string{"192.0.2.7", "2001:db8::/32"}, "expiresAt": "2001-02-03T04:05:06.789Z"})
		v := s.verifier(VerifierOptions{})
		for range 3 {
			d := verdict(t, v, token)
			if !d.Active || d.Stale || d.TokenID != "t1" || d.UserID != "u-t1" || d.Username != "user of t1" || d.ExpiresAt().Nanosecond() != 789e6 {
				t.Errorf("%+v", d)
			}
			if !d.Has("a") || !d.Has("repo:read") || d.Has("repo:write") || d.Has("") || len(d.Permissions()) != 2 {
				t.Errorf("permissions %v", d.Permissions())
			}
			for address, good := range map[string]bool{"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.2.8": false, "2001:db8::1%eth0": true, "::1": false} {
				if d.From(netip.MustParseAddr(address)) != good {
					t.Errorf("from %s: %v", address, !good)
				}
			}
			if d.From(netip.Addr{}) {
				t.Error("it is good from nowhere")
			}
			d.Permissions()[0] = "changed by the caller"
		}
		if asked := s.of(methodVerify); len(asked) != 1 || !strings.Contains(string(asked[0].Params), `"hold":true`) {
			t.Errorf("asked %d times", len(asked))
		}
		if stats := v.Stats(); stats.Hits != 2 || stats.Misses != 1 || stats.Asked != 1 || stats.Held != 1 || !stats.Leased {
			t.Errorf("%+v", stats)
		}
		secret := token[idEnd+1 : bodySize]
		for _, frame := range s.frames {
			if strings.Contains(frame, secret) {
				t.Errorf("the token was sent: %s", frame)
			}
		}
		if (Decision{}).From(netip.MustParseAddr("192.0.2.7")) || (Decision{}).Has("a") {
			t.Error("nothing known is good for something")
		}
	})
}

// A token that is no good is asked for each time; a text that cannot be one, never.
func TestInactive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		s.disable(token)
		for range 3 {
			if verdict(t, v, token).Active {
				t.Error("active")
			}
		}
		session := "tws_" + token[4:bodySize]
		other := "x"
		if strings.HasSuffix(token, other) {
			other = "y"
		}
		for _, text := range []string{"", "x", token + "x", token[:74], token[:74] + other, session + "_" + checksum(session), strings.Repeat("é", 37) + "x", strings.Repeat("x", 1<<20)} {
			if verdict(t, v, text).Active {
				t.Errorf("%.80s is active", text)
			}
		}
		if stats := v.Stats(); stats.Asked != 3 || stats.Malformed != 8 || stats.Held != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// The form is that of tokens which Tokenwire has made.
func TestForm(t *testing.T) {
	for _, token := range []string{"twt_00000000000000000000_0000000000000000000000000000000000000000000_" + checksum("twt_00000000000000000000_0000000000000000000000000000000000000000000")} {
		if !wellFormed(token) {
			t.Errorf("%s is not well-formed", token)
		}
		for i := range token {
			for _, c := range []string{"_", "-", "0", "1", "é"} {
				if other := token[:i] + c + token[min(len(token), i+len(c)):]; other != token && wellFormed(other) {
					t.Errorf("%s is well-formed", other)
				}
			}
		}
	}
}

// Beyond the lease nothing is answered from memory, and within it all is.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Lease: 6 * time.Second})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		time.Sleep(time.Hour + time.Millisecond)
		verdict(t, v, token)
		if n := len(s.of(methodVerify)); n != 1 {
			t.Fatalf("asked %d times while the lease was renewed", n)
		}
		if n := len(s.of(methodBeat)); n != 1801 {
			t.Errorf("%d beats in an hour", n)
		}
		s.on(methodBeat, func(*line, *request) any { return &jsonrpc2.Error{Code: codeUnavailable, Message: "not now"} })
		time.Sleep(6*time.Second - 2*time.Millisecond) // the last beat that was answered was sent a millisecond ago
		verdict(t, v, token)
		if n := len(s.of(methodVerify)); n != 1 || !v.Stats().Leased {
			t.Errorf("asked %d times within the lease", n)
		}
		time.Sleep(time.Millisecond)
		s.disable(token)
		if verdict(t, v, token).Active || len(s.of(methodVerify)) != 2 || v.Stats().Leased {
			t.Error("it answers from memory after the lease")
		}
	})
}

// The lease counts from when the beat was sent, not from when it was answered.
func TestLeaseOfALateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		slow := func(l *line, r *request) any {
			time.Sleep(2 * time.Second)
			return map[string]any{"lease": 3.0, "seq": 0}
		}
		s.on(methodBeat, slow)
		v := s.verifier(VerifierOptions{Lease: 3 * time.Second})
		s.on(methodBeat, func(*line, *request) any { return silent{} })
		token := s.mint("t1", nil)
		verdict(t, v, token)
		time.Sleep(time.Second - time.Millisecond)
		verdict(t, v, token)
		if n := len(s.of(methodVerify)); n != 1 {
			t.Errorf("asked %d times within the lease", n)
		}
		time.Sleep(time.Millisecond)
		verdict(t, v, token)
		if n := len(s.of(methodVerify)); n != 2 {
			t.Errorf("asked %d times after the lease", n)
		}
	})
}

// A server may grant less than was asked for, and never more.
func TestLeaseGranted(t *testing.T) {
	for granted, want := range map[float64]time.Duration{1.5: 1500 * time.Millisecond, 3600: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.on(methodBeat, func(*line, *request) any { return map[string]any{"lease": granted, "seq": 0} })
			v := s.verifier(VerifierOptions{})
			if lease := v.session.Load().lease.Load(); lease.length != want {
				t.Errorf("of %v s: %v", granted, lease.length)
			}
		})
	}
}

// A half-open connection: nothing comes any more. The lease runs out, and the connection is given up.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		for _, method := range []string{methodBeat, methodVerify} {
			s.on(method, func(*line, *request) any { return silent{} })
		}
		time.Sleep(4 * time.Second)
		verdict(t, v, token)
		time.Sleep(time.Second)
		began := time.Now()
		refused(t, v, token)
		if waited := time.Since(began); waited > askTimeout {
			t.Errorf("it waited %v", waited)
		}
		time.Sleep(defaultLease + beatPatience + time.Second - askTimeout) // well before the silence is noticed
		if n := len(s.all()); n < 2 {
			t.Error("it stays on a dead connection")
		}
	})
}

// With its connection a lease is over at once.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Lease: time.Minute})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		s.refuse(http.StatusServiceUnavailable)
		s.last().cut()
		synctest.Wait()
		refused(t, v, token)
		s.refuse(0)
		time.Sleep(time.Minute)
		s.disable(token) // while it was away, say
		if verdict(t, v, token).Active {
			t.Error("what an earlier connection held is answered from")
		}
		stats := v.Stats()
		if stats.Unavailable != 1 || stats.Stale != 0 || stats.Held != 0 || !stats.Leased {
			t.Errorf("%+v", stats)
		}
	})
}

// Whoever cannot say neither lets in nor turns away.
func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		for _, answer := range []any{
			&jsonrpc2.Error{Code: codeUnavailable, Message: "the database is away"}, &jsonrpc2.Error{Code: codeUnauthorized},
			&jsonrpc2.Error{Code: codeForbidden}, &jsonrpc2.Error{Code: jsonrpc2.CodeInternalError}, &jsonrpc2.Error{Code: codeTooMany},
			"what", nil, []int{}, map[string]any{"active": "yes"}, map[string]any{"active": true, "held": true},
			map[string]any{"active": true, "tokenId": "t1", "userId": "u", "allowedIps": []string{"anywhere"}, "held": true},
		} {
			s.on(methodVerify, func(*line, *request) any { return answer })
			if answer == nil { // null says as much as {}: not active
				continue
			}
			refused(t, v, token)
		}
		if stats := v.Stats(); stats.Unavailable != 10 || stats.Held != 0 {
			t.Errorf("%+v", stats)
		}
		s.on(methodVerify, func(*line, *request) any { return silent{} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, token); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that has gone: %v", err)
		}
	})
}

func TestRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		data := json.RawMessage(`{"retryAfterMs":1500}`)
		s.on(methodVerify, func(*line, *request) any {
			return &jsonrpc2.Error{Code: codeTooMany, Message: "over its rate limit", Data: &data}
		})
		d, err := v.Verify(t.Context(), s.mint("t1", nil))
		limited, ok := errors.AsType[*RateLimited](err)
		if !ok || limited.RetryAfter != 1500*time.Millisecond || d.Active || errors.Is(err, ErrUnavailable) {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// Past its end nothing is answered from, whatever any wall clock says.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		past := s.mint("past", map[string]any{"expiresAt": "1970-01-01T00:00:00.000Z", "expiresInMs": 60_000.5}) // by a clock far off
		s.on(methodVerify, func(l *line, r *request) any {
			facts := l.facts(r)
			time.Sleep(time.Second) // on its way
			return facts
		})
		begin := time.Now()
		for time.Since(begin) < 59*time.Second {
			if !verdict(t, v, past).Active {
				t.Fatal("it ends too soon")
			}
			time.Sleep(time.Second)
		}
		if n := len(s.of(methodVerify)); n != 1 {
			t.Errorf("asked %d times", n)
		}
		s.disable(past)
		time.Sleep(time.Minute - time.Since(begin) + time.Millisecond)
		if verdict(t, v, past).Active {
			t.Error("it is answered from past its end")
		}
	})
}

// With Grace, what was held is answered from while the server is away, and no longer.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Grace: time.Minute})
		token, bad := s.mint("t1", nil), s.mint("t2", nil)
		short := s.mint("t3", map[string]any{"expiresInMs": 30_000})
		for _, token := range []string{token, bad, short} {
			verdict(t, v, token)
		}
		s.refuse(http.StatusServiceUnavailable)
		s.last().cut()
		synctest.Wait()
		for range 3 {
			if d := verdict(t, v, token); !d.Active || !d.Stale || d.TokenID != "t1" {
				t.Errorf("%+v", d)
			}
		}
		refused(t, v, s.mint("t4", nil))
		time.Sleep(31 * time.Second)
		refused(t, v, short)
		if !verdict(t, v, token).Stale {
			t.Error("not stale")
		}
		time.Sleep(34 * time.Second) // 65 s: lease and grace
		refused(t, v, token)
		if stats := v.Stats(); stats.Stale != 4 || stats.Unavailable != 3 {
			t.Errorf("%+v", stats)
		}
		s.refuse(0)
		time.Sleep(time.Minute)
		if d := verdict(t, v, token); !d.Active || d.Stale {
			t.Errorf("%+v", d)
		}
		s.disable(bad)
		if verdict(t, v, bad).Active {
			t.Error("what was held before is answered from")
		}
	})
}

// What the server says ends what was stale.
func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Grace: time.Hour})
		token, other := s.mint("t1", nil), s.mint("t2", nil)
		verdict(t, v, token)
		verdict(t, v, other)
		s.on(methodBeat, func(*line, *request) any { return silent{} })
		s.last().cut()
		time.Sleep(time.Second) // another connection, whose first beat is not answered
		s.disable(token)
		if verdict(t, v, token).Active {
			t.Error("active, though the server said no")
		}
		s.on(methodVerify, func(*line, *request) any { return silent{} })
		refused(t, v, token)
		began := time.Now()
		if !verdict(t, v, other).Stale || time.Since(began) != staleAfter {
			t.Error("not stale")
		}
		s.of(methodBeat)[len(s.of(methodBeat))-1].reply(map[string]any{"lease": 5, "seq": 0})
		synctest.Wait()
		refused(t, v, other)
	})
}

// Bad options, and credentials that may not verify.
func TestNewVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for _, o := range []VerifierOptions{{Lease: time.Millisecond}, {Lease: time.Hour}, {Size: -1}, {Size: maxSize + 1}, {Grace: -1}, {Grace: 48 * time.Hour}} {
			o.URL, o.Token, o.HTTPClient = "ws://stage.example/api", credential, s.http()
			if _, err := NewVerifier(t.Context(), o); err == nil {
				t.Errorf("%+v is taken", o)
			}
		}
		o := VerifierOptions{URL: "ws://stage.example/api", Token: credential, HTTPClient: s.http()}
		s.on(methodBeat, func(*line, *request) any { return &jsonrpc2.Error{Code: codeForbidden, Message: "no"} })
		if _, err := NewVerifier(t.Context(), o); code(err) != codeForbidden {
			t.Errorf("without the permission: %v", err)
		}
		s.on(methodBeat, func(*line, *request) any { return &jsonrpc2.Error{Code: codeUnavailable, Message: "not yet"} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := NewVerifier(ctx, o); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a server that never grants a lease: %v", err)
		}
		s.refuse(http.StatusUnauthorized)
		if _, err := NewVerifier(t.Context(), o); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("a bad credential: %v", err)
		}
	})
}
