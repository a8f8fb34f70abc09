package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// user is what tests need of one.
type user struct {
	ID, Username string
	Enabled      bool
	Permissions  map[string]bool
}

// enrol makes a user behind the page's back; without a password he cannot sign in.
func (s *served) enrol(username, password string, permissions ...string) (made user) {
	s.t.Helper()
	options := map[string]any{"permissions": granted(permissions)}
	if password != "" {
		options["password"] = password
	}
	s.call("/v1/users/create", &made, username, options)
	return made
}

// user is one as the server has him, by the administrator's session.
func (s *served) user(username string) user {
	s.t.Helper()
	var answer struct{ Users []user }
	s.call("/v1/users/read", &answer, map[string]any{"where": map[string]string{"username": username}})
	if len(answer.Users) != 1 {
		s.t.Fatalf("there are %d users %s", len(answer.Users), username)
	}
	return answer.Users[0]
}

// seeUsers waits until the list has these, from top to bottom.
func (b *browser) seeUsers(want ...string) {
	b.t.Helper()
	b.seeList(".user h3 > bdi", want...)
}

// seeRefused waits until the browser refuses to send a form, and shows this at the field that it leads to.
func (b *browser) seeRefused(why string) {
	b.t.Helper()
	b.until(fmt.Sprintf("for the browser to say “%s”", why), func() error {
		var said string
		if b.js(&said, `document.activeElement.validationMessage ?? ""`); !strings.Contains(said, why) {
			return fmt.Errorf("it says “%s”", said)
		}
		return nil
	})
}

// seeStatus wants a credential to be answered so.
func (s *served) seeStatus(credential string, want int) {
	s.t.Helper()
	if status, answer, err := s.program.Post(s.t.Context(), credential, "/v1/session/read", "[]"); status != want || err != nil {
		s.t.Errorf("answered %d %s %v, want %d", status, answer, err, want)
	}
}

// An administrator makes a user, who signs in elsewhere and makes a token; then he is switched off and on, signed out, given
// another password, and deleted with all that is his.
func TestUserFromFirstToLast(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.open("/#/users")
		s.seeUsers("admin")
		s.click("button", "New user")
		dialog := s.in("dialog", "New user")
		dialog.fill("textbox", "Username", "Ada")
		dialog.click("button", "Create user")
		s.seeRefused("Write it in small letters: “ada”.")
		dialog.fill("textbox", "Username", "admin")
		dialog.click("button", "Generate a password")
		password := dialog.value("textbox", "Password")
		dialog.click("checkbox", "/^tokens:verify/")
		dialog.click("button", "Create user")
		dialog.seeText("There is a user “admin” already. Take another name.")
		dialog.fill("textbox", "Username", "ada")
		dialog.click("button", "Create user")

		dialog = s.in("dialog", "“ada” was created") // nobody has copied the password
		if shown := dialog.text("group", "Password"); shown != password || len(password) < 20 {
			t.Errorf("the password %q is shown as %q", password, shown)
		}
		dialog.click("button", "Done")
		s.seeNo("dialog", "")
		s.untilJS(fmt.Sprintf("!document.documentElement.outerHTML.includes(%q)", password))
		s.seeUsers("ada", "admin")
		s.in("listitem", "ada").seeText("tokens:verify")

		ada := s.visitor("ada", password)
		ada.seeNo("link", "Users")
		ada.click("button", "New token")
		dialog = ada.in("dialog", "New token")
		dialog.seeCount(1, "checkbox", "") // she can give what she holds
		dialog.fill("textbox", "Name", "hers")
		dialog.click("checkbox", "/^tokens:verify/")
		dialog.click("button", "Create token")
		secret := ada.in("dialog", "“hers” was created").value("textbox", "Secret")
		ada.press("Escape")
		ada.click("button", "Close without it")
		s.seeStatus(secret, http.StatusOK)

		s.click("switch", "ada: enabled")
		ada.see("heading", "Sign in")
		ada.seeText("This user was switched off.")
		ada.untilJS(`!document.querySelector(".token")`)
		s.seeStatus(secret, http.StatusUnauthorized)
		ada.signInRefused("ada", password)
		s.settle()
		s.seeState("switch", "ada: enabled", "unchecked")
		s.click("switch", "ada: enabled")
		s.settle()
		s.seeState("switch", "ada: enabled", "checked")
		ada.reload()
		ada.in("listitem", "hers").seeState("switch", "hers: enabled", "checked") // her session is good again
		s.seeStatus(secret, http.StatusOK)

		s.click("button", "Sessions of ada")
		dialog = s.in("dialog", "Sessions of “ada”")
		dialog.seeCount(1, "listitem", "")
		dialog.click("button", "/^End Headless Chrome .* on Linux, 127.0.0.1$/")
		dialog.seeText("They are not signed in anywhere.")
		ada.seeText("This session was ended from elsewhere.")
		dialog.click("button", "Done")
		s.seeNo("dialog", "")
		ada.signInHere("ada", password)
		ada.see("heading", "hers")

		s.click("button", "Password of ada")
		dialog = s.in("dialog", "Password of “ada”")
		dialog.fill("textbox", "New password", "short")
		dialog.click("button", "Set password")
		s.seeRefused("8 characters")
		dialog.fill("textbox", "New password", "another password")
		dialog.click("button", "Set password")
		s.seeNo("dialog", "") // who typed it has it
		ada.seeText("The password was changed, which ended this session. Sign in with the new one.")
		s.seeStatus(secret, http.StatusOK)
		ada.signInHere("ada", "another password")
		ada.see("heading", "hers")

		s.click("button", "Delete ada")
		dialog = s.in("dialog", "Delete “ada”?")
		dialog.seeText("1 session of theirs will end.")
		dialog.seeText("All of their tokens are deleted, and stop working at once.")
		dialog.seeText("They hold 1 permission.")
		dialog.click("button", "Cancel")
		s.seeNo("dialog", "")
		s.click("button", "Delete ada")
		s.in("dialog", "Delete “ada”?").click("button", "Delete")
		s.seeUsers("admin")
		ada.seeText("This user was deleted.")
		s.seeStatus(secret, http.StatusUnauthorized)
	})
}

