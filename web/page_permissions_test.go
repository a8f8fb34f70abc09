package web_test

import (
	"fmt"
	"testing"
)

// A permission is made, given and taken away; who has it is told, and when it is deleted it is gone everywhere at once.
func TestPermissionFromFirstToLast(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.click("link", "Permissions")
		s.seeText("3 permissions")
		s.seeCount(3, "button", "/^Who has it/")
		s.seeNo("button", "/^Delete/") // all of them are built in
		s.in("listitem", "tokens:verify").seeText("built in")

		s.click("button", "New permission")
		dialog := s.in("dialog", "New permission")
		for _, wrong := range []struct{ id, why string }{
			{"Invoices:read", "Write it in small letters: “invoices:read”."},
			{"invoices read", "Leave out the space"},
			{":read", "Begin it with a letter or digit, not with “:”."},
		} {
			dialog.fill("textbox", "Id", wrong.id)
			dialog.click("button", "Create permission")
			s.seeRefused(wrong.why)
		}
		dialog.fill("textbox", "Id", "admin")
		dialog.click("button", "Create permission")
		dialog.seeText("There is a permission admin already. Take another id.")
		dialog.fill("textbox", "Id", "invoices:read")
		dialog.fill("textbox", "Name", "<b>Read</b> invoices")
		dialog.fill("textbox", "Description", "See invoices.")
		dialog.click("button", "Create permission")
		s.seeText("The permission invoices:read was created, and you hold it.")
		s.seeNo("dialog", "")
		s.see("heading", "invoices")
		row := s.in("listitem", "invoices:read")
		row.seeText("<b>Read</b> invoices See invoices.")
		s.seeText("4 permissions")
		s.fill("searchbox", "Search by id, name or description", "SEE INV")
		s.seeText("1 of 4 permissions")
		s.seeNo("heading", "tokens:verify")

		// Ada is given it by a call, and gives it to a token.
		made := s.enrol("ada", "a good password", "invoices:read", "tokens:verify")
		session := s.program.SignIn("ada", "a good password")
		s.program.Call(session, "/v1/api-tokens/create", nil, "hers", map[string]any{"permissions": map[string]bool{"invoices:read": true, "tokens:verify": true}})
		ada := s.visitor("ada", "a good password")
		hers := ada.in("listitem", "hers")
		hers.seeText("invoices:read")
		row.click("button", "Who has it: invoices:read")
		dialog = s.in("dialog", "Who has invoices:read")
		dialog.seeCount(3, "listitem", "")
		dialog.seeText("ada hers Token twt_")
		dialog.seeNoText("no effect")
		dialog.click("button", "Done")

		s.call("/v1/users/update-permissions", nil, made.ID, map[string]bool{"invoices:read": false})
		hers.seeText("(no effect: not held)")
		row.click("button", "Who has it: invoices:read")
		dialog = s.in("dialog", "Who has invoices:read")
		dialog.seeCount(2, "listitem", "")
		dialog.seeText("hers no effect")
		dialog.seeText("of ada, who does not hold it")
		s.press("Escape")
		s.seeNo("dialog", "")

		row.click("button", "Delete invoices:read")
		dialog = s.in("dialog", "Delete invoices:read?")
		dialog.seeText("1 user will lose it.")
		dialog.seeText("1 token will lose it.")
		dialog.click("button", "Cancel")
		row.click("button", "Delete invoices:read")
		s.in("dialog", "Delete invoices:read?").click("button", "Delete")
		s.seeText("No permission fits that.")
		hers.seeNoText("invoices:read")
		hers.seeText("tokens:verify")
		s.fill("searchbox", "Search by id, name or description", "")
		s.seeText("3 permissions")
		s.seeNo("heading", "invoices")
	})
}

// What very many have is read on as one scrolls, and counted to the end.
func TestManyHolders(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		const n = 105
		s.call("/v1/permissions/create", nil, "reports")
		s.enrol("zoe", "", "reports")
		for i := range n {
			s.create(fmt.Sprintf("t%03d", i), "reports")
		}
		s.open("/#/permissions")
		s.click("button", "Who has it: reports")
		dialog := s.in("dialog", "Who has reports")
		dialog.see("listitem", "")
		s.until("to read all", func() error {
			s.js(nil, `(() => { const dialog = document.querySelector("dialog"); dialog.scrollTo(0, dialog.scrollHeight); })()`)
			if names := s.list("dialog li :is(strong, p:first-child > bdi)"); len(names) != n+2 || names[0] != "admin" || names[n] != "t104" || names[n+1] != "zoe" {
				return fmt.Errorf("there are %d", len(names))
			}
			return nil
		})
		dialog.seeNo("button", "Show more")
		dialog.click("button", "Done")
		s.click("button", "Delete reports")
		dialog = s.in("dialog", "Delete reports?")
		dialog.seeText("2 users will lose it.")
		dialog.seeText("105 tokens will lose it.")
		dialog.click("button", "Delete")
		s.seeText("3 permissions")
		for name, one := range s.tokens() {
			if len(one.Permissions) != 0 {
				t.Fatalf("%s has %v", name, one.Permissions)
			}
		}
	})
}
