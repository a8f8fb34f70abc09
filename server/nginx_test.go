//go:build linux

package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

const orders = "https://api.example.org/orders/7?x=1"

// TestNginx is forward auth as docs/proxies.md has it for nginx.
func TestNginx(t *testing.T) {
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, database string) {
		t.Parallel()
		p := startProxied(t, database)
		client := p.client("127.0.0.3")
		p.Call(p.session, "/v1/permissions/create", nil, "orders:read")
		p.allows(client)
		p.refuses(client)
		p.addresses(client)
		p.atOnce(client)
		p.websocket(client)
		p.away(client)
	})
}

// allows: the service is told who it is, and what the client says of that does not reach it.
func (p *proxied) allows(client *http.Client) {
	id, secret := p.make(`{"permissions":{"orders:read":true}}`)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		header := bearer(secret)
		for _, name := range []string{"X-Tokenwire-User", "X-Tokenwire-Username", "X-Tokenwire-Token", "X-Tokenwire-Permissions", "x-tokenwire-user", "X_Tokenwire_User", "X-Tokenwire-Require"} {
			header[name] = []string{"spoofed", "again"}
		}
		header.Set("X-Forwarded-For", "192.0.2.7")
		response, body := p.ask(client, method, orders, "a body", header)
		r, _ := p.last()
		if response.StatusCode != 200 || method != "HEAD" && body != "an order" || r == nil || r.Method != method || r.RequestURI != "/orders/7?x=1" || r.Header.Get("X-Body") != "a body" {
			p.t.Fatalf("%s: %s %s, the service saw %v", method, response.Status, body, r)
		}
		h := r.Header
		if h.Get("X-Tokenwire-Token") != id || h.Get("X-Tokenwire-Username") != "admin" || h.Get("X-Tokenwire-User") == "" || h.Get("X-Tokenwire-Permissions") != "orders:read" {
			p.t.Errorf("%s: the service is told %v", method, h)
		}
		if h.Get("X-Forwarded-For") != "127.0.0.3" || h.Get("Authorization") != "" {
			p.t.Errorf("%s: the service is told %v", method, h)
		}
		delete(h, "X-Tokenwire-Require") // which the service does not look at
		if all := fmt.Sprint(h); strings.Contains(all, "spoofed") || strings.Contains(all, "again") || strings.Contains(all, secret) {
			p.t.Errorf("%s: the client's word reaches the service: %v", method, h)
		}
	}
	for path, status := range map[string]int{"forbidden": 403, "broken": 500} {
		if response, body := p.ask(client, "GET", "https://api.example.org/orders/"+path, "", bearer(secret)); response.StatusCode != status || body != "the service's own\n" {
			p.t.Errorf("%s: %s %s", path, response.Status, body)
		}
	}
	if response, _ := p.ask(client, "GET", "https://api.example.org/tokenwire-verify", "", bearer(secret)); response.StatusCode != 404 {
		p.t.Error("anybody may ask nginx's question:", response.Status)
	}
}

// refuses: each reason has its status, and the service hears nothing.
func (p *proxied) refuses(client *http.Client) {
	_, without := p.make(`{}`)
	off, disabled := p.make(`{"permissions":{"orders:read":true}}`)
	p.Call(p.session, "/v1/api-tokens/set-enabled", nil, off, false)
	_, limited := p.make(`{"permissions":{"orders:read":true},"rateLimit":{"requests":1,"window":7200}}`)
	if response, body := p.ask(client, "GET", orders, "", bearer(limited)); response.StatusCode != 200 {
		p.t.Fatal(response.Status, body)
	}
	_, before := p.last()
	for name, c := range map[string]struct {
		header     http.Header
		status     int
		challenge  string
		retryAfter bool
	}{
		"no token":             {http.Header{}, 401, `Bearer realm="tokenwire"`, false},
		"a bad token":          {bearer("twt_x"), 401, `Bearer realm="tokenwire", error="invalid_token"`, false},
		"a disabled token":     {bearer(disabled), 401, `Bearer realm="tokenwire", error="invalid_token"`, false},
		"a session":            {bearer(p.session), 401, `Bearer realm="tokenwire", error="invalid_token"`, false},
		"Basic":                {http.Header{"Authorization": {basic("x", without)}}, 401, `Bearer realm="tokenwire"`, false},
		"a missing permission": {bearer(without), 403, `Bearer realm="tokenwire", error="insufficient_scope", scope="orders:read"`, false},
		"a rate limit":         {bearer(limited), 429, "", true},
		"a header too large":   {http.Header{"Authorization": {"Bearer " + strings.Repeat("x", 20<<10)}}, 400, "", false},
	} {
		response, body := p.ask(client, "POST", orders, "a body", c.header)
		h := response.Header
		if response.StatusCode != c.status || strings.Join(h.Values("WWW-Authenticate"), "|") != c.challenge || (h.Get("Retry-After") != "") != c.retryAfter {
			p.t.Errorf("%s: %s %v %s", name, response.Status, h, body)
		}
	}
	if response, _ := p.ask(client, "GET", orders, "", http.Header{"Authorization": {"Bearer " + limited, "Bearer " + limited}}); response.StatusCode < 400 {
		p.t.Error("two tokens:", response.Status)
	}
	if r, after := p.last(); after != before {
		p.t.Error("the service heard of", r)
	}
}

