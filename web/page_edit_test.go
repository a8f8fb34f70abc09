package web_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// bounds are what a token has beside its permissions.
type bounds struct {
	Name       string
	ExpiresAt  *string
	AllowedIPs []string `json:"allowedIps"`
	RateLimit  *struct{ Requests, Window int }
}

// bounds are those of a token, as the server has them.
func (s *served) bounds(id string) (is bounds) {
	s.t.Helper()
	var answer struct{ Tokens []bounds }
	s.call("/v1/api-tokens/read", &answer, map[string]any{"id": id})
	return answer.Tokens[0]
}

// details opens the dialog about a token.
func (s *served) details(name string) place {
	s.t.Helper()
	s.click("button", "Details of "+name)
	return s.in("dialog", "“"+name+"”")
}

// good tells whether a secret still lets one in.
func (s *served) good(secret string) bool {
	s.t.Helper()
	status, _, err := s.program.Post(s.t.Context(), secret, "/v1/session/read", "[]")
	if err != nil {
		s.t.Fatal(err)
	}
	return status == http.StatusOK
}

// A person changes a token's name, end, addresses and rate limit; what the server refuses is said at the field.
func TestEditToken(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		about := s.details("ci")
		about.seeText("Without an end, from anywhere")
		about.click("button", "Edit")
		dialog := s.in("dialog", "Edit “ci”")
		dialog.fill("textbox", "Name", "deploy")
		dialog.fill("textbox", "Good from", "192.0.2.7/24, 2001:DB8::/32")
		dialog.fill("spinbutton", "Requests at most", "100")
		dialog.click("button", "Save")
		s.seeFocus("spinbutton", "In so many seconds") // one without the other says nothing
		s.typeText("60")
		dialog.click("button", "Save")
		dialog.seeText("192.0.2.7/24 has bits behind its prefix; write 192.0.2.0/24, or the address alone.")
		dialog.seeState("textbox", "Good from", "invalid")
		s.seeFocus("textbox", "Good from")
		s.accessible()
		if is := s.bounds(made.ID); is.Name != "ci" {
			t.Errorf("refused, and yet the server has %+v", is)
		}
		dialog.fill("textbox", "Good from", "192.0.2.0/24, 2001:DB8::/32")
		dialog.choose("Expires", "In 7 days")
		dialog.click("button", "Save")
		s.seeNo("dialog", "Edit “ci”")
		s.seeText("Saved: renamed from")
		about = s.in("dialog", "“deploy”")
		about.seeText("from 192.0.2.0/24, 2001:db8::/32")
		about.seeText("100 requests in 60 s")
		about.seeState("button", "Edit", "focused")
		is := s.bounds(made.ID)
		if end, err := time.Parse(time.RFC3339, *is.ExpiresAt); err != nil || time.Until(end) < 6*24*time.Hour || time.Until(end) > 8*24*time.Hour {
			t.Errorf("it ends at %v, %v", end, err)
		}
		if is.Name != "deploy" || len(is.AllowedIPs) != 2 || is.RateLimit == nil || is.RateLimit.Requests != 100 || is.RateLimit.Window != 60 {
			t.Errorf("the server has %+v", is)
		}

		about.click("button", "Edit") // which takes all of it away again, and leaves alone what is not touched
		dialog = s.in("dialog", "Edit “deploy”")
		dialog.fill("textbox", "Good from", "")
		dialog.fill("spinbutton", "Requests at most", "")
		dialog.fill("spinbutton", "In so many seconds", "")
		dialog.click("button", "Save")
		s.seeNo("dialog", "Edit “deploy”")
		if now := s.bounds(made.ID); now.AllowedIPs != nil || now.RateLimit != nil || *now.ExpiresAt != *is.ExpiresAt {
			t.Errorf("the server has %+v", now)
		}
		about.click("button", "Done")
		s.in("listitem", "deploy").seeText("expires")
	})
}

// How a token was used, allowed and denied: also that it is tried in vain when it is off.
func TestUsage(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		about := s.details("ci")
		about.seeText("Never used. In the last 7 days 0 times allowed, 0 denied.")
		about.click("button", "Done")
		for range 3 {
			s.good(made.Token)
		}
		about = s.details("ci")
		about.seeText("Last used")
		about.seeText("In the last 7 days 3 times allowed, 0 denied.")
		about.seeText("Allowed by the hour")
		about.seeNoText("denied since")
		s.call("/v1/api-tokens/set-enabled", nil, made.ID, false)
		about.seeText("State Off")
		for range 2 {
			s.good(made.Token)
		}
		about.click("button", "Done")
		about = s.details("ci")
		about.seeText("In the last 7 days 3 times allowed, 2 denied.")
		about.seeText("It is off: 2 denied since")
		about.seeText("Denied by the hour")
		s.accessible()
		var table []string
		s.js(&table, `[...document.querySelectorAll(".denied td")].map((cell) => cell.textContent)`)
		if len(table) != 1 || table[0] != "2" {
			t.Errorf("the table says %v", table)
		}
	})
}

