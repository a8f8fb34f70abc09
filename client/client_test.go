package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/echo", func(_ *line, r *request) any { return r.Params })
		s.on("/fail", func(*line, *request) any {
			data := json.RawMessage(`{"param":"x"}`)
			return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: "no such param", Data: &data}
		})
		c := s.client(s.options())
		if got := s.headers[0].Get("Authorization"); got != "Bearer "+credential.Reveal() {
			t.Errorf("Authorization: %s", got)
		}
		for params, want := range map[any]string{
			[2]any{"a", 1}:                                 `["a",1]`,
			struct{ Name string }{"x"}:                     `{"Name":"x"}`,
			(any)(&map[string]bool{"invoices:read": true}): `{"invoices:read":true}`,
		} {
			var got json.RawMessage
			if err := c.Call(t.Context(), "/echo", params, &got); err != nil || string(got) != want {
				t.Errorf("params %v: %s, %v", params, got, err)
			}
		}
		if err := c.Call(t.Context(), "/none", nil, nil); err != nil || s.of("/none")[0].Params != nil {
			t.Errorf("no params: %v, %s", err, s.of("/none")[0].Params)
		}
		var refusal *Error
		err := c.Call(t.Context(), "/fail", nil, nil)
		if !errors.As(err, &refusal) || refusal.Code != jsonrpc2.CodeInvalidParams || string(refusal.Data) != `{"param":"x"}` {
			t.Errorf("an error: %#v", err)
		}
		if c.Call(t.Context(), "/echo", "a string", nil) == nil || len(s.of("/echo")) != 3 {
			t.Error("params that are neither array nor object were sent")
		}
		if err := c.Call(t.Context(), "/echo", []string{strings.Repeat("x", maxFrame)}, nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a frame that is too large: %v", err)
		}
	})
}

// What was sent is never sent again; what was not goes over the next connection.
func TestCallsOfABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/change", func(*line, *request) any { return silent{} })
		c := s.client(s.options())
		failed := make(chan error)
		go func() { failed <- c.Call(t.Context(), "/change", nil, nil) }()
		synctest.Wait()
		s.refuse(http.StatusServiceUnavailable)
		s.last().cut()
		if err := <-failed; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("a call whose connection broke: %v", err)
		}
		go func() { failed <- c.Call(t.Context(), "/later", nil, nil) }()
		time.Sleep(time.Minute)
		s.refuse(0)
		if err := <-failed; err != nil {
			t.Errorf("a call that waited for a connection: %v", err)
		}
		if len(s.of("/change")) != 1 || len(s.of("/later")) != 1 {
			t.Errorf("sent %d and %d times", len(s.of("/change")), len(s.of("/later")))
		}
		if len(s.queries) < 4 || s.queries[len(s.queries)-1] != "since=1-start" {
			t.Errorf("it connected with %q", s.queries)
		}
	})
}

func TestCancelledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/slow", func(*line, *request) any { return silent{} })
		c := s.client(s.options())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Call(ctx, "/slow", nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		cancelled := s.of("$/cancelRequest")
		if len(cancelled) != 1 || string(cancelled[0].Params) != fmt.Sprintf(`{"id":%d}`, *s.of("/slow")[0].ID) {
			t.Errorf("told %+v", cancelled)
		}
		k, _ := c.live(t.Context())
		if len(k.pending) != 0 || len(k.places) != 0 {
			t.Errorf("%d calls are pending, %d under way", len(k.pending), len(k.places))
		}
		s.of("/slow")[0].reply("too late") // and nobody minds
		if err := c.Call(t.Context(), "/next", nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/slow", func(*line, *request) any { return silent{} })
		c := s.client(s.options())
		failed := make(chan error, 40)
		for range 40 {
			go func() { failed <- c.Call(t.Context(), "/slow", nil, nil) }()
		}
		synctest.Wait()
		if n := len(s.of("/slow")); n != maxUnderWay {
			t.Fatalf("%d are under way", n)
		}
		for i := range 40 {
			synctest.Wait()
			s.of("/slow")[i].reply(i)
		}
		for range 40 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	})
}

