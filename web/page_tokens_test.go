package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A person makes a token, copies its secret, and it works; then he switches it off and on and deletes it.
func TestTokenFromFirstToLast(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.clipboard(true)
		s.seeText("You have no tokens yet.")
		s.click("button", "New token")
		dialog := s.in("dialog", "New token")
		dialog.fill("textbox", "Name", "ci")
		dialog.click("checkbox", "/^tokens:verify/")
		dialog.seeText("1 permission chosen: 1 will be given")
		dialog.click("button", "Create token")

		dialog = s.in("dialog", "“ci” was created")
		secret := dialog.value("textbox", "Secret")
		if made := s.tokens()["ci"]; !made.Permissions["tokens:verify"] || len(made.Permissions) != 1 || made.ExpiresAt != nil {
			t.Errorf("the server has %+v", made)
		}
		s.program.Call(secret, "/v1/session/read", nil)
		dialog.click("button", "Done")
		dialog.seeText("You have not copied the secret")
		dialog.click("button", "Copy the secret")
		s.untilJS(fmt.Sprintf("await navigator.clipboard.readText() === %q", secret))
		dialog.click("button", "Done")
		s.seeNo("dialog", "")
		s.untilJS(fmt.Sprintf("!document.documentElement.outerHTML.includes(%q)", secret))

		row := s.in("listitem", "ci")
		row.click("switch", "ci: enabled")
		row.seeState("switch", "ci: enabled", "unchecked") // which is the wish, until the server has answered
		s.seeText("1 token: 1 off")
		if status, _, _ := s.program.Post(t.Context(), secret, "/v1/session/read", "[]"); status != http.StatusUnauthorized {
			t.Errorf("switched off, it is answered %d", status)
		}
		row.click("switch", "ci: enabled")
		row.seeState("switch", "ci: enabled", "checked")
		s.seeText("1 token: 1 on")
		s.program.Call(secret, "/v1/session/read", nil)

		row.click("button", "Delete ci")
		dialog = s.in("dialog", "Delete “ci”?")
		dialog.seeText("It has no connections now.")
		dialog.click("button", "Cancel")
		s.seeNo("dialog", "")
		row.click("button", "Delete ci")
		s.in("dialog", "Delete “ci”?").click("button", "Delete")
		s.seeText("You have no tokens yet.")
		if left := s.tokens(); len(left) != 0 {
			t.Errorf("the server still has %v", left)
		}
	})
}

// The lines that the page gives to copy work as they are.
func TestTokenWithAnEnd(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.click("button", "New token")
		dialog := s.in("dialog", "New token")
		dialog.fill("textbox", "Name", "for a week")
		s.js(nil, `(() => { const life = [...document.querySelectorAll("dialog select")].at(-1); life.value = "7"; life.dispatchEvent(new Event("change")); })()`)
		dialog.click("button", "Create token")
		dialog = s.in("dialog", "“for a week” was created")
		dialog.seeText("It is good until")
		made := s.tokens()["for a week"]
		end, err := time.Parse(time.RFC3339, *made.ExpiresAt)
		if in := time.Until(end); err != nil || in < 6*24*time.Hour || in > 8*24*time.Hour {
			t.Errorf("it ends in %v, %v", in, err)
		}
		s.press("Escape")
		dialog.seeText("You have not copied the secret")
		s.press("Escape", "Escape")
		dialog.see("textbox", "Secret") // it does not go by pressing more
		dialog.click("button", "Close without it")
		s.seeNo("dialog", "")
		s.in("listitem", "for a week").seeText("expires")
	})
}

// Deleting says what will break.
func TestDeleteSaysWhatBreaks(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("in use")
		s.js(nil, fmt.Sprintf(`import("/client.js").then(({ Api }) => (globalThis.other = new Api("/api", { token: %q })).connect())`, made.Token))
		s.in("listitem", "in use").click("button", "Delete in use")
		dialog := s.in("dialog", "Delete “in use”?")
		dialog.seeText("1 connection of it will be closed.")
		dialog.click("button", "Delete")
		s.untilJS(`other.state === "ended"`)
		s.js(nil, "other.close()")
	})
}