// Administrators give and take what makes them one, from each other and from themselves; one is always left.
func TestAdministrators(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.enrol("boss", "a good password")
		s.call("/v1/permissions/create", nil, "reports:read") // which only the other one holds
		boss := s.visitor("boss", "a good password")
		boss.seeNo("link", "Users")
		s.call("/v1/users/update-permissions", nil, made.ID, map[string]bool{"admin": true})
		boss.click("link", "Users") // by itself, it is in the menu now
		boss.seeUsers("admin", "boss")
		s.click("link", "Users")

		s.click("button", "Permissions of boss")
		dialog := s.in("dialog", "Permissions of “boss”")
		dialog.click("checkbox", "/^admin/")
		dialog.click("checkbox", "/^tokens:manage/")
		dialog.seeText("1 permission chosen: 1 will be given, 1 will be taken away")
		dialog.click("button", "Save")
		s.seeNo("dialog", "")
		s.in("listitem", "boss").seeText("tokens:manage")
		boss.seeText("This needs the permission admin, which you do not hold. Ask an administrator for it.")
		boss.seeNo("link", "Users")
		boss.seeNo("link", "Permissions")
		boss.seeNoText("Created")
		if role, name := boss.focused(); role != "heading" || name != "Users" {
			t.Errorf("the focus is on %s “%s”", role, name)
		}

		// What is changed elsewhere meanwhile stays: only what was chosen here is saved.
		s.click("button", "Permissions of boss")
		dialog = s.in("dialog", "Permissions of “boss”")
		dialog.click("checkbox", "/^admin/")
		s.call("/v1/users/update-permissions", nil, made.ID, map[string]bool{"tokens:verify": true})
		dialog.click("button", "Save")
		s.seeNo("dialog", "")
		boss.seeUsers("admin", "boss")
		boss.see("link", "Permissions")
		s.in("listitem", "boss").seeText("tokens:verify")
		if now := s.user("boss").Permissions; len(now) != 3 {
			t.Errorf("the server has %v", now)
		}

		boss.click("button", "Permissions of admin")
		dialog = boss.in("dialog", "Permissions of “admin”")
		dialog.seeText("You do not hold it: you can take it away, but not give it back.")
		dialog.click("button", "Cancel")

		s.click("button", "Permissions of admin")
		dialog = s.in("dialog", "Permissions of “admin”")
		dialog.click("checkbox", "/^admin/")
		dialog.seeText("You are taking this from yourself, and from your tokens: admin.")
		dialog.seeText("Without admin you can no longer see users and permissions.")
		dialog.click("button", "Save")
		s.seeText("This needs the permission admin, which you do not hold.")
		s.seeNo("dialog", "")
		s.seeNo("link", "Users")
		s.see("link", "Activity")

		boss.click("button", "Refresh")
		const last = "“boss” is the last administrator who is on, and there has to be one. Give another user the permission admin first, then try again."
		boss.click("switch", "boss: enabled")
		dialog = boss.in("dialog", "Switch yourself off?")
		dialog.click("button", "Switch me off")
		dialog.seeText(last)
		boss.press("Escape")
		boss.seeNo("dialog", "")
		boss.seeState("switch", "boss: enabled", "checked")
		boss.click("button", "Delete boss")
		dialog = boss.in("dialog", "Delete “boss”?")
		dialog.seeText("This is you. You are signed out at once, and cannot come back.")
		dialog.click("button", "Delete")
		dialog.seeText(last)
		dialog.click("button", "Cancel")
		boss.click("button", "Permissions of boss")
		dialog = boss.in("dialog", "Permissions of “boss”")
		dialog.click("checkbox", "/^admin/")
		dialog.click("button", "Save")
		dialog.seeText(last)
		dialog.click("button", "Cancel")

		boss.click("button", "Permissions of admin")
		boss.in("dialog", "Permissions of “admin”").click("checkbox", "/^admin/")
		boss.click("button", "Save")
		boss.seeNo("dialog", "")
		s.seeUsers("admin", "boss") // by itself, as admin came back
		boss.click("switch", "boss: enabled")
		boss.click("button", "Switch me off")
		boss.seeText("This user was switched off.")
		boss.seeNo("dialog", "")
		s.click("button", "Refresh")
		s.seeState("switch", "boss: enabled", "unchecked")
	})
}

