package web_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// What one person does, another one's page shows at once.
func TestTwoBrowsers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		other := s.visitor("admin", servertest.Password)
		made := s.create("ci")
		for _, b := range []*browser{s.browser, other} {
			b.in("listitem", "ci").seeState("switch", "ci: enabled", "checked")
			b.in("listitem", "ci").seeText("No permissions")
		}
		s.in("listitem", "ci").click("switch", "ci: enabled")
		other.seeState("switch", "ci: enabled", "unchecked")
		other.seeText("1 token: 1 off")
		s.call("/v1/api-tokens/set-permissions", nil, made.ID, map[string]bool{"admin": true})
		other.in("listitem", "ci").seeText("admin")
		s.in("listitem", "ci").click("button", "Delete ci")
		s.in("dialog", "").click("button", "Delete")
		other.seeText("You have no tokens yet.")
	})
}

// Nothing moves under the pointer: what is new waits to be shown, and what is gone stays until the pointer leaves.
func TestNothingMovesUnderThePointer(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		for _, name := range []string{"low", "middle", "high"} {
			s.create(name)
		}
		s.seeNames("high", "middle", "low")
		s.hover("heading", "low")
		var before, after string
		const places = `JSON.stringify([...document.querySelectorAll(".token")].map((row) => row.getBoundingClientRect().top))`
		s.js(&before, places)
		s.call("/v1/api-tokens/delete", nil, s.tokens()["high"].ID)
		s.in("listitem", "high").seeText("Deleted")
		s.create("newest")
		s.see("button", "1 new token: show")
		if s.js(&after, places); before != after {
			t.Errorf("the rows moved from %s to %s", before, after)
		}
		s.hover("heading", "API tokens")
		s.seeNames("newest", "middle", "low")
		s.seeNo("button", "/new token: show/")

		s.hover("heading", "low")
		s.create("newer still")
		s.click("button", "1 new token: show")
		s.seeNames("newer still", "newest", "middle", "low")
	})
}

// Two people edit one token: the second sees what the first has done, keeps what he did himself, and overwrites nothing unseen.
func TestTwoEditors(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("shared", "admin")
		s.in("listitem", "shared").click("button", "Permissions of shared")
		dialog := s.in("dialog", "Permissions of “shared”")
		dialog.click("checkbox", "/^tokens:verify/")
		dialog.seeText("will be given")

		s.call("/v1/api-tokens/update-permissions", nil, made.ID, map[string]bool{"tokens:manage": true})
		dialog.seeText("changed this token")
		dialog.seeText("tokens:manage given")
		dialog.seeState("checkbox", "/^tokens:manage/", "checked")
		dialog.seeState("checkbox", "/^tokens:verify/", "checked")
		dialog.click("button", "Save")
		s.seeNo("dialog", "")
		if now := s.tokens()["shared"].Permissions; len(now) != 3 {
			t.Errorf("the server has %v", now)
		}
	})
}

// A save by the sight of an older version, whose notification has not come yet, is refused, shows both, and can be decided.
func TestStaleSave(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("shared", "admin")
		s.in("listitem", "shared").click("button", "Permissions of shared")
		dialog := s.in("dialog", "Permissions of “shared”")
		dialog.click("checkbox", "/^admin/")
		dialog.click("checkbox", "/^tokens:verify/")
		// The page does not hear of it, as if the answer overtook it.
		s.js(nil, `(() => { const on = JSON.parse; JSON.parse = (text, ...more) => { const m = on(text, ...more); return m?.method?.endsWith("permissions-changed") ? { method: "held" } : m; }; })()`)
		s.call("/v1/api-tokens/set-permissions", nil, made.ID, map[string]bool{"admin": true, "tokens:manage": true})
		dialog.click("button", "Save")
		dialog.seeText("Not saved, since the token was changed meanwhile: tokens:manage given.")
		dialog.seeText("Yours is not saved yet: admin taken away, tokens:verify given.")
		if now := s.tokens()["shared"].Permissions; !now["admin"] || now["tokens:verify"] {
			t.Errorf("it was overwritten: %v", now)
		}
		dialog.click("button", "Save")
		s.seeNo("dialog", "")
		if now := s.tokens()["shared"].Permissions; now["admin"] || !now["tokens:manage"] || !now["tokens:verify"] {
			t.Errorf("the server has %v", now)
		}
	})
}

// Somebody deletes the token that one is editing.
func TestEditorOfADeletedToken(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("short-lived")
		s.in("listitem", "short-lived").click("button", "Permissions of short-lived")
		dialog := s.in("dialog", "Permissions of “short-lived”")
		dialog.click("checkbox", "/^admin/")
		s.call("/v1/api-tokens/delete", nil, made.ID)
		dialog.seeText("deleted this token")
		dialog.click("button", "Save")
		dialog.seeText("No such token.")
		dialog.click("button", "Cancel")
		s.seeText("You have no tokens yet.")
	})
}

// The editor finds permissions among many, and gives and takes groups of them.
func TestManyPermissions(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		for i := range 60 {
			s.call("/v1/permissions/create", nil, fmt.Sprintf("group%d:permission-%02d", i%3, i), map[string]any{"description": fmt.Sprintf("Number %d.", i)})
		}
		s.create("many")
		s.in("listitem", "many").click("button", "Permissions of many")
		dialog := s.in("dialog", "Permissions of “many”")
		dialog.fill("searchbox", "Search permissions", "group1:permission-0")
		dialog.seeCount(3, "checkbox", "/^group1/")
		dialog.seeCount(0, "checkbox", "/^group0/")
		dialog.click("button", "All of group1") // of those that are shown
		dialog.seeText("3 permissions chosen: 3 will be given")
		dialog.fill("searchbox", "Search permissions", "Number 59.")
		dialog.click("checkbox", "/^group2:permission-59/")
		dialog.fill("searchbox", "Search permissions", "no such thing")
		dialog.seeText("No permission matches.")
		dialog.fill("searchbox", "Search permissions", "")
		dialog.click("button", "All of group0")
		dialog.click("button", "None of group1")
		dialog.seeText("21 permissions chosen: 21 will be given")
		s.accessible()
		dialog.click("button", "Save")
		s.in("listitem", "many").seeText("and 17 more")
		given := s.tokens()["many"].Permissions
		if len(given) != 21 || !given["group2:permission-59"] {
			t.Errorf("the server has %v", given)
		}
		for id := range given {
			if strings.HasPrefix(id, "group1") {
				t.Errorf("%s was given", id)
			}
		}
	})
}
