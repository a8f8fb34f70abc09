package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestCredentials asks for an upgrade with every kind of credential, in every place: 401 comes before the upgrade.
func TestCredentials(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		c := &clock{}
		i := startWith(t, url, models.Options{Now: c.now}, nil)
		_, good := i.token("good", 0)
		off, disabled := i.token("off", 0)
		i.post("/api/v1/api-tokens/set-enabled", i.session, `["`+off+`",false]`)
		_, expired := i.token("brief", time.Minute)
		gone, deleted := i.token("gone", 0)
		i.post("/api/v1/api-tokens/delete", i.session, `["`+gone+`"]`)
		out := i.signIn("admin", adminPassword)
		i.post("/api/v1/session/sign-out", out, "")
		c.forward(2 * time.Minute)
		protocols := func(list ...string) http.Header { return http.Header{"Sec-Websocket-Protocol": list} }
		_, last, _ := strings.Cut(good, "_")
		other := "0" // another digit than the one there
		if good[30] == '0' {
			other = "1"
		}
		for _, c := range []upgrading{
			{"none", "", nil, 401},
			{"session", "", bearer(i.session), 101},
			{"token", "", bearer(good), 101},
			{"lower-case scheme", "", http.Header{"Authorization": {"bearer " + good}}, 101},
			{"another scheme", "", http.Header{"Authorization": {"Basic " + good}}, 401},
			{"no scheme", "", http.Header{"Authorization": {good}}, 401},
			{"empty", "", bearer(""), 401},
			{"made up", "", bearer("twt_x"), 401},
			{"cut", "", bearer(good[:len(good)-1]), 401},
			{"another secret", "", bearer(good[:30] + other + good[31:]), 401},
			{"the other kind", "", bearer("tws_" + last), 401},
			{"disabled", "", bearer(disabled), 401},
			{"expired", "", bearer(expired), 401},
			{"deleted", "", bearer(deleted), 401},
			{"signed out", "", bearer(out), 401},
			{"sub-protocol", "", protocols("tokenwire.v1, bearer." + good), 101},
			{"sub-protocol, the other way", "", protocols("bearer."+good, "tokenwire.v1"), 101},
			{"sub-protocol, bad", "", protocols("tokenwire.v1, bearer." + disabled), 401},
			{"sub-protocol without a credential", "", protocols("tokenwire.v1"), 401},
			{"a bad header is not saved by a good sub-protocol", "", http.Header{"Authorization": {"Bearer x"}, "Sec-Websocket-Protocol": {"tokenwire.v1, bearer." + good}}, 401},
			{"URL: token", "?token=" + good, nil, 401},
			{"URL: access_token", "?access_token=" + good, nil, 401},
			{"URL: bearer", "?bearer." + good, nil, 401},
			{"URL: authorization", "?Authorization=Bearer%20" + good, nil, 401},
		} {
			c.check(i, good)
		}
	})
}

// upgrading is a request for an upgrade, and the status that it must get.
type upgrading struct {
	name   string
	query  string
	header http.Header
	status int
}

// check asks for it. No answer may repeat the secret.
func (c upgrading) check(i *instance, secret string) {
	i.t.Helper()
	response, body := i.handshake(c.query, c.header)
	if response.StatusCode != c.status {
		i.t.Errorf("%s: got %s %s, want %d", c.name, response.Status, body, c.status)
	}
	if c.status == 401 && (!strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer") || !strings.Contains(body, `{"error":{"code":401,`)) {
		i.t.Errorf("%s: %v %s", c.name, response.Header, body)
	}
	want := ""
	if c.header.Get("Sec-Websocket-Protocol") != "" && c.status == 101 {
		want = "tokenwire.v1"
	}
	if got := strings.Join(response.Header.Values("Sec-Websocket-Protocol"), "|"); got != want {
		i.t.Errorf("%s: the sub-protocol is %q, want %q", c.name, got, want)
	}
	for name, values := range response.Header {
		if strings.Contains(strings.Join(values, "\n")+body, secret) {
			i.t.Errorf("%s: the secret comes back in %s", c.name, name)
		}
	}
}

