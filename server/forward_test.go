package server_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// make makes a token with options and returns its id and secret.
func (i *instance) make(options string) (id, secret string) {
	i.t.Helper()
	status, answer := i.post("/api/v1/api-tokens/create", i.session, `["made",`+options+`]`)
	var made struct{ ID, Token string }
	if err := json.Unmarshal([]byte(answer), &made, json.MatchCaseInsensitiveNames(true)); err != nil || status != 200 {
		i.t.Fatal(status, answer, err)
	}
	return made.ID, made.Token
}

// call calls a method as the administrator.
func (i *instance) call(method, params string) {
	i.t.Helper()
	if status, answer := i.post("/api"+method, i.session, params); status != 200 {
		i.t.Fatal(method, status, answer)
	}
}

// badTokens are of every kind of bad token one, and what is no token.
func (i *instance) badTokens(c *clock) map[string]string {
	i.t.Helper()
	bad := map[string]string{"empty": "", "made up": "twt_x", "a session": i.session}
	_, good := i.make(`{}`)
	bad["cut"], bad["longer"] = good[:len(good)-1], good+"0"
	id, secret := i.make(`{}`)
	bad["disabled"] = secret
	i.call("/v1/api-tokens/set-enabled", `["`+id+`",false]`)
	id, bad["deleted"] = i.make(`{}`)
	i.call("/v1/api-tokens/delete", `["`+id+`"]`)
	id, bad["replaced"] = i.make(`{}`)
	i.call("/v1/api-tokens/rotate", `["`+id+`"]`)
	_, bad["expired"] = i.make(fmt.Sprintf(`{"expiresAt":%q}`, c.now().Add(time.Minute).UTC().Format(time.RFC3339Nano)))
	_, answer := i.post("/api/v1/users/create", i.session, `["gone",{"password":"`+adminPassword+`"}]`)
	var user struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &user, json.MatchCaseInsensitiveNames(true)); err != nil {
		i.t.Fatal(answer, err)
	}
	theirs := *i
	theirs.session = i.signIn("gone", adminPassword)
	_, bad["of a disabled user"] = theirs.make(`{}`)
	i.call("/v1/users/set-enabled", `["`+user.ID+`",false]`)
	c.forward(2 * time.Minute)
	return bad
}

