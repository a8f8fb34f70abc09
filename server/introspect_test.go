package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

const formType = "application/x-www-form-urlencoded"

// introspect sends a body of a form with a credential.
func (i *instance) introspect(authorization, body string) (*http.Response, string) {
	i.t.Helper()
	header := http.Header{"Content-Type": {formType}}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	response, answer := i.ask("POST", "/oauth2/introspect", body, header)
	if h := response.Header; h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
		i.t.Errorf("%s: %v", body, h)
	}
	return response, answer
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// TestIntrospect asks about good tokens and about every kind of bad one (RFC 7662, section 2.2).
func TestIntrospect(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		c := &clock{}
		i := startWith(t, databaseURL, models.Options{Now: c.now}, nil)
		i.call("/v1/permissions/create", `["a:read"]`)
		caller, service := i.make(`{"permissions":{"tokens:verify":true}}`)
		id, plain := i.make(`{"permissions":{"tokens:manage":true,"a:read":true}}`)
		_, brief := i.make(`{"expiresAt":"2091-02-03T04:05:06.999Z"}`)
		as := "Bearer " + service
		_, answer := i.introspect(as, "token="+plain)
		var got map[string]any
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatal(answer, err)
		}
		_, who := i.post("/api/v1/session/read", i.session, "")
		user, _ := got["sub"].(string)
		delete(got, "sub")
		body, _ := json.Marshal(got, json.Deterministic(true))
		want := `{"active":true,"client_id":"` + id + `","jti":"` + id + `","scope":"a:read tokens:manage","token_type":"Bearer","username":"admin"}`
		if string(body) != want || !strings.Contains(who, `{"id":"`+user+`"`) {
			t.Errorf("got %s, want %s", answer, want)
		}
		if _, answer := i.introspect(as, "token="+brief); !strings.Contains(answer, `"exp":3821313906,`) || !strings.Contains(answer, `"scope":""`) {
			t.Error(answer)
		}
		for _, form := range []string{"token_type_hint=access_token&token=" + plain, "token=" + plain + "&token_type_hint=refresh_token", "x=y&token=" + url.QueryEscape(plain), "token=" + plain + "&ip=192.0.2.1", "token=" + plain + "&ip="} {
			if response, answer := i.introspect(as, form); response.StatusCode != 200 || !strings.HasPrefix(answer, `{"active":true,`) {
				t.Errorf("%s: %s %s", form, response.Status, answer)
			}
		}
		_, elsewhere := i.make(`{"allowedIps":["192.0.2.0/24"]}`)
		for form, active := range map[string]bool{"": false, "&ip=127.0.0.1": false, "&ip=192.0.2.9": true, "&ip=::ffff:192.0.2.9": true} {
			if _, answer := i.introspect(as, "token="+elsewhere+form); strings.HasPrefix(answer, `{"active":true,`) != active || !active && answer != `{"active":false}` {
				t.Errorf("%q: %s", form, answer)
			}
		}
		bad := i.badTokens(c)
		delete(bad, "empty")
		bad["not UTF-8"], bad["spaces"], bad["long"] = "%ff", "+", strings.Repeat("x", 60_000)
		for name, secret := range bad {
			if response, answer := i.introspect(as, "token="+secret); response.StatusCode != 200 || answer != `{"active":false}` {
				t.Errorf("%s: %s %s", name, response.Status, answer)
			}
		}
		if response, answer := i.introspect(basic(caller, service), "token="+plain); response.StatusCode != 200 || !strings.HasPrefix(answer, `{"active":true,`) {
			t.Error("Basic:", response.Status, answer)
		}
	})
}

