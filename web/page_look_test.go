package web_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// Every view, as the documents show them: nothing that axe-core finds, in either theme, nothing wider than a phone, and
// pictures of all.
func TestViews(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	s.fillIn()
	s.reload() // or what has just been made is marked
	for _, view := range []struct{ name, path, heading, ready string }{
		{"tokens", "tokens", "API tokens", "document.querySelectorAll('.token').length === 7"},
		{"activity", "activity", "Activity", "document.querySelectorAll('tw-activity time').length > 7"},
		{"users", "users", "Users", "document.querySelectorAll('tw-users li').length > 3"},
		{"permissions", "permissions", "Permissions", "document.querySelector('tw-catalogue').innerText.includes('invoices:read')"},
		{"console", "console/v1/api-tokens/create", "Console", "document.querySelector('tw-console').innerText.includes('Creates an API token')"},
		{"account", "account", "Account", "document.querySelector('tw-account').innerText.includes('This one')"},
	} {
		s.open("/#/" + view.path)
		s.see("heading", view.heading)
		s.untilJS(view.ready)
		s.looks(view.name)
	}
	s.open("/#/tokens")
	for name, open := range map[string]func(){
		"new-token": func() {
			s.click("button", "New token")
			s.in("dialog", "New token").fill("textbox", "Name", "backup of the wiki")
			s.in("dialog", "New token").click("checkbox", "/^invoices:read/")
		},
		"edit-permissions": func() {
			s.click("button", "Permissions of billing")
			s.in("dialog", "Permissions of “billing”").click("checkbox", "/^invoices:write/")
		},
		"delete-token": func() { s.click("button", "Delete billing") },
		"token-details": func() {
			s.js(nil, aWeekOfUse)
			s.details("old build server").seeText("312 denied since")
		},
		"edit-token": func() {
			s.details("billing").click("button", "Edit")
			s.in("dialog", "Edit “billing”").fill("textbox", "Good from", "192.0.2.0/24, 2001:db8::/32")
		},
		"rotate-token": func() {
			s.details("dashboard").click("button", "Rotate")
			s.in("dialog", "Rotate “dashboard”?").choose("The old secret is good for", "1 day")
			s.in("dialog", "Rotate “dashboard”?").seeText("It has no connections now.")
		},
	} {
		open()
		s.looks(name)
		s.until("to close all", func() error {
			s.press("Escape", "Escape") // what is unsaved goes at the second time
			if n := s.count("dialog", ""); n > 0 {
				return fmt.Errorf("%d are open", n)
			}
			return nil
		})
	}
	s.click("button", "Sign out")
	s.see("heading", "Sign in")
	s.looks("sign-in")
}

// aWeekOfUse is what the pictures show of a token's use, as nobody can be told of uses that were days ago: those of a build server that was
// switched off, and goes on to try.
const aWeekOfUse = `(() => {
	const call = api.call.bind(api), hour = 3_600_000, end = Math.ceil(Date.now() / hour) * hour;
	const used = (i) => ({ from: new Date(end - i * hour).toISOString(), allowed: i === 1 ? 0 : Math.round(40 + 30 * Math.sin(i / 3.8)), denied: i === 1 ? 312 : Number(i % 31 === 0) });
	const hours = Array.from({ length: 168 }, (_, i) => used(168 - i));
	const sum = (member) => hours.reduce((all, one) => all + one[member], 0);
	const usage = { lastUsedAt: hours[165].from, allowed: sum("allowed"), denied: sum("denied"), hours, from: hours[0].from, to: new Date(end).toISOString() };
	api.call = (method, ...params) => (method === "/v1/api-tokens/usage" ? Promise.resolve(usage) : call(method, ...params));
})()`

// fillIn makes what the pictures show.
func (s *served) fillIn() {
	s.t.Helper()
	for id, name := range map[string]string{"invoices:read": "Read invoices", "invoices:write": "Write invoices", "reports:read": "Read reports", "deploy": "Deploy"} {
		s.call("/v1/permissions/create", nil, id, map[string]any{"name": name})
	}
	for _, name := range []string{"ada", "grace", "linus"} {
		s.call("/v1/users/create", nil, name, map[string]any{"password": "a long password", "permissions": map[string]bool{"invoices:read": true}})
	}
	s.create("laptop", "deploy")
	s.create("billing", "invoices:read", "invoices:write")
	used := s.create("dashboard", "invoices:read", "reports:read")
	s.program.Call(used.Token, "/v1/session/read", nil)
	off := s.create("old build server", "deploy", "admin")
	s.call("/v1/api-tokens/set-enabled", nil, off.ID, false)
	s.call("/v1/api-tokens/create", nil, "contractor", map[string]any{"expiresAt": time.Now().Add(31 * 24 * time.Hour)})
	s.create("nightly export", "reports:read", "invoices:read", "invoices:write", "deploy", "tokens:verify")
	s.create("ci", "deploy", "tokens:verify")
}

// looks looks at what is shown, in both themes and on a phone.
func (s *served) looks(name string) {
	s.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		s.prefers(likes{dark: theme == "dark", stillness: true})
		s.viewport(1280, 800)
		s.fits()
		s.accessible()
		s.shot(name + "-" + theme)
	}
	s.prefers(likes{stillness: true})
	for width, height := range map[int]int{320: 640, 390: 844, 3840: 2160} {
		s.viewport(width, height)
		s.fits()
		if width == 390 {
			s.accessible()
			s.shot(name + "-phone")
		}
	}
	s.js(nil, "document.documentElement.dir = 'rtl'")
	s.viewport(320, 640)
	s.fits()
	s.js(nil, "document.documentElement.dir = 'ltr'")
	s.viewport(1280, 800)
}

// The page is light, and there at once.
func TestFirstLoad(t *testing.T) {
	const budget = 100 << 10
	s := serve(t, modelstest.SQLite(t))
	s.create("ci")
	best := firstLoad{usable: time.Hour}
	for range 5 { // the machine may be busy with something else
		l := s.load("/", ".token")
		if l.bytes > budget {
			t.Errorf("%d bytes in %d requests, of at most %d", l.bytes, l.requests, budget)
		}
		if l.usable < best.usable {
			best = l
		}
	}
	t.Logf("%d requests, %d bytes, usable after %v", best.requests, best.bytes, best.usable)
	if best.usable > time.Second {
		t.Errorf("usable after %v", best.usable)
	}
}

// A list of 1,000 tokens stays smooth while 20 changes arrive every second.
func TestThousandTokens(t *testing.T) {
	const tokens, changes, every = 1000, 100, 50 * time.Millisecond
	s := serve(t, modelstest.SQLite(t))
	s.js(nil, fmt.Sprintf(`(async () => { for (let i = 0; i < %d; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) =>
		api.call("/v1/api-tokens/create", "token " + (i + k), { permissions: { admin: true, "tokens:verify": true } }))); })()`, tokens))
	s.reload()
	s.until("to read all", func() error {
		s.js(nil, "scrollTo(0, document.body.scrollHeight)")
		if n := len(s.names()); n != tokens {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	s.js(nil, "scrollTo(0, 0)")
	var first struct{ Tokens []token }
	s.call("/v1/api-tokens/read", &first, map[string]any{"limit": changes})
	s.seeText("1,000 tokens: 1,000 on")
	s.smooth(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for _, one := range first.Tokens {
			s.call("/v1/api-tokens/set-enabled", nil, one.ID, false)
			<-tick.C
		}
		s.untilJS("document.querySelectorAll('.token [aria-checked=false]').length === 100")
	})
}