// TestCookie signs in from origins and uses the cookie from others. Credentials that a browser sends by itself count only
// for pages that may use them.
func TestCookie(t *testing.T) {
	i := startWith(t, modelstest.SQLite(t), models.Options{}, []string{"https://App.Example:443/", "http://plain.example:80", "https://app.example:8443"})
	port := i.url[strings.LastIndexByte(i.url, ':'):]
	for _, origin := range []string{"", "http://localhost" + port, "http://127.0.0.1" + port, "http://[::1]" + port, "http://plain.example"} {
		if c := i.cookieFor(origin); c == nil || strings.HasPrefix(c.Name, "__") || c.Secure {
			t.Errorf("from %q: %v", origin, c)
		}
	}
	for _, origin := range []string{"https://app.example", "https://app.example:8443"} {
		if c := i.cookieFor(origin); c == nil || !strings.HasPrefix(c.Name, "__Host-") || !c.Secure {
			t.Errorf("from %q: %v", origin, c)
		}
	}
	for _, origin := range []string{"https://evil.example", "null", "http://app.example"} {
		if c := i.cookieFor(origin); c != nil { // nobody signs a browser in from another site
			t.Errorf("from %q: %v", origin, c)
		}
	}
	plain, secure := i.cookieFor(""), i.cookieFor("https://app.example")
	both := plain.Name + "=" + plain.Value + "; " + secure.Name + "=" + secure.Value
	for _, c := range []cookieUse{
		{"http://localhost" + port, "", true}, {"http://127.0.0.1" + port, "", true}, {"https://app.example", "", true}, {"https://app.example:8443", "", true}, {"http://plain.example", "", true},
		{"http://plain.example", "plain.example", true}, {"http://localhost" + port, "evil.example", true},
		{"", "", false}, {"null", "", false}, {"https://evil.example", "", false}, {"http://app.example", "", false}, {"https://app.example:444", "", false},
		{"https://app.example.evil.example", "", false}, {"https://evil.app.example", "", false}, {"https://evil@app.example", "", false}, {"https://app.example@evil.example", "", false},
		{"https://app.example/", "", false}, {"https://app.example https://evil.example", "", false}, {"app.example", "", false}, {"file://", "", false},
		{"http://localhost", "", false}, {"http://localhost:1", "", false}, {"https://localhost" + port, "", false}, {"http://localhost" + port + ".evil.example", "", false},
		// What a request says of its host proves nothing: DNS may lead anybody's name here.
		{"http://evil.example", "evil.example", false}, {"http://evil.example" + port, "evil.example" + port, false}, {"https://evil.example", "evil.example", false}, {"", "localhost" + port, false},
	} {
		c.check(i, both)
	}
	response, _ := i.ask("POST", "/api/v1/session/sign-out", "", http.Header{"Cookie": {both}, "Origin": {"https://app.example"}})
	if c := response.Cookies(); response.StatusCode != 200 || len(c) != 1 || c[0].Name != secure.Name || c[0].Value != "" || c[0].Expires.After(time.Now()) || !c[0].Secure {
		t.Errorf("signing out: %s %v", response.Status, c)
	}
	if again, _ := i.handshake("", http.Header{"Cookie": {both}, "Origin": {"https://app.example"}}); again.StatusCode != 401 {
		t.Error("signed out, the cookie counts:", again.Status)
	}
	// An old cookie in the browser does not keep anybody from signing in.
	if again, body := i.ask("POST", "/api/v1/session/sign-in", `["admin","`+adminPassword+`"]`, http.Header{"Cookie": {both}, "Origin": {"https://app.example"}}); again.StatusCode != 200 {
		t.Error("with an old cookie:", again.Status, body)
	}
}