// A token whose end comes while one looks at it is no more said to be on.
func TestExpiresInSight(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.call("/v1/api-tokens/create", nil, "short", map[string]any{"expiresAt": time.Now().Add(4 * time.Second).UTC().Format(time.RFC3339Nano)})
		about := s.details("short")
		about.seeText("State On")
		about.seeText("State Expired")
	})
}

// A token that somebody reported as leaked says so, and where it was found, as a text.
func TestLeaked(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		s.program.Call("", "/v1/leaks/report", nil, made.Token, map[string]any{"url": "https://git.example/" + strings.Repeat("long/", 100)})
		s.seeText("“ci” was reported as leaked.")
		row := s.in("listitem", "ci")
		row.seeState("switch", "ci: enabled", "unchecked")
		row.seeText("Reported as leaked, at https://git.example/long/")
		row.seeNo("link", "")
		s.viewport(320, 640)
		s.fits()
		s.viewport(1280, 800)
		s.accessible()
		s.reload()
		row.seeText("Reported as leaked, at https://git.example/long/")
		row.click("switch", "ci: enabled")
		dialog := s.in("dialog", "Switch the leaked “ci” on?")
		dialog.seeText("found at https://git.example/long/")
		s.accessible()
		s.viewport(320, 640)
		s.fits()
		s.viewport(1280, 800)
		dialog.click("button", "Cancel")
		row.seeState("switch", "ci: enabled", "unchecked")
		row.click("checkbox", "Select ci")
		s.click("button", "Switch on")
		dialog.click("button", "Cancel")
		row.seeState("switch", "ci: enabled", "unchecked")
		row.click("switch", "ci: enabled")
		dialog.click("button", "Rotate instead")
		s.in("dialog", "Rotate “ci”?").click("button", "Cancel")
		row.click("switch", "ci: enabled")
		dialog.click("button", "Switch on all the same") // somebody has dealt with it
		row.seeState("switch", "ci: enabled", "checked")
		s.seeNoText("Reported as leaked")
	})
}

// Two people edit one token: what the other one has done arrives, and a save over an older sight is refused and shows both.
func TestEditTogether(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("shared")
		s.details("shared").click("button", "Edit")
		dialog := s.in("dialog", "Edit “shared”")
		dialog.fill("textbox", "Good from", "10.0.0.0/8")
		s.call("/v1/api-tokens/update", nil, made.ID, map[string]any{"name": "renamed"})
		dialog.seeText("renamed from \u2068shared\u2069 to \u2068renamed\u2069.")
		if got := dialog.value("textbox", "Name") + " " + dialog.value("textbox", "Good from"); got != "renamed 10.0.0.0/8" {
			t.Errorf("the fields are %q", got)
		}
		// The page does not hear of what comes now, as if the answer overtook it.
		s.js(nil, `(() => { const on = JSON.parse; JSON.parse = (text, ...more) => { const m = on(text, ...more); return m?.method?.endsWith("/updated") ? { method: "held" } : m; }; })()`)
		s.call("/v1/api-tokens/update", nil, made.ID, map[string]any{"allowedIps": []string{"192.0.2.1"}})
		dialog.click("button", "Save")
		dialog.seeText("Not saved, since the token was changed meanwhile: now from 192.0.2.1.")
		dialog.seeText("Yours is not saved yet: now from 10.0.0.0/8.")
		if is := s.bounds(made.ID); !reflect.DeepEqual(is.AllowedIPs, []string{"192.0.2.1"}) {
			t.Errorf("it was overwritten: %+v", is)
		}
		dialog.click("button", "Save")
		s.seeNo("dialog", "/^Edit/")
		if is := s.bounds(made.ID); !reflect.DeepEqual(is.AllowedIPs, []string{"10.0.0.0/8"}) || is.Name != "renamed" {
			t.Errorf("the server has %+v", is)
		}
	})
}