// Many users: read on as one scrolls, searched, filtered and ordered by the server.
func TestFindUsers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		const n = 120
		for i := range n {
			s.enrol(fmt.Sprintf("u%03d", i), "")
		}
		s.call("/v1/users/set-enabled", nil, s.user("u117").ID, false)
		s.open("/#/users")
		s.seeText("The first 50 users")
		s.until("to read all", func() error {
			s.js(nil, "scrollTo(0, document.body.scrollHeight)")
			if names := s.list(".user h3 > bdi"); len(names) != n+1 || names[0] != "admin" || names[n] != "u119" {
				return fmt.Errorf("there are %d, %.1q to %.1q", len(names), names, names[len(names)-1:])
			}
			return nil
		})
		s.seeText("121 users")
		s.seeNo("button", "Show more")

		s.fill("searchbox", "Search by name", "U11")
		s.seeText("10 users")
		s.choose("Order", "Name, Z to A")
		s.seeUsers("u119", "u118", "u117", "u116", "u115", "u114", "u113", "u112", "u111", "u110")
		s.choose("Order", "Off first")
		s.seeUsers("u117", "u110", "u111", "u112", "u113", "u114", "u115", "u116", "u118", "u119")
		s.choose("Which users", "Off")
		s.seeUsers("u117")
		s.seeState("switch", "u117: enabled", "unchecked")
		s.fill("searchbox", "Search by name", "%")
		s.seeText("No user fits that.")
		s.seeNoText("1 user")
		s.fill("searchbox", "Search by name", "")
		s.seeUsers("u117")

		// What others did is there when it is asked for.
		s.call("/v1/users/set-enabled", nil, s.user("u002").ID, false)
		s.click("button", "Refresh")
		s.seeUsers("u002", "u117")
		s.enrol("newest", "")
		s.choose("Which users", "All")
		s.choose("Order", "Newest first")
		s.until("to see the newest", func() error {
			if names := s.list(".user h3 > bdi"); len(names) < 2 || names[0] != "newest" || !strings.HasPrefix(names[1], "u11") { // several were made in the same millisecond
				return fmt.Errorf("they are %q", names)
			}
			return nil
		})
	})
}