// The credential's end is the end.
func TestEnd(t *testing.T) {
	ends := map[string]func(*stage) string{
		"refused": func(s *stage) string {
			s.refuse(http.StatusUnauthorized)
			s.last().cut()
			return "unauthorized"
		},
		"told": func(s *stage) string {
			s.last().tell(methodEnded, map[string]any{"reason": "token-disabled"})
			s.last().ws.Close(closeEnded, "")
			return "token-disabled"
		},
		"closed": func(s *stage) string {
			s.last().ws.Close(closeEnded, "")
			return "ended"
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				c := s.client(s.options())
				reason := end(s)
				time.Sleep(time.Hour)
				s.mu.Lock()
				attempts := len(s.headers)
				s.mu.Unlock()
				var ended *EndedError
				if err := c.Call(t.Context(), "/x", nil, nil); !errors.As(err, &ended) || ended.Reason != reason {
					t.Errorf("got %v", err)
				}
				if attempts > 2 {
					t.Errorf("it connected %d times", attempts)
				}
			})
		})
	}
}

func TestDialIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.refuse(http.StatusUnauthorized)
		var ended *EndedError
		if _, err := Dial(t.Context(), s.options()); !errors.As(err, &ended) {
			t.Errorf("401: %v", err)
		}
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusFound} {
			s.refuse(status)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := Dial(ctx, s.options())
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprint(status)) {
				t.Errorf("%d: %v", status, err)
			}
		}
	})
}

// A connection on which nothing is heard is dead, however alive TCP is.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		c := s.client(s.options())
		for range 10 {
			time.Sleep(30 * time.Second)
			s.last().tell(methodHeartbeat, map[string]any{"position": "2-beat"})
		}
		if n := len(s.all()); n != 1 {
			t.Errorf("it connected %d times while there were heartbeats", n)
		}
		time.Sleep(silence + backoffCap)
		if n := len(s.all()); n < 2 || s.queries[1] != "since=2-beat" {
			t.Errorf("it connected %d times, with %q", n, s.queries)
		}
		if c.Position() == "" {
			t.Error("it has no position")
		}
	})
}

func TestPauses(t *testing.T) {
	for _, longest := range []time.Duration{backoffCap, verifierBackoffCap} {
		testPauses(t, longest)
	}
}

func testPauses(t *testing.T, longest time.Duration) {
	for attempt := range 100 {
		limit := min(longest, backoffBase<<min(attempt, 20))
		if pause := pauseBefore(attempt, errors.New("lost"), longest); pause < 0 || pause > limit {
			t.Errorf("attempt %d: %v", attempt, pause)
		}
		for _, err := range []error{&protocolError{"x"}, websocket.CloseError{Code: websocket.StatusMessageTooBig}} {
			if pause := pauseBefore(attempt, err, longest); pause < mendPause || pause > longest {
				t.Errorf("attempt %d after %v: %v", attempt, err, pause)
			}
		}
		for _, after := range []time.Duration{time.Second, 4 * time.Second, backoffCap} {
			if pause := pauseBefore(attempt, &refusedError{"503", after}, longest); pause < after || pause > max(limit, 2*after) {
				t.Errorf("attempt %d, and Retry-After %v: %v", attempt, after, pause)
			}
		}
	}
}

// TestRetryAfter: what a server that lets nobody in says of when to come again is read, within bounds.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "86400": backoffCap, "-1": 0, "x": 0, "9999999999999999999999": backoffCap, "Mon, 23 Nov 2026 18:57:56 GMT": 0,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		u, err := endpoint(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Client{url: u, http: httpClient(nil)}).dial(t.Context())
		if refused, is := errors.AsType[*refusedError](err); !is || refused.after != want {
			t.Errorf("Retry-After %q: %#v", header, err)
		}
		s.Close()
	}
}

