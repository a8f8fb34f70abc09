package server_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// newToken makes a token and returns its id and secret.
func (i *instance) newToken(t testing.TB, credential, permissions string) (id, secret string) {
	t.Helper()
	_, answer := i.post("/api/v1/api-tokens/create", credential, `["t",{"permissions":`+permissions+`}]`)
	var token struct{ ID, Token string }
	if err := json.Unmarshal([]byte(answer), &token, json.MatchCaseInsensitiveNames(true)); err != nil || token.ID == "" {
		t.Fatal(answer)
	}
	return token.ID, token.Token
}

// TestNarrowToken: a token reaches what it was given, and cannot give itself more by any method.
func TestNarrowToken(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		other, _ := i.newToken(t, i.session, `{"admin":true}`)
		id, narrow := i.newToken(t, i.session, `{"tokens:verify":true}`)
		_, manager := i.newToken(t, i.session, `{"tokens:manage":true}`)
		for path, body := range map[string]string{
			"api-tokens/create": `["x"]`, "api-tokens/read": ``, "api-tokens/delete": `["` + other + `"]`,
			"api-tokens/get-permissions": `["` + id + `"]`, "api-tokens/set-enabled": `["` + other + `",false]`,
			"api-tokens/set-permissions": `["` + id + `",{"admin":true}]`, "api-tokens/update-permissions": `["` + id + `",{"admin":true}]`,
			"sessions/read": ``, "sessions/delete": `["x"]`, "session/sign-out": ``,
			"session/set-password": `["` + adminPassword + `","another password"]`,
			"users/read":           ``, "users/create": `["x"]`, "permissions/create": `["x"]`, "permissions/delete": `["x"]`,
			"users/set-password": `["x","another password"]`, "users/update-permissions": `["x",{"admin":true}]`,
		} {
			if status, answer := i.post("/api/v1/"+path, narrow, body); status != 403 {
				t.Errorf("narrow token, %s: %d %s", path, status, answer)
			}
			if status, answer := i.post("/api/v1/"+path, manager, body); status != 403 && !strings.HasPrefix(path, "api-tokens/") {
				t.Errorf("tokens:manage, %s: %d %s", path, status, answer)
			}
		}
		other, _ = i.newToken(t, i.session, `{"admin":true}`) // tokens:manage may have deleted the first
		for _, call := range []string{
			`create ["x",{"permissions":{"admin":true}}]`, `update-permissions ["` + id + `",{"admin":true}]`,
			`set-permissions ["` + id + `",{"tokens:manage":true,"admin":true}]`, `set-permissions ["` + other + `",{"admin":true}]`,
		} {
			method, params, _ := strings.Cut(call, " ")
			if status, answer := i.post("/api/v1/api-tokens/"+method, manager, params); status != 403 {
				t.Errorf("tokens:manage grants what it does not hold: %s: %d %s", call, status, answer)
			}
		}
		_, events := i.post("/api/v1/events/read", narrow, "")
		if strings.Contains(events, other) || strings.Contains(events, "/v1/session/") || !strings.Contains(events, id) {
			t.Error("a narrow token reads", events)
		}
	})
}