// TestForwardAuth asks as proxies do.
func TestForwardAuth(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		c := &clock{}
		i := startWith(t, url, models.Options{Now: c.now}, nil)
		i.call("/v1/permissions/create", `["a:read"]`)
		i.call("/v1/permissions/create", `["b/write"]`)
		id, good := i.make(`{"permissions":{"a:read":true,"b/write":true}}`)
		_, elsewhere := i.make(`{"allowedIps":["192.0.2.7"]}`)
		_, here := i.make(`{"allowedIps":["127.0.0.0/8"]}`)
		for _, c := range []forwarded{
			{"", good, 200, ""}, {"?", good, 200, ""}, {"?permission=a:read", good, 200, ""}, {"?permission=a%3Aread&permission=b%2Fwrite", good, 200, ""}, {"?permission=a:read&", good, 200, ""}, {"?permission=a:read&&permission=admin", good, 400, ""},
			{"?permission=a:read&permission=admin", good, 403, `error="insufficient_scope", scope="a:read admin"`}, {"?permission=nosuch", good, 403, `error="insufficient_scope", scope="nosuch"`},
			{"?permission=", good, 400, ""}, {"?permission", good, 400, ""}, {"?permissions=a:read", good, 400, ""}, {"?Permission=a:read", good, 400, ""}, {"?x=1&permission=a:read", good, 400, ""},
			{"?permission=a:read;permission=b", good, 403, `scope="a:read;permission=b"`}, {"?permission=%", good, 400, ""}, {"?permission=a%22", good, 400, ""}, {"?permission=a%0d%0aX:y", good, 400, ""}, {"?permission=a+b", good, 400, ""},
			{"", elsewhere, 403, ""}, {"?permission=a:read", elsewhere, 403, ""}, {"", here, 200, ""},
			// Below the path everything is the client's, but for the header, which must be there.
			{"/", good, 400, ""}, {"/?permission=a:read", good, 400, ""}, {"/orders", good, 400, ""},
			{"s", good, 404, ""},
		} {
			c.check(i, nil)
		}
		for _, c := range []struct {
			forwarded
			require []string
		}{
			{forwarded{"/x", good, 200, ""}, []string{"a:read"}}, {forwarded{"/x", good, 200, ""}, []string{"a:read , b/write"}}, {forwarded{"/x", good, 200, ""}, []string{"a:read", "b/write"}},
			{forwarded{"/x?permission=a:read", good, 403, `scope="admin"`}, []string{"admin"}}, {forwarded{"/x", good, 403, `scope="a:read admin"`}, []string{"a:read", "admin"}},
			{forwarded{"/", good, 200, ""}, []string{""}}, {forwarded{"/orders?permission=admin&x=%zz", good, 200, ""}, []string{","}}, {forwarded{"//x/../../y/.", good, 200, ""}, []string{"a:read,"}}, {forwarded{"/%2e%2e/%00", good, 200, ""}, []string{"a:read"}},
			{forwarded{"/", "twt_x", 401, `error="invalid_token"`}, []string{""}}, {forwarded{"/x", good, 400, ""}, []string{"a b"}}, {forwarded{"", good, 403, `scope="admin"`}, []string{"admin"}}, {forwarded{"?permission=a:read", good, 403, `scope="admin a:read"`}, []string{"admin"}},
		} {
			c.check(i, http.Header{"X-Tokenwire-Require": c.require})
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE"} {
			if response, _ := i.ask(method, "/auth/verify", "", bearer(good)); response.StatusCode != 200 || response.Header.Get("X-Tokenwire-Token") != id {
				t.Errorf("%s: %s %v", method, response.Status, response.Header)
			}
		}
		for name, secret := range i.badTokens(c) {
			t.Log(name)
			forwarded{"", secret, 401, `error="invalid_token"`}.check(i, nil)
		}
	})
}

// forwarded is a question about a token, and the answer that it must get.
type forwarded struct {
	below     string // the path after the door's, and the query
	token     string
	status    int
	challenge string // what WWW-Authenticate must have
}

func (f forwarded) check(i *instance, header http.Header) {
	i.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "Bearer "+f.token)
	response, body := i.ask("GET", "/auth/verify"+f.below, "", header)
	h := response.Header
	challenge := h.Get("WWW-Authenticate")
	if response.StatusCode != f.status || (challenge != "") != (f.status == 401 || f.challenge != "") || !strings.Contains(challenge, f.challenge) {
		i.t.Errorf("%q with %.20q: %s %s, %v, want %d", f.below, f.token, response.Status, body, h, f.status)
	}
	if f.status != 404 && h.Get("Cache-Control") != "no-store" {
		i.t.Errorf("%q: may be kept: %v", f.below, h)
	}
	if response.StatusCode != 200 && (h.Get("X-Tokenwire-User") != "" || h.Get("X-Tokenwire-Token") != "") {
		i.t.Errorf("%q: refused, and told who it is: %v", f.below, h)
	}
	if f.token != "" && strings.Contains(fmt.Sprint(h)+body, f.token) {
		i.t.Errorf("%q: the token comes back", f.below)
	}
}

// TestForwardAuthTells: who it is, in headers that are always there.
func TestForwardAuthTells(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	i.call("/v1/permissions/create", `["a:read"]`)
	for permissions, want := range map[string]string{`{}`: "", `{"tokens:verify":true,"a:read":true}`: "a:read,tokens:verify"} {
		id, secret := i.make(`{"permissions":` + permissions + `}`)
		_, who := i.post("/api/v1/session/read", i.session, "")
		response, body := i.ask("GET", "/auth/verify", "", bearer(secret))
		h := response.Header
		if h.Get("X-Tokenwire-Token") != id || h.Get("X-Tokenwire-Username") != "admin" || !strings.Contains(who, `"`+h.Get("X-Tokenwire-User")+`"`) || body != "" {
			t.Error(h, body)
		}
		if got := h["X-Tokenwire-Permissions"]; len(got) != 1 || got[0] != want {
			t.Errorf("permissions %q, want %q", got, want)
		}
	}
	// More than a proxy would take: they are left out, and all else is as usual.
	var grants []string
	for n := range 40 {
		id := strings.Repeat("x", 60) + strconv.Itoa(n)
		i.call("/v1/permissions/create", `["`+id+`"]`)
		grants = append(grants, `"`+id+`":true`)
	}
	_, secret := i.make(`{"permissions":{` + strings.Join(grants, ",") + `}}`)
	response, _ := i.ask("GET", "/auth/verify?permission="+strings.Repeat("x", 60)+"7", "", bearer(secret))
	if got := response.Header["X-Tokenwire-Permissions"]; response.StatusCode != 200 || len(got) != 1 || got[0] != "" {
		t.Error(response.Status, response.Header)
	}
}

