package web_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// tabsMax is how often somebody presses Tab until he gives up.
const tabsMax = 120

// attend looks where the focus is after a key, and whether a person without a mouse finds it there.
func (b *browser) attend(key string) (is step, err error) {
	b.t.Helper()
	var found struct{ Role, Name, Lost, Strayed string }
	if err = b.ask(&found, "attention", key); err != nil {
		return is, err
	}
	if found.Strayed != "" {
		b.fail("%s", found.Strayed)
	}
	if found.Lost != "" {
		err = errors.New(found.Lost)
	}
	return step{found.Role, found.Name}, err
}

// seeFocus waits until the focus is where it belongs.
func (b *browser) seeFocus(role, name string) {
	b.t.Helper()
	b.until(fmt.Sprintf("for the focus to be on %s “%s”", role, name), func() error {
		is, err := b.attend("")
		if err == nil && !is.is(role, name) {
			err = fmt.Errorf("it is on %s “%s”", is.Role, is.Name)
		}
		return err
	})
}

// seeAnyFocus waits until it is on something.
func (b *browser) seeAnyFocus(after string) (is step) {
	b.t.Helper()
	b.until("for the focus to be somewhere", func() (err error) {
		is, err = b.attend(after)
		return err
	})
	return is
}

func (is step) is(role, name string) bool {
	if length := len(name); length > 2 && name[0] == '/' && name[length-1] == '/' {
		return is.Role == role && regexp.MustCompile(name[1:length-1]).MatchString(is.Name)
	}
	return is == step{role, name}
}

// tabTo goes on to a thing by pressing Tab.
func (b *browser) tabTo(role, name string) { b.t.Helper(); b.walk("Tab", role, name) }

// backTo goes back to a thing by pressing Shift+Tab.
func (b *browser) backTo(role, name string) { b.t.Helper(); b.walk("Shift+Tab", role, name) }

func (b *browser) walk(key, role, name string) {
	b.t.Helper()
	for range tabsMax {
		b.press(key)
		if b.seeAnyFocus(key).is(role, name) {
			return
		}
	}
	b.fail("%s does not lead to %s “%s”", key, role, name)
}

// alone is Tokenwire, and its administrator before its page, who has no mouse: he has signed in without one.
func alone(t *testing.T) *served {
	t.Helper()
	p := servertest.Start(t, modelstest.SQLite(t))
	s := &served{t: t, program: p, session: p.SignIn("admin", servertest.Password), browser: newBrowser(t, p.URL())}
	s.open("/")
	s.seeFocus("textbox", "Username")
	s.typeText("admin")
	s.press("Tab")
	s.seeFocus("textbox", "Password")
	s.typeText(servertest.Password)
	s.press("Enter")
	s.seeFocus("heading", "API tokens")
	return s
}

// Somebody without a mouse makes a token, edits it, switches it, and deletes it, and always knows where he is.
func TestTokensByKeyboard(t *testing.T) {
	s := alone(t)
	s.clipboard(true)
	s.create("old")
	s.create("older")
	s.see("heading", "older")

	s.tabTo("button", "New token")
	s.press("Enter")
	s.seeFocus("textbox", "Name")
	s.press("Escape")
	s.seeFocus("button", "New token")
	s.press("Space")
	s.seeFocus("textbox", "Name")
	s.typeText("ci")
	s.see("checkbox", "/^tokens:verify/")
	s.tabTo("checkbox", "/^tokens:verify/")
	s.press("Space")
	s.seeState("checkbox", "/^tokens:verify/", "checked")
	s.tabTo("button", "Create token")
	s.press("Enter")
	s.seeFocus("textbox", "Secret")
	s.press("Escape")
	s.seeText("You have not copied the secret")
	secret := s.value("textbox", "Secret")
	s.tabTo("button", "Copy the secret")
	s.press("Enter")
	s.untilJS(fmt.Sprintf("await navigator.clipboard.readText() === %q", secret))
	s.tabTo("button", "Done")
	s.press("Enter")
	s.seeNo("dialog", "")
	s.seeFocus("button", "New token")

	s.see("heading", "ci")
	s.tabTo("button", "Permissions of ci")
	s.press("Enter")
	s.see("checkbox", "/^admin/")
	s.press("Escape")
	s.seeNo("dialog", "")
	s.seeFocus("button", "Permissions of ci")
	s.press("Enter")
	s.see("checkbox", "/^admin/")
	s.tabTo("checkbox", "/^admin/")
	s.press("Space")
	s.tabTo("button", "Save")
	s.press("Enter")
	s.seeNo("dialog", "")
	s.seeFocus("button", "Permissions of ci")
	s.in("listitem", "ci").seeText("admin")

	s.tabTo("button", "Details of ci")
	s.press("Enter")
	s.seeFocus("heading", "“ci”")
	s.tabTo("button", "Edit")
	s.press("Enter")
	s.seeFocus("textbox", "Name")
	s.typeText("cd")
	s.tabTo("spinbutton", "In so many seconds")
	s.press("Escape")
	s.seeText("Nothing of this is saved yet.")
	s.press("Escape")
	s.seeNo("dialog", "Edit “ci”")
	s.seeFocus("button", "Edit")
	s.tabTo("button", "Rotate")
	s.press("Enter")
	s.seeFocus("combobox", "The old secret is good for")
	s.tabTo("button", "Rotate")
	s.press("Escape")
	s.seeNo("dialog", "Rotate “ci”?")
	s.seeFocus("button", "Rotate")
	s.press("Escape")
	s.seeNo("dialog", "")
	s.seeFocus("button", "Details of ci")

	s.backTo("switch", "ci: enabled")
	s.press("Space")
	s.seeText("3 tokens: 2 on, 1 off")
	s.seeFocus("switch", "ci: enabled")
	s.backTo("checkbox", "Select ci")
	s.press("Space")
	s.tabTo("checkbox", "Select old")
	s.press("Space")
	s.seeText("2 tokens selected")
	s.tabTo("button", "Switch on")
	s.press("Enter")
	s.seeText("3 tokens: 3 on")
	s.settle()
	s.seeFocus("button", "Switch on")

	s.tabTo("button", "Delete")
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.press("Escape")
	s.seeFocus("button", "Delete")
	s.press("Enter")
	s.tabTo("button", "Delete 2 tokens")
	s.press("Enter")
	s.seeNames("older")
	s.seeNo("dialog", "")
	s.seeNo("group", "Selected tokens")
	s.seeFocus("heading", "API tokens")

	s.create("newer")
	s.seeNames("newer", "older")
	s.tabTo("button", "Delete newer")
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.tabTo("button", "Delete")
	s.press("Enter")
	s.seeNames("older")
	s.seeFocus("switch", "older: enabled")
	s.tabTo("button", "Delete older")
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.tabTo("button", "Delete")
	s.press("Enter")
	s.seeText("You have no tokens yet.")
	s.seeFocus("heading", "API tokens")
}

