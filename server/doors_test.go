package server_test

import (
	"compress/gzip"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// ask sends a request with headers and returns the response with its body read.
func (i *instance) ask(method, path, body string, header http.Header) (*http.Response, string) {
	i.t.Helper()
	r, err := http.NewRequest(method, i.url+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols { // its body is the connection
		return response, ""
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return response, string(answer)
}

func bearer(credential string) http.Header {
	return http.Header{"Authorization": {"Bearer " + credential}}
}

// outcome is an answer without its envelope.
type outcome struct {
	Result jsontext.Value `json:"result,omitzero"`
	Error  jsontext.Value `json:"error,omitzero"`
}

// TestDoorsAlike calls each method through the three doors: the same params, the same answer, byte for byte.
func TestDoorsAlike(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		c := i.dial(i.session, "")
		c.next() // ready
		for _, call := range []struct {
			method, params string // params "" for none
			status         int
		}{
			{"/v1/session/read", ``, 200}, {"/v1/session/read", `[]`, 200}, {"/v1/session/read", `{}`, 200}, {"/v1/session/read", `{"x":1}`, 400},
			{"/v1/permissions/read", ``, 200}, {"/v1/api-tokens/read", `[{"limit":1}]`, 200}, {"/v1/api-tokens/read", `{"options":{"id":"x"}}`, 404},
			{"/v1/events/read", ` [ ] `, 200}, {"/v1/events/read", `[{"after":"1-AAAAAAAAAAAA"}]`, 410}, {"/v1/users/read", ``, 200}, {"rpc.discover", ``, 200},
			{"/v1/users/create", `["admin"]`, 409}, {"/v1/users/create", `["Admin"]`, 400}, {"/v1/users/delete", `["x"]`, 404}, {"/v1/users/get-permissions", `["x"]`, 404},
			{"/v1/users/set-enabled", `["x",true]`, 404}, {"/v1/users/set-password", `["x","password"]`, 404}, {"/v1/users/set-permissions", `["x",{}]`, 404}, {"/v1/users/update-permissions", `["x",{}]`, 404},
			{"/v1/api-tokens/create", `[""]`, 400}, {"/v1/api-tokens/delete", `["x"]`, 404}, {"/v1/api-tokens/get-permissions", `["x"]`, 404}, {"/v1/api-tokens/set-enabled", `["x",true]`, 404},
			{"/v1/api-tokens/set-permissions", `["x",{}]`, 404}, {"/v1/api-tokens/update-permissions", `{"tokenId":"x","permissions":{}}`, 404}, {"/v1/permissions/create", `["admin"]`, 409},
			{"/v1/permissions/delete", `["admin"]`, 409}, {"/v1/sessions/delete", `["x"]`, 404}, {"/v1/sessions/read", `[{"userId":"x"}]`, 200}, {"/v1/session/set-password", `["x"]`, 400},
			{"/v1/session/set-password", `["wrong","another password"]`, 403}, {"/v1/session/sign-in", `["admin"]`, 0}, {"/v1/nosuch", `[]`, 404}, {"/v1/api-tokens/read", `{"options":{},"options":{}}`, 400},
		} {
			envelope := `{"jsonrpc":"2.0","id":1,"method":"` + call.method + `"`
			if call.params != "" {
				envelope += `,"params":` + call.params
			}
			envelope += "}"
			c.send(envelope)
			var first, second outcome
			if err := json.Unmarshal([]byte(c.next()), &first); err != nil {
				t.Fatal(err)
			}
			status, answer := i.post("/api", i.session, envelope)
			if err := json.Unmarshal([]byte(answer), &second); err != nil || status != 200 {
				t.Fatal(status, answer, err)
			}
			if call.status == 0 { // sign-in alone is for the doors that can set a cookie
				continue
			}
			status, answer = i.post("/api/"+strings.TrimPrefix(call.method, "/"), i.session, call.params)
			if call.method == "rpc.discover" {
				status, answer = 200, string(first.Result) // it has no path of its own: /openrpc.json is that
			}
			want := string(first.Result)
			if first.Error != nil {
				want = `{"error":` + string(first.Error) + "}"
			}
			if status != call.status || answer != want {
				t.Errorf("%s %s: the third door says %d %s, the connection %s", call.method, call.params, status, answer, want)
			}
			if string(second.Result) != string(first.Result) || string(second.Error) != string(first.Error) {
				t.Errorf("%s %s: POST /api says %+v, the connection %+v", call.method, call.params, second, first)
			}
		}
	})
}

// TestStatuses has the third door answer with every status.
func TestStatuses(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	for _, c := range []struct {
		path, credential, body string
		status                 int
		code                   string
	}{
		{"/api/v1/api-tokens/create", i.session, `[1]`, 400, `-32602`},
		{"/api/v1/api-tokens/create", i.session, `{"name":`, 400, `-32700`},
		{"/api/v1/api-tokens/create", i.session, `["x"]]`, 400, `-32700`},
		{"/api/v1/api-tokens/create", i.session, "[\"\xff\"]", 400, `-32700`},
		{"/api/v1/api-tokens/create", i.session, `"x"`, 400, `-32602`},
		{"/api/v1/nosuch", i.session, ``, 404, `-32601`},
		{"/api/", i.session, ``, 404, `-32601`},
		{"/api/v1/session/read", "", ``, 401, `401`},
		{"/api/v1/session/read", "twt_bad", ``, 401, `401`},
		{"/api/v1/session/set-password", i.session, `["wrong","another password"]`, 403, `403`},
		{"/api/v1/api-tokens/delete", i.session, `["x"]`, 404, `404`},
		{"/api/v1/users/create", i.session, `["admin"]`, 409, `409`},
		{"/api/v1/events/read", i.session, `[{"after":"1-AAAAAAAAAAAA"}]`, 410, `410`},
		{"/api/v1/api-tokens/create", i.session, strings.Repeat(" ", 64<<10+1), 413, `413`},
		{"/api", i.session, strings.Repeat(" ", 64<<10+1), 413, `413`},
		{"/api", i.session, `{"jsonrpc":"2.0","method":"/v1/session/read","id":1}` + strings.Repeat(" ", 64<<10-53), 200, ``},
		{"/api/v1/api-tokens/read", i.session, `[]` + strings.Repeat(" ", 64<<10-2), 200, ``},
	} {
		header := http.Header{}
		if c.credential != "" {
			header = bearer(c.credential)
		}
		response, body := i.ask("POST", c.path, c.body, header)
		if response.StatusCode != c.status || c.code != "" && !strings.Contains(body, `"error":{"code":`+c.code+`,"message":"`) {
			t.Errorf("%s %.40q: got %d %s, want %d", c.path, c.body, response.StatusCode, body, c.status)
		}
		if challenge := response.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) || challenge != "" && !strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("%s %.40q: %d with WWW-Authenticate %q", c.path, c.body, c.status, challenge)
		}
		if kind := response.Header.Get("Content-Type"); kind != "application/json" || response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %s", c.path, kind, response.Header.Get("Cache-Control"))
		}
	}
}