// A new token can have addresses and a rate limit from the beginning.
func TestCreateBounded(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.click("button", "New token")
		dialog := s.in("dialog", "New token")
		dialog.fill("textbox", "Name", "bounded")
		dialog.seeNo("textbox", "Good from")
		s.js(nil, `document.querySelector("dialog summary").click()`)
		dialog.fill("textbox", "Good from", "nowhere")
		dialog.fill("spinbutton", "Requests at most", "5")
		fold := func() {
			t.Helper()
			s.js(nil, `document.querySelector("dialog summary").click()`)
			dialog.seeNo("textbox", "Good from")
		}
		fold()
		dialog.click("button", "Create token")
		s.seeFocus("spinbutton", "In so many seconds") // what is wrong is not left folded away
		s.typeText("10")
		fold()
		dialog.click("button", "Create token")
		dialog.seeState("textbox", "Good from", "invalid")
		s.seeFocus("textbox", "Good from")
		dialog.fill("textbox", "Good from", "127.0.0.1\n::1")
		dialog.click("button", "Create token")
		s.in("dialog", "“bounded” was created").see("textbox", "Secret")
		is := s.bounds(s.tokens()["bounded"].ID)
		if !reflect.DeepEqual(is.AllowedIPs, []string{"127.0.0.1", "::1"}) || is.RateLimit == nil || is.RateLimit.Window != 10 {
			t.Errorf("the server has %+v", is)
		}
	})
}

// What was counted of a token's use comes later than the rest, and takes room. What a person is about to click on stays where it is.
func TestDetailsStayWhereTheyAre(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	made := s.create("ci")
	s.program.Call(made.Token, "/v1/session/read", nil)
	s.js(nil, `(() => {
		const call = api.call.bind(api);
		const counted = new Promise((tell) => (globalThis.tellUsage = tell));
		api.call = (method, ...params) => (method === "/v1/api-tokens/usage" ? counted.then(() => call(method, ...params)) : call(method, ...params));
	})()`)
	about := s.details("ci")
	about.seeText("Counting…")
	before := about.reach("button", "Rotate")
	s.js(nil, "tellUsage()")
	about.seeText("1 time allowed")
	if after := about.reach("button", "Rotate"); after != before {
		t.Errorf("the button was at %v, and is at %v", before, after)
	}
}

// A token gets a new secret: the old one is good for as long as was said, and the new one is shown once.
func TestRotate(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		s.js(nil, `import("/client.js").then(({ Api }) => (globalThis.other = new Api("/api", { token: "`+made.Token+`" })).connect())`)
		about := s.details("ci")
		about.click("button", "Rotate")
		dialog := s.in("dialog", "Rotate “ci”?")
		dialog.seeText("1 connection of it will be closed when the secret that it came by ends.")
		dialog.seeText("Programs that have the old secret are refused at once")
		dialog.choose("The old secret is good for", "1 hour")
		dialog.seeText("Programs go on with the old secret until")
		s.accessible()
		dialog.click("button", "Rotate")
		dialog = s.in("dialog", "“ci” has a new secret")
		dialog.seeText("The old one is good until")
		first := dialog.value("textbox", "Secret")
		if first == made.Token || !s.good(first) || !s.good(made.Token) {
			t.Errorf("good: the new one %v, the old one %v", s.good(first), s.good(made.Token))
		}
		s.press("Escape")
		dialog.seeText("You have not copied the secret")
		dialog.click("button", "Close without it")
		s.seeNo("dialog", "“ci” has a new secret")
		s.untilJS(`!document.documentElement.outerHTML.includes("` + first + `")`)
		about.seeState("button", "Rotate", "focused")
		about.seeText("Previous secret Works until")

		about.click("button", "Rotate")
		dialog = s.in("dialog", "Rotate “ci”?")
		dialog.see("button", "Rotate")
		s.call("/v1/api-tokens/rotate", nil, made.ID) // somebody else was first
		dialog.click("button", "Rotate")
		dialog.seeText("Not rotated, since the token was changed meanwhile: it was given a new secret.")
		dialog.click("button", "Rotate")
		dialog = s.in("dialog", "“ci” has a new secret")
		dialog.seeText("The old one is good no more.")
		about.seeNoText("Previous secret")
		if last := dialog.value("textbox", "Secret"); !s.good(last) || s.good(first) || s.good(made.Token) {
			t.Errorf("good: the new one %v, the ones before %v, %v", s.good(last), s.good(first), s.good(made.Token))
		}
		s.untilJS(`other.state === "ended"`)
		s.js(nil, "other.close()")
	})
}
