package web_test

import (
	"net/http"
	"testing"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// One changes one's password, and ends sessions: another one's, all of them, one's own.
func TestAccount(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		const password = "quite another one"
		other := s.visitor("admin", servertest.Password)
		other.open("/#/account")
		other.see("heading", "Account")
		s.click("link", "Account")
		s.see("heading", "You are admin")
		s.seeCount(3, "button", "/^(End|Sign out of this one)/") // the test's own call is the third
		s.in("listitem", "this one").see("button", "/^Sign out of this one: Headless Chrome/")
		s.in("list", "Sessions").seeText("Go-http-client")

		s.click("button", "/^End Headless Chrome .*, 127.0.0.1$/")
		other.see("heading", "Sign in")
		other.seeText("This session was ended from elsewhere.")
		s.seeCount(2, "button", "/^(End|Sign out of this one)/")
		s.seeNo("button", "/^End Headless/")
		other.signInHere("admin", servertest.Password)
		other.see("heading", "Account") // where he was

		s.fill("textbox", "Current password", "not the password")
		s.fill("textbox", "New password", "short")
		s.click("button", "Change password")
		s.seeRefused("8 characters")
		s.fill("textbox", "New password", password)
		s.fill("textbox", "New password, again", "quite another two")
		s.press("Enter")
		s.seeRefused("This is not the same as the new password.")
		s.fill("textbox", "New password, again", password)
		s.press("Enter")
		s.seeText("That is not your current password.")
		s.seeState("textbox", "Current password", "focused")
		s.settle()
		if left := s.value("textbox", "New password"); left != password {
			t.Errorf("the new password has become %q", left)
		}
		s.fill("textbox", "Current password", servertest.Password)
		s.press("Enter")
		s.seeText("Your password was changed, and your other sessions have ended.")
		s.seeNoText("That is not your current password.")
		other.seeText("The password was changed, which ended this session. Sign in with the new one.")
		for _, field := range []string{"Current password", "New password", "New password, again"} {
			if left := s.value("textbox", field); left != "" {
				t.Errorf("%s is left as %q", field, left)
			}
		}
		s.seeCount(1, "button", "/^(End|Sign out of this one)/")
		s.seeStatus(s.session, http.StatusUnauthorized)

		other.signInRefused("admin", servertest.Password)
		other.signInHere("admin", password)
		s.session = s.program.SignIn("admin", password)
		s.click("button", "Sign out everywhere")
		dialog := s.in("dialog", "Sign out everywhere?")
		s.seeList("dialog .badge", "Signed in", "Signed in")
		dialog.click("button", "Cancel")
		s.seeNo("dialog", "")
		s.seeStatus(s.session, http.StatusOK)
		s.click("button", "Sign out everywhere")
		dialog.seeText("This one, at last")
		dialog.click("button", "Sign out everywhere")
		other.seeText("This session was ended from elsewhere.")
		s.see("heading", "Sign in")
		s.seeText("You have signed out.")
		s.seeNo("dialog", "")
		s.seeStatus(s.session, http.StatusUnauthorized)

		for _, signOut := range []func(){
			func() { s.click("button", "/^Sign out of this one: Headless Chrome/") },
			func() { s.in("main", "").click("button", "Sign out") },
			func() { s.in("banner", "").click("button", "Sign out") },
		} {
			s.signInHere("admin", password)
			s.see("heading", "Account")
			signOut()
			s.seeText("You have signed out.")
			s.seeNo("link", "Account")
		}
		s.back() // shows nothing of what was there
		s.see("heading", "Sign in")
		s.reload()
		s.see("heading", "Sign in")
		s.untilJS(`!document.body.textContent.includes("You are")`)
	})
}