// addresses: it is nginx's client that must come from an allowed address, whatever he says.
func (p *proxied) addresses(client *http.Client) {
	_, here := p.make(`{"permissions":{"orders:read":true},"allowedIps":["127.0.0.3"]}`)
	_, elsewhere := p.make(`{"permissions":{"orders:read":true},"allowedIps":["192.0.2.7","127.0.0.1"]}`)
	for _, forwarded := range [][]string{nil, {"192.0.2.7"}, {"127.0.0.3"}, {"127.0.0.1", "192.0.2.7"}, {"x"}} {
		header := bearer(here)
		header["X-Forwarded-For"] = forwarded
		if response, _ := p.ask(client, "GET", orders, "", header); response.StatusCode != 200 {
			p.t.Errorf("%q: %s", forwarded, response.Status)
		}
		if response, _ := p.ask(p.client("127.0.0.4"), "GET", orders, "", header); response.StatusCode != 403 {
			p.t.Errorf("%q, from elsewhere: %s", forwarded, response.Status)
		}
		header.Set("Authorization", "Bearer "+elsewhere)
		if response, _ := p.ask(client, "GET", orders, "", header); response.StatusCode != 403 {
			p.t.Errorf("%q, and not allowed: %s", forwarded, response.Status)
		}
	}
}

// atOnce: when a change was answered, nginx lets nobody through by what was before.
func (p *proxied) atOnce(client *http.Client) {
	id, secret := p.make(`{"permissions":{"orders:read":true}}`)
	for try := range 200 {
		on := try%2 == 1
		p.Call(p.session, "/v1/api-tokens/set-enabled", nil, id, on)
		if response, _ := p.ask(client, "GET", orders, "", bearer(secret)); (response.StatusCode == 200) != on || !on && response.StatusCode != 401 {
			p.t.Fatalf("try %d: switched to %v, and %s", try, on, response.Status)
		}
	}
}

// websocket: Tokenwire's own page signs in and connects through nginx, from an origin that is allowed, and by its address.
func (p *proxied) websocket(client *http.Client) {
	const tokens, origin = "https://tokens.example.org", "https://tokens.example.org"
	header := http.Header{"Origin": {origin}, "X-Forwarded-For": {"192.0.2.7"}}
	response, body := p.ask(client, "POST", tokens+"/api/v1/session/sign-in", fmt.Sprintf(`["admin",%q]`, servertest.Password), header)
	if response.StatusCode != 200 || len(response.Cookies()) != 1 || response.Cookies()[0].Name != "__Host-tokenwire" {
		p.t.Fatal(response.Status, body, response.Header)
	}
	cookie := response.Cookies()[0]
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	header.Set("Cookie", cookie.Name+"="+cookie.Value)
	ws, _, err := websocket.Dial(ctx, tokens+"/api", &websocket.DialOptions{HTTPClient: client, HTTPHeader: header, Subprotocols: []string{"tokenwire.v1"}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer ws.CloseNow()
	c := &conn{p.t, ws}
	c.next() // ready
	c.send(`{"jsonrpc":"2.0","id":1,"method":"/v1/sessions/read"}`)
	if sessions := c.next(); !strings.Contains(sessions, `"address":"127.0.0.3"`) || strings.Contains(sessions, "192.0.2.7") {
		p.t.Error("the session is not the client's:", sessions)
	}
	c.send(`{"jsonrpc":"2.0","id":2,"method":"/v1/api-tokens/create","params":["x"]}`)
	if reply, event := c.next(), c.next(); !strings.Contains(reply, `"id":2,"result":`) || !strings.Contains(event, `"/v1/api-tokens/created"`) {
		p.t.Error(reply, event)
	}
	header.Set("Origin", "https://evil.example")
	if ws, _, err := websocket.Dial(ctx, tokens+"/api", &websocket.DialOptions{HTTPClient: client, HTTPHeader: header}); err == nil {
		ws.CloseNow()
		p.t.Error("another page may use the cookie")
	}
	for path, status := range map[string]int{"/": 200, "/healthz": 200, "/metrics": 404} {
		if response, _ := p.ask(client, "GET", tokens+path, "", nil); response.StatusCode != status {
			p.t.Errorf("%s: %s", path, response.Status)
		}
	}
}

// away: while Tokenwire is not there nobody is let through, and afterwards all is as before.
func (p *proxied) away(client *http.Client) {
	_, secret := p.make(`{"permissions":{"orders:read":true}}`)
	ask := func() int {
		response, _ := p.ask(client, "GET", orders, "", bearer(secret))
		return response.StatusCode
	}
	if status := ask(); status != 200 {
		p.t.Fatal(status)
	}
	p.Stop()
	_, before := p.last()
	for range 3 {
		if status := ask(); status != 503 {
			p.t.Error("without Tokenwire:", status)
		}
	}
	if r, after := p.last(); after != before {
		p.t.Error("the service heard of", r)
	}
	p.Start()
	if status := ask(); status != 200 {
		p.t.Error("again with Tokenwire:", status)
	}
}
