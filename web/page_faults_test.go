package web_test

import (
	"testing"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// gone are the errors that browsers show by themselves while a server is away.
var gone = []string{"ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED", "/api"}

// The server goes and comes back: the page says so, misses nothing, and needs no reload.
func TestServerGoesAndComesBack(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.allow(gone...)
		made := s.create("ci")
		s.see("listitem", "")
		s.program.Kill()
		s.seeText("Offline")
		s.seeText("again in")
		s.shot("offline")
		s.in("listitem", "ci").click("switch", "ci: enabled")
		s.seeText("There is no connection just now, so nothing was sent.")
		s.seeState("switch", "ci: enabled", "checked")
		s.accessible()

		s.program.Start()
		s.js(nil, "document.querySelector('tw-connection button').click()") // it may be gone before the mouse is there
		s.seeText("Live")
		s.seeNoText("There is no connection")
		s.call("/v1/api-tokens/set-enabled", nil, made.ID, false)
		s.seeState("switch", "ci: enabled", "unchecked")
	})
}

// What happened while one was away is there without a reload.
func TestBackAfterACut(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.allow(gone...)
		a := s.create("a")
		s.create("b")
		s.seeNames("b", "a")
		s.js(nil, "void (globalThis.isSamePage = true)")
		s.program.Kill()
		s.seeText("Offline")
		s.program.Start()
		s.call("/v1/api-tokens/set-enabled", nil, a.ID, false)
		s.call("/v1/api-tokens/delete", nil, s.tokens()["b"].ID)
		s.create("c")
		s.js(nil, "api.reconnect()")
		s.seeNames("c", "a")
		s.seeState("switch", "a: enabled", "unchecked")
		s.untilJS("globalThis.isSamePage")
	})
}

// The server goes in the middle of something: the page says what is not known, and later what became of it.
func TestCutInTheMiddle(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.allow(gone...)
		s.create("ci")
		s.see("switch", "ci: enabled")
		s.program.Freeze()
		s.click("switch", "ci: enabled")
		s.seeState("switch", "ci: enabled", "busy")
		s.seeState("switch", "ci: enabled", "checked") // what is asked for is not done yet
		s.program.Kill()
		s.seeText("Whether it took effect is not known yet.")
		s.seeState("switch", "ci: enabled", "checked")
		s.program.Start()
		s.js(nil, "api.reconnect()")
		s.seeText("The connection is back, and “ci” is on: nothing was changed. Try again.")

		s.click("button", "New token")
		dialog := s.in("dialog", "New token")
		dialog.fill("textbox", "Name", "lost")
		s.program.Freeze()
		dialog.click("button", "Create token")
		s.program.Kill()
		dialog.seeText("Whether it took effect is not known yet.")
		s.program.Start()
		s.js(nil, "api.reconnect()")
		dialog.seeText("“lost” was not created. Try again.")
		dialog.click("button", "Create token")
		s.in("dialog", "“lost” was created").see("textbox", "Secret")
	})
}

// It took effect, but the answer did not arrive.
func TestAnswerLost(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.create("ci")
		s.see("switch", "ci: enabled")
		// The answer to the next call is dropped, and the connection with it, as if it broke just then.
		s.js(nil, `(() => { const parse = JSON.parse; JSON.parse = (text, ...more) => {
			const message = parse(text, ...more);
			if (message?.id === undefined || message.method) return message;
			JSON.parse = parse;
			throw new SyntaxError("dropped");
		}; })()`)
		s.click("switch", "ci: enabled")
		s.seeText("The connection is back, and “ci” is off.")
		s.seeState("switch", "ci: enabled", "unchecked")
		if s.tokens()["ci"].Enabled {
			t.Error("the server has it on")
		}
	})
}

// A session that was ended elsewhere leads to sign-in, with no secret left on the page, and back to where one was.
func TestEndedElsewhere(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.open("/#/account")
		s.see("heading", "Account")
		s.click("link", "Tokens")
		s.click("button", "New token")
		s.in("dialog", "New token").fill("textbox", "Name", "secret one")
		s.in("dialog", "New token").click("button", "Create token")
		secret := s.in("dialog", "“secret one” was created").value("textbox", "Secret")
		s.back() // to the account, which closes the dialog
		s.seeNo("dialog", "")
		s.see("heading", "Account")

		s.forward()
		s.click("button", "New token")
		s.call("/v1/session/set-password", nil, servertest.Password, "another password")
		s.see("heading", "Sign in")
		s.seeText("The password was changed, which ended this session.")
		s.seeNo("dialog", "")
		s.untilJS(`!document.documentElement.outerHTML.includes("` + secret + `") && !document.querySelector(".token")`)
		s.shot("signed-out-elsewhere")
		s.accessible()

		s.open("/#/activity")
		s.fill("textbox", "Username", "admin")
		s.fill("textbox", "Password", "another password")
		s.press("Enter")
		s.see("heading", "Activity")
		if at := s.path(); at != "/#/activity" {
			t.Errorf("back at %s", at)
		}
	})
}

// Wrong passwords are refused in words, and too many are told to wait.
func TestSignInRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		b := newBrowser(t, s.program.URL())
		b.allow("401", "429")
		b.open("/")
		b.fill("textbox", "Username", "nobody")
		for range 6 {
			b.fill("textbox", "Password", "wrong password")
			b.press("Enter")
			b.seeState("button", "Sign in", "enabled")
		}
		b.seeText("Too many attempts. Try again in")
		b.shot("sign-in-refused")
		b.accessible()
	})
}