// TestIntrospectCallers shows every kind of credential of a caller.
func TestIntrospectCallers(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		id, service := i.make(`{"permissions":{"tokens:verify":true}}`)
		_, without := i.make(`{"permissions":{"tokens:manage":true}}`)
		other, otherSecret := i.make(`{"permissions":{"tokens:verify":true}}`)
		_, elsewhere := i.make(`{"permissions":{"tokens:verify":true},"allowedIps":["192.0.2.7"]}`)
		off, disabled := i.make(`{"permissions":{"tokens:verify":true}}`)
		i.call("/v1/api-tokens/set-enabled", `["`+off+`",false]`)
		sessionID, _, _ := strings.Cut(strings.TrimPrefix(i.session, "tws_"), "_")
		escaped := strings.ReplaceAll(url.QueryEscape(service), "_", "%5F")
		for name, c := range map[string]struct {
			authorization string
			want          int
		}{
			"a token": {"Bearer " + service, 200}, "a session": {"Bearer " + i.session, 200}, "another case": {"bearer " + service, 200},
			"Basic": {basic(id, service), 200}, "Basic, encoded": {basic(fmt.Sprintf("%%%02X", id[0])+id[1:], escaped), 200}, "basic": {"basic" + basic(id, service)[5:], 200},
			"nothing": {"", 401}, "another scheme": {"Digest " + service, 401}, "no scheme": {service, 401}, "a bad token": {"Bearer twt_x", 401}, "a disabled one": {"Bearer " + disabled, 401}, "an empty one": {"Bearer", 401},
			"from elsewhere": {"Bearer " + elsewhere, 401}, "Basic, another id": {basic(other, service), 401}, "Basic, another token": {basic(id, otherSecret), 401}, "Basic, no id": {basic("", service), 401},
			"Basic, a prefix": {basic("twt_"+id, service), 401}, "Basic, no password": {basic(id, ""), 401}, "Basic, a session": {basic(sessionID, i.session), 401}, "Basic, a person": {basic("admin", adminPassword), 401},
			"Basic, half a colon": {"Basic " + base64.StdEncoding.EncodeToString([]byte(service)), 401}, "Basic, no base64": {"Basic !", 401}, "Basic, badly encoded": {basic("%zz", service), 401},
			"Basic, badly encoded token": {basic(id, service+"%"), 401},
			"without the permission":     {"Bearer " + without, 403},
		} {
			response, answer := i.introspect(c.authorization, "token="+without)
			challenges := strings.Join(response.Header.Values("WWW-Authenticate"), "\n")
			switch {
			case response.StatusCode != c.want:
				t.Errorf("%s: %s %s, want %d", name, response.Status, answer, c.want)
			case c.want == 401 && (!strings.HasPrefix(answer, `{"error":"invalid_client",`) || !strings.Contains(challenges, "Basic realm=") || !strings.Contains(challenges, "\nBearer realm=")):
				t.Errorf("%s: %s %q", name, answer, challenges)
			case c.want == 403 && (!strings.HasPrefix(answer, `{"error":"insufficient_scope",`) || !strings.Contains(challenges, `error="insufficient_scope", scope="tokens:verify"`)):
				t.Errorf("%s: %s %q", name, answer, challenges)
			case c.want == 200 && challenges != "":
				t.Errorf("%s: %q", name, challenges)
			}
		}
		cookie := i.cookieFor("")
		if response, answer := i.ask("POST", "/oauth2/introspect", "token="+without, http.Header{"Content-Type": {formType}, "Cookie": {cookie.Name + "=" + cookie.Value}}); response.StatusCode != 401 {
			t.Error("a cookie counts:", response.Status, answer)
		}
	})
}

