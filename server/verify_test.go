package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// verification is what a door says of a token.
type verification struct {
	active bool
	status int    // of HTTP; of the WebSocket the error's code, 200 for none
	retry  string // after so many seconds
	answer string
}

// verifyDoors are the doors by which it is asked whether a token is good.
func (i *instance) verifyDoors(c *caller) map[string]func(token string) verification {
	ask := func(method, path, credential, contentType, body string) verification {
		header := bearer(credential)
		header.Set("Content-Type", contentType)
		response, answer := i.ask(method, path, body, header)
		return verification{strings.Contains(answer, `"active":true`), response.StatusCode, response.Header.Get("Retry-After"), answer}
	}
	return map[string]func(token string) verification{
		"POST of the params": func(token string) verification {
			return ask("POST", "/api/v1/verifier/verify", i.session, "application/json", fmt.Sprintf("[%q]", token))
		},
		"POST of a message": func(token string) verification {
			return ask("POST", "/api", i.session, "application/json", call(1, "/v1/verifier/verify", fmt.Sprintf("[%q]", token)))
		},
		"introspection": func(token string) verification {
			return ask("POST", "/oauth2/introspect", i.session, formType, url.Values{"token": {token}}.Encode())
		},
		"a proxy's question": func(token string) verification {
			v := ask("GET", "/auth/verify", token, "", "")
			v.active = v.status == http.StatusOK
			return v
		},
		"WebSocket": func(token string) verification {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			result, code, err := c.call(ctx, "/v1/verifier/verify", []any{token})
			if err != nil {
				i.t.Fatal(err)
			}
			return verification{strings.Contains(string(result), `"active":true`), max(code, http.StatusOK), "", string(result)}
		},
	}
}

// caller returns a connection of the administrator's.
func (i *instance) caller() *caller {
	i.t.Helper()
	c := i.dial(i.session, "")
	c.next()
	return &caller{ws: c.ws}
}

// TestVerificationsWriteNothing: while somebody else holds up all changes, verifications are answered by every door, also of
// tokens that nobody has asked about before; and so is a call whose change was made before and that waits for a verifier.
func TestVerificationsWriteNothing(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		id, token := i.make(`{}`)
		v := i.holding(t, time.Minute, true, token)
		revoked := i.revoke(id)
		until(t, patience, "the verifier to be told", func() bool { return v.told() > 0 })
		doors := i.verifyDoors(i.caller())
		cold := map[string]string{}
		for name := range doors {
			_, cold[name] = i.make(`{}`)
		}
		release := hold(t, databaseURL)
		defer release()
		begun := time.Now()
		for name, ask := range doors {
			for range 2 {
				if got := ask(cold[name]); !got.active || got.status != http.StatusOK {
					t.Errorf("%s: %+v", name, got)
				}
			}
			if got := ask(token); got.active {
				t.Errorf("%s: %+v", name, got)
			}
		}
		v.confirmAll(t.Context())
		wantReceipt(t, <-revoked, 1, 0)
		if took := time.Since(begun); took > patience/2 { // a change waits for as long as SQLite's own patience
			t.Error("it took", took)
		}
	})
}

// TestRateLimitOfVerifications: a token over its limit is good, and every door says when it may be used again. It is never
// said to be bad.
func TestRateLimitOfVerifications(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		for name, ask := range i.verifyDoors(i.caller()) {
			_, token := i.make(`{"rateLimit":{"requests":2,"window":60}}`)
			for range 2 {
				if got := ask(token); !got.active {
					t.Errorf("%s, within the limit: %+v", name, got)
				}
			}
			for range 3 {
				got := ask(token)
				if got.active || strings.Contains(got.answer, `"active":false`) {
					t.Errorf("%s, over the limit: %+v", name, got)
				}
				switch {
				case name == "POST of a message" && strings.Contains(got.answer, `"code":429`) && strings.Contains(got.answer, `"retryAfterMs":`):
				case name == "WebSocket" && got.status == http.StatusTooManyRequests:
				case got.status != http.StatusTooManyRequests || got.retry != "30":
					t.Errorf("%s, over the limit: %+v", name, got)
				}
			}
		}
	})
}

// TestDatabaseAway: a node that loses its database answers nothing from memory after a while, and renews no lease: not one
// verification says that a good token is bad. When the database is back it goes on.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	database := modelstest.StartServer(t)
	i := start(t, database.URL())
	_, token := i.make(`{}`)
	c := i.caller()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	doors := i.verifyDoors(c)
	for name, ask := range doors {
		if got := ask(token); !got.active {
			t.Errorf("%s: %+v", name, got)
		}
	}
	beat := func() int {
		_, code, err := c.call(ctx, "/v1/verifier/beat", []any{})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code := beat(); code != 0 {
		t.Fatal(code)
	}
	database.Stop()
	until(t, patience, "a lease not to be renewed", func() bool { return beat() == http.StatusServiceUnavailable })
	for range 3 {
		for name, ask := range doors {
			got := ask(token)
			if got.active || strings.Contains(got.answer, `"active":`) || name == "a proxy's question" && got.status < 500 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if code := beat(); code != http.StatusServiceUnavailable {
			t.Error("a beat without a database is answered with", code)
		}
	}
	database.Start()
	until(t, patience, "the lease to be renewed", func() bool { return beat() == 0 })
	for name, ask := range doors {
		if got := ask(token); !got.active {
			t.Errorf("%s, afterwards: %+v", name, got)
		}
	}
}