// What is no JSON-RPC ends the connection: a change may have been in it.
func TestBrokenProtocol(t *testing.T) {
	for _, frame := range []string{"{", `{"method":"/x","method":"/y"}`, "\xff", `[]`, `{"jsonrpc":"2.0","id":"x","result":1}`} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.client(s.options())
			s.last().ws.Write(t.Context(), websocket.MessageText, []byte(frame))
			time.Sleep(10 * time.Second)
			if n := len(s.all()); n != 2 {
				t.Errorf("after %q it connected %d times", frame, n)
			}
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/slow", func(*line, *request) any { return silent{} })
		c := s.client(s.options())
		failed := make(chan error)
		go func() { failed <- c.Call(t.Context(), "/slow", nil, nil) }()
		synctest.Wait()
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-failed; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the call under way: %v", err)
		}
		if err := c.Call(t.Context(), "/x", nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after the end: %v", err)
		}
		for _, err := range c.Events(t.Context()) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("events after the end: %v", err)
			}
		}
	})
}

// No error shows what was wrong with a URL that has a secret in it.
func TestURL(t *testing.T) {
	token := "twt_" + strings.Repeat("a", 71)
	for url, good := range map[string]bool{
		"wss://tokens.example/api": true, "https://tokens.example/api": true, "http://[::1]:8080/api": true, "ws://127.0.0.1/api?x=y#z": true,
		"": false, "tokens.example/api": false, "ftp://tokens.example": false, "ws://": false, "httpx://tokens.example": false,
		"wss://user:s3cret@tokens.example/api": false, "wss://s3cret@tokens.example/api": false, "wss://tokens.example/api?access_token=" + token: false,
		"wss://to kens.example/s3cret": false,
	} {
		u, err := endpoint(url)
		if (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), token)) {
			t.Errorf("%v", err)
		}
		if good && (u.Fragment != "" || !strings.HasPrefix(u.Scheme, "ws")) {
			t.Errorf("%s became %s", url, u)
		}
	}
	for _, token := range []string{"a b", "a\r\nX-Y: z", "tws_…"} {
		if _, err := Dial(t.Context(), Options{URL: "ws://127.0.0.1/api", Token: NewSecret(token)}); err == nil {
			t.Errorf("%q is taken for a credential", token)
		}
	}
}

// TestNoToken: whoever has forgotten the token is told so, and not that it is a wrong one.
func TestNoToken(t *testing.T) {
	for _, token := range []Secret{{}, NewSecret("")} {
		_, dialed := Dial(t.Context(), Options{URL: "ws://127.0.0.1/api", Token: token})
		_, made := NewVerifier(t.Context(), VerifierOptions{URL: "ws://127.0.0.1/api", Token: token})
		for _, err := range []error{dialed, made} {
			if err == nil || !strings.Contains(err.Error(), "no token is given") {
				t.Errorf("without a token: %v", err)
			}
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.on("/v1/api-tokens/create", func(*line, *request) any { return map[string]any{"id": "t1", "name": "ci", "token": "twt_s3cret"} })
		c := s.client(s.options())
		created, err := c.CreateToken(t.Context(), "ci", TokenOptions{})
		if err != nil || created.ID != "t1" || created.Secret.Reveal() != "twt_s3cret" {
			t.Fatalf("created %+v, %v", created, err)
		}
		text, _ := json.Marshal(created)
		v := s.verifier(VerifierOptions{})
		shown := string(text) + fmt.Sprintf("%v %+v %#v %s %x", created, created, created, created.Secret, created.Secret) +
			fmt.Sprintf("%+v %#v", s.options(), s.options()) + fmt.Sprintf("%+v %#v", v.options, v.client.token)
		for _, secret := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), credential.Reveal()} {
			if strings.Contains(shown, secret) {
				t.Errorf("%q is in %s", secret, shown)
			}
		}
	})
}