// TestStrangersToken: another user's token is answered exactly like none, and so is another user's session and position.
func TestStrangersToken(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		i.createUser(t, "mallory", `{"password":"mallory's password"}`)
		mallory := i.signIn("mallory", "mallory's password")
		id, _ := i.newToken(t, i.session, `{}`)
		nobodys := strings.Repeat("0", len(id))
		for _, call := range []string{
			`api-tokens/delete [%q]`, `api-tokens/get-permissions [%q]`, `api-tokens/read [{"id":%q}]`,
			`api-tokens/set-enabled [%q,false]`, `api-tokens/set-enabled [%q,true,{"version":99}]`,
			`api-tokens/set-permissions [%q,{}]`, `api-tokens/set-permissions [%q,{"admin":true}]`,
			`api-tokens/update-permissions [%q,{"nonsense":true}]`, `api-tokens/update-permissions [%q,{},{"version":99}]`,
			`sessions/delete [%q]`,
		} {
			method, params, _ := strings.Cut(call, " ")
			status, answer := i.post("/api/v1/"+method, mallory, fmt.Sprintf(params, id))
			other, expected := i.post("/api/v1/"+method, mallory, fmt.Sprintf(params, nobodys))
			if status != 404 || other != 404 || answer != expected {
				t.Errorf("%s: %d %s, and of none: %d %s", call, status, answer, other, expected)
			}
		}
		var admins struct{ Sessions []struct{ ID string } }
		_, answer := i.post("/api/v1/sessions/read", i.session, "")
		json.Unmarshal([]byte(answer), &admins, json.MatchCaseInsensitiveNames(true))
		if status, answer := i.post("/api/v1/sessions/delete", mallory, `["`+admins.Sessions[0].ID+`"]`); status != 404 {
			t.Error("another's session:", answer)
		}
		var read struct{ Position string }
		_, answer = i.post("/api/v1/api-tokens/read", i.session, "")
		json.Unmarshal([]byte(answer), &read, json.MatchCaseInsensitiveNames(true))
		for _, since := range []string{read.Position, "1-" + strings.Repeat("0", 12), "9223372036854775807-x", "-1-x", "'--", "%00"} {
			if ready := i.dial(mallory, "?since="+since).next(); !strings.Contains(ready, `"reset":true`) {
				t.Errorf("since=%s: %s", since, ready)
			}
		}
	})
}

// TestRevokedUnderWay: what ends a credential ends what it has under way. After the answer to the revocation nothing more
// may be done with it, be it by a batch that began before.
func TestRevokedUnderWay(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		batch := "[" + strings.Repeat(call(1, "/v1/api-tokens/create", `["loot"]`)+",", 99) + call(1, "/v1/api-tokens/create", `["loot"]`) + "]"
		for _, door := range []string{"WebSocket", "POST"} {
			t.Run(door, func(t *testing.T) {
				if door == "POST" && strings.HasPrefix(url, "mysql") {
					url = modelstest.MariaDB(t)
				} else if door == "POST" {
					url = modelstest.SQLite(t)
				}
				i := start(t, url)
				stolen := i.signIn("admin", adminPassword)
				var read struct{ Credential models.Credential }
				_, answer := i.post("/api/v1/session/read", stolen, "")
				json.Unmarshal([]byte(answer), &read, json.MatchCaseInsensitiveNames(true))
				watch := i.dial(i.session, "")
				watch.next()
				finished := make(chan struct{})
				if door == "WebSocket" {
					w := i.upgrade(t, stolen)
					w.put(frame(last|text, batch))
					go func() { defer close(finished); io.Copy(io.Discard, w) }() // never answers the goodbye
				} else {
					go func() { defer close(finished); i.post("/api", stolen, batch) }()
				}
				watch.next() // the batch is at work
				if status, answer := i.post("/api/v1/sessions/delete", i.session, `["`+read.Credential.ID+`"]`); status != 200 {
					t.Fatal(answer)
				}
				loot := func() string {
					_, answer := i.post("/api/v1/api-tokens/read", i.session, `[{"limit":1}]`)
					_, position, _ := strings.Cut(answer, `"position":"`)
					return position
				}
				before := loot()
				select {
				case <-finished:
				case <-time.After(patience):
				}
				if after := loot(); after != before {
					t.Errorf("a revoked session goes on: %s, then %s", before, after)
				}
			})
		}
	})
}