// Searching, filtering and ordering ask the server; what is made meanwhile stands where it belongs.
func TestFind(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		for _, name := range []string{"backup", "Alpha", "charlie 50%"} {
			s.create(name)
		}
		s.seeNames("charlie 50%", "Alpha", "backup")
		choose := func(label, value string) {
			t.Helper()
			s.js(nil, fmt.Sprintf(`(() => { const e = document.querySelector("[aria-label='%s']"); e.value = %q; e.dispatchEvent(new Event("change")); })()`, label, value))
		}
		choose("Order", "name")
		s.seeNames("Alpha", "backup", "charlie 50%")
		s.create("bravo")
		s.seeNames("Alpha", "backup", "bravo", "charlie 50%")
		s.fill("searchbox", "Search by name", "BR")
		s.seeNames("bravo")
		s.create("zebra")
		s.create("not shown")
		s.seeNames("bravo", "zebra")
		s.fill("searchbox", "Search by name", "%")
		s.seeNames("charlie 50%")
		s.fill("searchbox", "Search by name", "nowhere")
		s.seeText("No token fits that.")
		s.fill("searchbox", "Search by name", "")
		s.seeNames("Alpha", "backup", "bravo", "charlie 50%", "not shown", "zebra")
		choose("Which tokens", "Off")
		s.seeText("No token fits that.")
		s.call("/v1/api-tokens/set-enabled", nil, s.tokens()["bravo"].ID, false)
		s.seeNames("bravo")
	})
}

// Pages are read on as one scrolls, and stay what they are while tokens come and go.
func TestReadOn(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.js(nil, `(async () => { for (let i = 0; i < 250; i++) await api.call("/v1/api-tokens/create", "t" + String(i).padStart(3, "0")); })()`)
		s.reload()
		s.untilJS(`document.querySelectorAll(".token").length === 100`)
		s.call("/v1/api-tokens/delete", nil, s.tokens()["t249"].ID)
		s.create("newest")
		s.until("to read all", func() error {
			s.js(nil, "scrollTo(0, document.body.scrollHeight)")
			if n := len(s.names()); n != 250 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		names := s.names()
		if names[0] != "newest" || names[1] != "t248" || names[249] != "t000" {
			t.Errorf("from %q, %q to %q", names[0], names[1], names[249])
		}
		s.seeNo("button", "Show more")
	})
}

// Several at once: picked one by one and as a range, switched off, deleted after a second click.
func TestBulk(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		for _, name := range []string{"a", "b", "c", "d", "keep"} {
			s.create(name)
		}
		s.seeNames("keep", "d", "c", "b", "a")
		s.click("checkbox", "Select a")
		s.see("group", "Selected tokens")
		at := s.reach("checkbox", "Select d")
		s.js(nil, fmt.Sprintf(`document.elementFromPoint(%f, %f).dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }))`, at.X, at.Y))
		bulk := s.in("group", "Selected tokens")
		bulk.seeText("4 tokens selected")
		s.seeState("checkbox", "Select all", "mixed")
		bulk.click("button", "Switch off")
		for _, name := range []string{"a", "b", "c", "d"} {
			s.seeState("switch", name+": enabled", "unchecked")
		}
		s.seeState("switch", "keep: enabled", "checked")
		s.seeText("5 tokens: 1 on, 4 off")
		bulk.click("button", "Delete")
		dialog := s.in("dialog", "Delete 4 tokens?")
		dialog.click("button", "Delete 4 tokens")
		s.seeNames("keep")
		s.seeNo("group", "Selected tokens")
		if left := s.tokens(); len(left) != 1 {
			t.Errorf("the server has %v", left)
		}
	})
}

// What somebody named is shown as it is, never run, and never breaks the layout.
func TestHostileNames(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		names := []string{
			`<img src=x onerror=alert(1)>`, `</li></ul><script>alert(1)</script>`, "👩‍👩‍👧‍👦 emoji 🔑", "\u202egnp.exe", "مرحبا بالعالم",
			strings.Repeat("W", 100), strings.Repeat("long words ", 9) + "x", `"quoted" & 'so'`, "zalgo Ẑ̴̛̫a̵l̶g̷o̸", "{{7*7}} ${7*7}",
		}
		for _, name := range names {
			s.create(name)
		}
		s.seeCount(len(names), "switch", "")
		shown := s.names()
		for i, name := range names {
			if got := shown[len(names)-1-i]; got != name {
				t.Errorf("%q is shown as %q", name, got)
			}
		}
		for _, width := range []int{320, 1280} {
			s.viewport(width, 800)
			s.fits()
		}
		s.shot("hostile-names")
		s.in("listitem", names[0]).click("button", "Delete "+names[0])
		s.in("dialog", "Delete “"+names[0]+"”?").click("button", "Delete")
		s.seeCount(len(names)-1, "switch", "")
	})
}

// fits fails the test if the page is wider than its window.
func (b *browser) fits() {
	b.t.Helper()
	var wide []string
	b.js(&wide, `document.documentElement.scrollWidth <= innerWidth ? [] : [...document.body.querySelectorAll("*")]
		.filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("[role=group], pre, nav"))
		.map((e) => e.outerHTML.slice(0, 120)).slice(0, 5).concat("the page is " + document.documentElement.scrollWidth + " of " + innerWidth)`)
	if len(wide) > 0 {
		b.t.Errorf("wider than the window: %s\n%s", strings.Join(wide, "\n"), b.picture())
	}
}