// The menu leads to every view, and Tab through all of it to its end, in the order in which people read.
func TestViewsByKeyboard(t *testing.T) {
	s := alone(t)
	s.create("one", "admin")
	for _, view := range []string{"Activity", "Users", "Permissions", "Console", "Account", "Tokens"} {
		s.backTo("link", view)
		s.press("Enter")
		heading := view
		if view == "Tokens" {
			heading = "API tokens"
		}
		s.seeFocus("heading", heading)
		s.untilJS(`!document.querySelector("main .loading:not([hidden])")`)
		at := s.path()
		s.tabTo("link", "verifier.d.ts") // the last on the page
		s.press("Tab")
		if role, _ := s.focused(); role == "" {
			s.press("Tab") // the browser's own controls are between the end and the beginning
		}
		s.seeFocus("link", "Skip to the content")
		s.press("Enter")
		s.seeFocus("main", "")
		if now := s.path(); now != at {
			t.Errorf("to skip to the content leads from %s to %s", at, now)
		}
		s.see("heading", heading)
	}
	s.backTo("link", "Account")
	s.js(nil, "void (document.activeElement.isOld = true)")
	s.call("/v1/permissions/create", nil, "another") // which the menu hears of
	s.untilJS("!document.activeElement.isOld")
	s.seeFocus("link", "Account")
}

// What a dialog was opened from has the focus again when it closes, and what comes after something that has been deleted.
func TestDialogsByKeyboard(t *testing.T) {
	s := alone(t)
	s.program.SignIn("admin", servertest.Password) // a session to end
	s.backTo("link", "Users")
	s.press("Enter")
	s.seeFocus("heading", "Users")
	s.tabTo("button", "New user")
	s.press("Enter")
	s.seeFocus("textbox", "Username")
	s.typeText("zoe")
	s.see("checkbox", "/^admin/")
	s.tabTo("button", "Create user")
	s.press("Enter")
	s.seeNo("dialog", "")
	s.seeUsers("admin", "zoe")
	s.seeFocus("button", "New user")
	for _, name := range []string{"Permissions of zoe", "Sessions of zoe", "Password of zoe", "Delete zoe"} {
		s.tabTo("button", name)
		s.press("Enter")
		s.see("dialog", "")
		s.seeAnyFocus("")
		s.press("Escape")
		s.seeNo("dialog", "")
		s.seeFocus("button", name)
	}
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.tabTo("button", "Delete")
	s.press("Enter")
	s.seeUsers("admin")
	s.seeFocus("switch", "admin: enabled")
	s.press("Space")
	s.see("dialog", "Switch yourself off?")
	s.press("Escape")
	s.seeFocus("switch", "admin: enabled")

	s.backTo("link", "Permissions")
	s.press("Enter")
	s.seeFocus("heading", "Permissions")
	s.tabTo("button", "New permission")
	s.press("Enter")
	s.seeFocus("textbox", "Id")
	s.typeText("a:b")
	s.press("Enter")
	s.seeNo("dialog", "")
	s.seeFocus("button", "New permission")
	s.see("heading", "a:b")
	s.tabTo("button", "Who has it: a:b")
	s.press("Enter")
	s.see("dialog", "Who has a:b")
	s.press("Escape")
	s.seeFocus("button", "Who has it: a:b")
	s.tabTo("button", "Delete a:b")
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.tabTo("button", "Delete")
	s.press("Enter")
	s.seeNo("heading", "a:b")
	s.seeAnyFocus("")

	s.backTo("link", "Account")
	s.press("Enter")
	s.seeFocus("heading", "Account")
	s.tabTo("button", "Sign out everywhere")
	s.press("Enter")
	s.seeFocus("button", "Cancel")
	s.press("Escape")
	s.seeFocus("button", "Sign out everywhere")
	s.tabTo("button", "/^End Go-http-client/")
	s.press("Enter")
	s.seeCount(1, "button", "/^End Go-http-client/")
	s.seeFocus("button", "/^Sign out of this one/") // the one after it
	s.tabTo("button", "/^End Go-http-client/")
	s.press("Enter")
	s.seeNo("button", "/^End Go-http-client/")
	s.seeFocus("button", "/^Sign out of this one/") // before it, where none comes after
	s.press("Enter")
	s.seeFocus("textbox", "Username")
}