// TestForgery: another site's page can make a browser send the cookie, a body of its choice, and itself as Origin.
func TestForgery(t *testing.T) {
	i := startWith(t, modelstest.SQLite(t), models.Options{}, []string{"https://good.example"})
	port := i.url[strings.LastIndex(i.url, ":"):]
	send := func(method, path, origin, cookie, body string) (int, http.Header) {
		r, _ := http.NewRequest(method, i.url+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "text/plain")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		r.Header.Set("Cookie", cookie)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode, response.Header
	}
	for _, origin := range []string{
		"", "null", "https://evil.example", "http://evil.example" + port, "http://127.0.0.1.evil.example" + port, "https://127.0.0.1" + port,
		"http://127.0.0.1", "http://user@127.0.0.1" + port, "http://localhost.evil.example" + port, "http://good.example", "https://good.example:444",
		"https://good.example.evil.example", "https://evil.example/https://good.example", "HTTPS://GOOD.EXAMPLE", "https://good.example ,https://evil.example",
	} {
		for _, cookie := range []string{"tokenwire=" + i.session, "__Host-tokenwire=" + i.session} {
			for _, path := range []string{"/api/v1/api-tokens/create", "/api/v1/session/read"} {
				if status, _ := send("POST", path, origin, cookie, ""); status != 401 && !(path == "/api/v1/api-tokens/create" && status == 400) {
					t.Errorf("Origin %q, %s: %d", origin, path, status)
				}
			}
			if status, _ := send("GET", "/api", origin, cookie, ""); status != 401 {
				t.Errorf("Origin %q: an upgrade got %d", origin, status)
			}
		}
		status, header := send("POST", "/api/v1/session/sign-in", origin, "", `["admin","`+adminPassword+`"]`)
		if status == 200 && origin != "" && (header.Get("Set-Cookie") != "" || header.Get("Access-Control-Allow-Origin") != "") {
			t.Errorf("Origin %q signs a browser in", origin)
		}
	}
	if status, _ := send("POST", "/api/v1/session/read", i.url, "tokenwire="+i.session, ""); status != 200 {
		t.Error("the page itself:", status)
	}
	// A sibling host can set a cookie for ours, but not one with the prefix: over TLS no other counts.
	if status, _ := send("POST", "/api/v1/session/read", "https://good.example", "tokenwire="+i.session, ""); status != 401 {
		t.Error("over TLS a cookie without the prefix:", status)
	}
	if status, _ := send("POST", "/api/v1/session/read", "https://good.example", "tokenwire=x; __Host-tokenwire="+i.session, ""); status != 200 {
		t.Error("over TLS the right one among others:", status)
	}
}

// TestErrorsTellNothing: whatever a caller sends, the answer has no SQL, no path, no stack and no secret.
func TestErrorsTellNothing(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		cursor := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for _, params := range []string{
			`[{"after":"` + cursor(`{"o":"[{createdAt true} {id true}]","v":["' OR 1=1 --","x"]}`) + `"}]`,
			`[{"after":"` + cursor(`{"o":"[{createdAt true} {id true}]","v":[9223372036854775807,-1]}`) + `"}]`,
			`[{"after":"` + cursor(`{"o":"[{createdAt true} {id true}]","v":[null,null]}`) + `"}]`,
			`[{"after":"` + cursor(`{"o":"[{createdAt true} {id true}]","v":[1]}`) + `"}]`, `[{"after":"` + cursor("\xff") + `"}]`,
			`[{"id":"é\u0000😀'"}]`, `[{"orderBy":"name; DROP TABLE users"}]`, `[{"orderBy":[["hash","asc"]]}]`, `[{"orderBy":[["id","asc"]]}]`,
			`[{"where":{"name":["like","%\u0000'"]}}]`, `[{"where":{"user_id":"x"}}]`, `[{"limit":-1}]`, `[{"offset":99999999999999999999}]`,
		} {
			status, answer := i.post("/api/v1/api-tokens/read", i.session, params)
			for _, leak := range []string{"SELECT", "sqlite", "mysql", "Error 1", "/tmp", ".go:", "goroutine", "gorm", i.session} {
				if strings.Contains(answer, leak) {
					t.Errorf("%s: %s", params, answer)
				}
			}
			if status >= 500 {
				t.Errorf("%s: %d %s", params, status, answer)
			}
		}
	})
}