// cookieFor signs in as a page of an origin does, and returns the cookie that it gets, if any.
func (i *instance) cookieFor(origin string) *http.Cookie {
	i.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	response, body := i.ask("POST", "/api/v1/session/sign-in", `["admin","`+adminPassword+`"]`, header)
	if response.StatusCode != 200 || len(response.Cookies()) > 1 {
		i.t.Fatal(origin, response.Status, body)
	}
	if len(response.Cookies()) == 0 {
		return nil
	}
	cookie := response.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || !strings.Contains(body, cookie.Value) ||
		cookie.Expires.Before(time.Now().Add(24*time.Hour)) {
		i.t.Errorf("%s: %s", origin, cookie)
	}
	return cookie
}

// cookieUse is a page that uses a browser's cookies, and whether they count for it.
type cookieUse struct {
	origin, host string
	counts       bool
}

// check uses the cookies at each door, and then a bearer beside them.
func (c cookieUse) check(i *instance, cookies string) {
	i.t.Helper()
	header := http.Header{"Cookie": {cookies}}
	if c.origin != "" {
		header.Set("Origin", c.origin)
	}
	if c.host != "" {
		header.Set("Host", c.host)
	}
	upgrade, body := i.handshake("", header)
	if got := upgrade.StatusCode == 101; got != c.counts || !got && upgrade.StatusCode != 401 {
		i.t.Errorf("upgrade from %q at %q: %s %s", c.origin, c.host, upgrade.Status, body)
	}
	call, body := i.ask("POST", "/api/v1/session/read", "", header)
	if got := call.StatusCode == 200; got != c.counts || !got && call.StatusCode != 401 {
		i.t.Errorf("call from %q at %q: %s %s", c.origin, c.host, call.Status, body)
	}
	message, body := i.ask("POST", "/api", `{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}`, header)
	if got := strings.Contains(body, `"result":`); got != c.counts || message.StatusCode != 200 {
		i.t.Errorf("message from %q at %q: %s %s", c.origin, c.host, message.Status, body)
	}
	header.Set("Authorization", "Bearer "+i.session) // a bearer needs no origin
	if call, body := i.ask("POST", "/api/v1/session/read", "", header); call.StatusCode != 200 {
		i.t.Errorf("bearer from %q at %q: %s %s", c.origin, c.host, call.Status, body)
	}
	if allowed := call.Header.Get("Access-Control-Allow-Origin"); c.origin != "" && (allowed == c.origin) != c.counts || allowed == "*" {
		i.t.Errorf("%q may read the answer: %q", c.origin, allowed)
	}
}

// TestPreflight asks what a browser asks before a page of another origin may call.
func TestPreflight(t *testing.T) {
	i := startWith(t, modelstest.SQLite(t), models.Options{}, []string{"https://app.example"})
	for _, path := range []string{"/api", "/api/v1/session/read"} {
		for origin, allowed := range map[string]bool{"https://app.example": true, "https://evil.example": false, "https://app.example.evil.example": false} {
			response, _ := i.ask("OPTIONS", path, "", http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"}})
			h := response.Header
			if got := h.Get("Access-Control-Allow-Origin"); response.StatusCode/100 != 2 || (got == origin) != allowed || got != "" && got != origin {
				t.Errorf("%s from %s: %s, %q", path, origin, response.Status, got)
			}
			headers := strings.Split(strings.ToLower(strings.ReplaceAll(h.Get("Access-Control-Allow-Headers"), " ", "")), ",")
			if !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || !slices.Contains(headers, "authorization") || !slices.Contains(headers, "content-type") {
				t.Errorf("%s from %s: %v", path, origin, h)
			}
			if !slices.Contains(h.Values("Vary"), "Origin") {
				t.Errorf("%s from %s: a cache would give one origin's answer to another", path, origin)
			}
		}
	}
}