// TestTooMany fails to sign in until it is told to wait, in data and in HTTP's words. Good sign-ins do not count.
func TestTooMany(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	for range 8 { // more than the failures that are let through
		i.signIn("admin", adminPassword)
	}
	for n := 1; ; n++ {
		response, body := i.ask("POST", "/api/v1/session/sign-in", `["somebody","wrong"]`, nil)
		if response.StatusCode == 401 && n < 20 {
			continue
		}
		var answer struct {
			Error struct {
				Code int
				Data struct{ RetryAfterMs int64 }
			}
		}
		if err := json.Unmarshal([]byte(body), &answer, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		wait := answer.Error.Data.RetryAfterMs
		if response.StatusCode != 429 || answer.Error.Code != 429 || wait < 1 {
			t.Fatalf("after %d: %d %s", n, response.StatusCode, body)
		}
		if after := response.Header.Get("Retry-After"); after != strconv.FormatInt((wait+999)/1000, 10) {
			t.Errorf("Retry-After is %q for %d ms", after, wait)
		}
		break
	}
	if _, body := i.ask("POST", "/api", `{"jsonrpc":"2.0","id":1,"method":"/v1/session/sign-in","params":["somebody","wrong"]}`, nil); !strings.Contains(body, `"code":429,`) {
		t.Error(body)
	}
	i.signIn("admin", adminPassword) // another account of the same source
}

// TestInternal breaks the database under the server: nobody outside learns how.
func TestInternal(t *testing.T) {
	url := modelstest.SQLite(t)
	i := start(t, url)
	c := i.dial(i.session, "")
	c.next()
	db, err := sql.Open("sqlite", strings.TrimPrefix(url, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000; ALTER TABLE permissions RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	check := func(where, body string) {
		var answer struct {
			Error struct {
				Code int64 `json:"code"`
				Data struct {
					RequestID string `json:"requestId"`
				} `json:"data"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Error.Code != -32603 || answer.Error.Data.RequestID == "" {
			t.Errorf("%s: %s", where, body)
		}
		for _, secret := range []string{"SELECT", "permissions", "no such table", "sqlite", filepath.Dir(url), ".go"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s tells %q: %s", where, secret, body)
			}
		}
	}
	response, body := i.ask("POST", "/api/v1/permissions/read", "", bearer(i.session))
	if response.StatusCode != 500 {
		t.Error(response.Status)
	}
	check("the third door", body)
	c.send(`{"jsonrpc":"2.0","id":1,"method":"/v1/permissions/read"}`)
	check("the connection", c.next())
	i.store.Close() // and now it is away altogether
	for _, path := range []string{"/api/v1/permissions/read", "/api"} {
		if response, body := i.ask("POST", path, `[]`, bearer(i.session)); response.StatusCode != 503 || !strings.Contains(body, `"code":503,`) || response.Header.Get("Retry-After") == "" {
			t.Errorf("%s without a database: %s %s", path, response.Status, body)
		}
	}
	if response, body := i.handshake("", bearer(i.session)); response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("upgrade without a database: %s %s", response.Status, body)
	}
	if response, _ := i.ask("GET", "/healthz", "", nil); response.StatusCode != 200 {
		t.Error("the process lives, whatever its database does")
	}
	if response, _ := i.ask("GET", "/readyz", "", nil); response.StatusCode != 503 {
		t.Error("ready without a database")
	}
}

// TestFrames breaks the rules of frames: each has its close code.
func TestFrames(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	large := `{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}`
	for _, frame := range []struct {
		kind websocket.MessageType
		body string
		code websocket.StatusCode // 0: it is answered
	}{
		{websocket.MessageText, large + strings.Repeat(" ", 64<<10-len(large)), 0},
		{websocket.MessageText, large + strings.Repeat(" ", 64<<10-len(large)+1), 1009},
		{websocket.MessageText, "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"/v1/session/read\"}", 1007},
		{websocket.MessageText, "{\"jsonrpc\":\"2.0\",\"id\":\"\xed\xa0\x80\",\"method\":\"/v1/session/read\"}", 1007}, // a surrogate
		{websocket.MessageBinary, large, 1003},
	} {
		c := i.dial(i.session, "")
		c.next()
		if err := c.ws.Write(t.Context(), frame.kind, []byte(frame.body)); err != nil {
			t.Fatal(err)
		}
		if frame.code == 0 {
			if answer := c.next(); !strings.Contains(answer, `"result":`) {
				t.Error(answer)
			}
		} else if code := c.closed(); code != frame.code {
			t.Errorf("%v of %d bytes, %.60q: closed with %d, want %d", frame.kind, len(frame.body), frame.body, code, frame.code)
		}
	}
}

// TestPages reads what is there for everybody.
func TestPages(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	page := func(path, kind string) (body string) {
		t.Helper()
		response, body := i.ask("GET", path, "", nil)
		if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: %s, %s", path, response.Status, got)
		}
		if tag := response.Header.Get("ETag"); tag != "" {
			for _, condition := range []string{tag, `"other", ` + tag, strings.TrimPrefix(tag, "W/")} {
				if again, body := i.ask("GET", path, "", http.Header{"If-None-Match": {condition}}); again.StatusCode != 304 || body != "" {
					t.Errorf("%s, If-None-Match %s: %s", path, condition, again.Status)
				}
			}
			if changed, _ := i.ask("GET", path, "", http.Header{"If-None-Match": {`"other"`}}); changed.StatusCode != 200 {
				t.Errorf("%s, another version: %s", path, changed.Status)
			}
		} else if strings.HasSuffix(path, ".js") {
			t.Errorf("%s has no ETag", path)
		}
		return body
	}
	if body := page("/", "text/html"); !strings.Contains(strings.ToLower(body), "<!doctype html>") {
		t.Errorf("/ is %.60q", body)
	}
	for _, path := range []string{"/client.js", "/verifier.js", "/verifier-facts.js"} {
		if body := page(path, "text/javascript"); !strings.Contains(body, "export ") {
			t.Errorf("%s is no ES module", path)
		}
	}
	page("/client.d.ts", "text/plain")
	page("/verifier.d.ts", "text/plain")
	document := page("/openrpc.json", "application/json")
	if _, answer := i.post("/api", "", `{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`); answer != `{"jsonrpc":"2.0","id":1,"result":`+document+`}` {
		t.Error("rpc.discover is not /openrpc.json")
	}
	page("/healthz", "text/plain")
	page("/readyz", "text/plain")
	if body := page("/metrics", "text/plain"); !strings.Contains(body, "tokenwire_") || strings.Contains(body, i.session) {
		t.Error("/metrics has no metric of ours")
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/nosuch", 404}, {"DELETE", "/api", 405}, {"GET", "/api/v1/session/read", 405}, {"PUT", "/api/v1/session/read", 405}, {"POST", "/", 405}} {
		if response, _ := i.ask(c.method, c.path, "", nil); response.StatusCode != c.status {
			t.Errorf("%s %s: %s", c.method, c.path, response.Status)
		}
	}
	if response, _ := i.ask("GET", "/api", "", bearer(i.session)); response.StatusCode != http.StatusUpgradeRequired {
		t.Error("GET /api without an upgrade:", response.Status)
	}
}

// TestCompression reads the page as browsers ask for it, and as those that do not take gzip.
func TestCompression(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	_, plain := i.ask("GET", "/client.js", "", http.Header{"Accept-Encoding": {"identity"}})
	response, packed := i.ask("GET", "/client.js", "", http.Header{"Accept-Encoding": {"gzip, br"}})
	h := response.Header
	if h.Get("Content-Encoding") != "gzip" || !strings.Contains(h.Get("Vary"), "Accept-Encoding") || len(packed) > len(plain)/2 {
		t.Errorf("Content-Encoding %q, Vary %q, %d of %d bytes", h.Get("Content-Encoding"), h.Get("Vary"), len(packed), len(plain))
	}
	unpacked, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(unpacked); string(body) != plain || err != nil {
		t.Error("it unpacks to something else", err)
	}
	again, body := i.ask("GET", "/client.js", "", http.Header{"Accept-Encoding": {"gzip"}, "If-None-Match": {h.Get("ETag")}})
	if again.StatusCode != 304 || body != "" {
		t.Error(again.Status)
	}
	if refused, body := i.ask("GET", "/client.js", "", http.Header{"Accept-Encoding": {"gzip;q=0"}}); refused.Header.Get("Content-Encoding") != "" || body != plain {
		t.Error("compressed, though that was refused")
	}
}

// handshake asks for an upgrade and returns the answer; the connection is dropped.
func (i *instance) handshake(query string, header http.Header) (*http.Response, string) {
	i.t.Helper()
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for name, values := range header {
		h[name] = values
	}
	return i.ask("GET", "/api"+query, "", h)
}

// token makes a token of the administrator that is good for d, or for ever.
func (i *instance) token(name string, d time.Duration) (id, secret string) {
	i.t.Helper()
	options := ""
	if d != 0 {
		options = fmt.Sprintf(`,{"expiresAt":%q}`, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
	}
	status, answer := i.post("/api/v1/api-tokens/create", i.session, fmt.Sprintf(`[%q%s]`, name, options))
	var made struct {
		ID    string `json:"id"`
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 200 {
		i.t.Fatal(status, answer, err)
	}
	return made.ID, made.Token
}