// TestIntrospectRequests sends what is no question.
func TestIntrospectRequests(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	_, good := i.token("x", 0)
	for name, c := range map[string]struct {
		method, kind, query, body string
		want                      int
	}{
		"good": {"POST", formType, "", "token=" + good, 200}, "a charset": {"POST", formType + "; charset=UTF-8", "", "token=" + good, 200}, "another case": {"POST", "Application/X-WWW-Form-URLencoded", "", "token=" + good, 200},
		"nothing": {"POST", formType, "", "", 400}, "an empty token": {"POST", formType, "", "token=", 400}, "twice": {"POST", formType, "", "token=" + good + "&token=" + good, 400}, "an empty one first": {"POST", formType, "", "token=&token=" + good, 400},
		"a hint twice": {"POST", formType, "", "token=" + good + "&token_type_hint=a&token_type_hint=a", 400}, "in the URL": {"POST", formType, "?token=" + good, "", 400}, "also in the URL": {"POST", formType, "?token=twt_x", "token=" + good, 200},
		"JSON": {"POST", "application/json", "", `{"token":"` + good + `"}`, 400}, "no type": {"POST", "", "", "token=" + good, 400}, "multipart": {"POST", "multipart/form-data; boundary=x", "", "token=" + good, 400},
		"two types": {"POST", formType + ", application/json", "", "token=" + good, 400}, "badly encoded": {"POST", formType, "", "token=%zz", 400}, "a semicolon": {"POST", formType, "", "a;token=" + good, 400},
		"another address": {"POST", formType, "", "ip=x&token=" + good, 400}, "too long": {"POST", formType, "", "token=" + good + "&x=" + strings.Repeat("x", 64<<10), 413},
		"as long as can be": {"POST", formType, "", "token=" + good + "&x=" + strings.Repeat("x", 64<<10-9-len(good)), 200},
		"GET":               {"GET", "", "?token=" + good, "", 405}, "PUT": {"PUT", formType, "", "token=" + good, 405}, "OPTIONS": {"OPTIONS", "", "", "", 405},
	} {
		header := bearer(i.session)
		if c.kind != "" {
			header.Set("Content-Type", c.kind)
		}
		response, answer := i.ask(c.method, "/oauth2/introspect"+c.query, c.body, header)
		if response.StatusCode != c.want || c.want != 200 && !strings.HasPrefix(answer, `{"error":"invalid_request",`) || c.want == 200 && !strings.HasPrefix(answer, `{"active":true,`) {
			t.Errorf("%s: %s %s, want %d", name, response.Status, answer, c.want)
		}
		if allow := response.Header.Get("Allow"); (allow == "POST") != (c.want == 405) {
			t.Errorf("%s: Allow %q", name, allow)
		}
		if strings.Contains(answer, good) {
			t.Errorf("%s: the token comes back: %s", name, answer)
		}
	}
}

// TestIntrospectErrors: a rate limit and a database that is away are errors, and never say that a token is bad.
func TestIntrospectErrors(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		_, limited := i.make(`{"rateLimit":{"requests":1,"window":3600}}`)
		_, other := i.token("x", 0)
		as := "Bearer " + i.session
		if response, answer := i.introspect(as, "token="+limited); response.StatusCode != 200 {
			t.Error(response.Status, answer)
		}
		if response, answer := i.introspect(as, "token="+limited); response.StatusCode != 429 || response.Header.Get("Retry-After") != "3600" || strings.Contains(answer, "active") {
			t.Error(response.Status, answer, response.Header)
		}
		i.store.Close()
		response, answer := i.introspect(as, "token="+other)
		if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !strings.HasPrefix(answer, `{"error":"temporarily_unavailable",`) {
			t.Error(response.Status, answer, response.Header)
		}
	})
}

// TestIntrospectUnknown: where the caller is known and the token is not to be found out about, that is an error too.
func TestIntrospectUnknown(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		_, secret := i.token("x", 0)
		db := openDatabase(t, databaseURL)
		if _, err := db.Exec("ALTER TABLE api_tokens RENAME TO elsewhere"); err != nil {
			t.Fatal(err)
		}
		if response, answer := i.introspect("Bearer "+i.session, "token="+secret); response.StatusCode != 500 || !strings.HasPrefix(answer, `{"error":"server_error",`) {
			t.Error(response.Status, answer)
		}
		if response, answer := i.ask("GET", "/auth/verify", "", bearer(secret)); response.StatusCode != 500 {
			t.Error(response.Status, answer)
		}
		if _, err := db.Exec("ALTER TABLE elsewhere RENAME TO api_tokens"); err != nil {
			t.Fatal(err)
		}
		if response, answer := i.introspect("Bearer "+i.session, "token="+secret); response.StatusCode != 200 || !strings.HasPrefix(answer, `{"active":true,`) {
			t.Error(response.Status, answer)
		}
	})
}