// TestForwardAuthWithout: who shows no bearer is told to show one, and no more (RFC 6750, section 3.1).
func TestForwardAuthWithout(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	_, good := i.token("x", 0)
	cookie := i.cookieFor("")
	for name, header := range map[string]http.Header{
		"nothing": {}, "a cookie": {"Cookie": {cookie.Name + "=" + cookie.Value}}, "Basic": {"Authorization": {"Basic " + good}}, "no scheme": {"Authorization": {good}}, "empty": {"Authorization": {""}},
		"a sub-protocol": {"Sec-Websocket-Protocol": {"bearer." + good}},
	} {
		response, _ := i.ask("GET", "/auth/verify", "", header)
		if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != 401 || !strings.HasPrefix(got, "Bearer ") || strings.Contains(got, "error") {
			t.Errorf("%s: %s %q", name, response.Status, got)
		}
	}
	for name, header := range map[string]http.Header{
		"twice": {"Authorization": {"Bearer " + good, "Bearer " + good}}, "another one behind": {"Authorization": {"Bearer " + good, "Bearer twt_x"}}, "a list": {"Authorization": {"Bearer " + good + ", Bearer twt_x"}},
	} {
		response, _ := i.ask("GET", "/auth/verify", "", header)
		if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != 401 || !strings.Contains(got, `error="invalid_token"`) {
			t.Errorf("%s: %s %q", name, response.Status, got)
		}
	}
	if response, _ := i.ask("GET", "/auth/verify", "", http.Header{"Authorization": {"bEARER  " + good}}); response.StatusCode != 200 {
		t.Error("another case:", response.Status)
	}
}

// TestForwardAuthLimited: over its rate limit a token is not let through, and not told that it is bad.
func TestForwardAuthLimited(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		_, secret := i.make(`{"rateLimit":{"requests":2,"window":7200}}`)
		for n := range 4 {
			response, body := i.ask("GET", "/auth/verify?permission=admin", "", bearer(secret))
			want := 403
			if n >= 2 {
				want = 429
			}
			seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			if response.StatusCode != want || want == 429 && (seconds < 3000 || seconds > 3600 || response.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%d: %s %s %v", n, response.Status, body, response.Header)
			}
		}
	})
}

// TestForwardAuthUnknown: where nobody can tell, the answer is neither yes nor no.
func TestForwardAuthUnknown(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		_, secret := i.token("x", 0)
		i.store.Close()
		response, body := i.ask("GET", "/auth/verify", "", bearer(secret))
		if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || response.Header.Get("WWW-Authenticate") != "" {
			t.Error(response.Status, body, response.Header)
		}
		if response, _ := i.ask("GET", "/auth/verify", "", bearer("twt_x")); response.StatusCode != 401 {
			t.Error("what is no token is bad without a look:", response.Status)
		}
	})
}

// TestForwardAuthAtOnce: what was answered from memory a moment ago is not answered any more once a change was.
func TestForwardAuthAtOnce(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		id, secret := i.token("x", 0)
		for n := range 60 {
			on := n%2 == 1
			i.call("/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,%v]", id, on))
			if response, _ := i.ask("GET", "/auth/verify", "", bearer(secret)); (response.StatusCode == 200) != on {
				t.Fatalf("try %d, enabled %v: %s", n, on, response.Status)
			}
		}
	})
}
