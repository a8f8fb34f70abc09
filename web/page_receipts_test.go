package web_test

import (
	"fmt"
	"testing"
)

// verifier is a service that holds what it was told of a token, in the window of its own that tests give it. It confirms that it let go of that
// when it is told to.
type verifier struct {
	b    *browser
	name string
}

// verify has a verifier with a lease of so many seconds hold a token.
func (s *served) verify(name string, lease float64, secret string) verifier {
	s.t.Helper()
	s.js(nil, fmt.Sprintf(`(async () => {
		const { Api } = await import("/client.js");
		const verifier = (globalThis[%q] = new Api());
		verifier.on("/v1/verifier/changed", ({ seq }) => (verifier.seq = seq));
		await verifier.callNamed("/v1/verifier/beat", { options: { lease: %v } });
		const { held } = await verifier.callNamed("/v1/verifier/verify", { token: %q, options: { hold: true } });
		if (!held) throw new Error("it is not held");
	})()`, name, lease, secret))
	return verifier{s.browser, name}
}

// confirm waits until the verifier is told of a change, and confirms it.
func (v verifier) confirm() {
	v.b.t.Helper()
	v.b.untilJS(v.name + ".seq")
	v.b.js(nil, fmt.Sprintf(`%s.call("/v1/verifier/confirm", %[1]s.seq)`, v.name))
}

// again has it hold a token once more.
func (v verifier) again(secret string) {
	v.b.t.Helper()
	v.b.js(nil, fmt.Sprintf(`%s.seq = 0; %[1]s.callNamed("/v1/verifier/verify", { token: %q, options: { hold: true } })`, v.name, secret))
}

// seeUnsaid looks, without waiting until it would go by itself, that no toast says a text.
func (s *served) seeUnsaid(text string) {
	s.t.Helper()
	s.js(nil, fmt.Sprintf(`if (document.querySelector("#toasts").textContent.includes(%q)) throw new Error("it is said still")`, text))
}

func (v verifier) close() {
	v.b.t.Helper()
	v.b.js(nil, v.name+".close()")
}

// Switched off is what every verifier has let go of: until then the page says that it waits, and then at how many.
func TestSwitchWaitsForVerifiers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		a, b := s.verify("verifierA", 30, made.Token), s.verify("verifierB", 30, made.Token)
		row := s.in("listitem", "ci")
		row.click("switch", "ci: enabled")
		row.seeText("waiting for verifiers…")
		s.in("status", "").seeText("Waiting for verifiers…")
		row.seeState("switch", "ci: enabled", "busy")
		row.seeState("switch", "ci: enabled", "unchecked") // the change is made, of which the page hears before its call is answered
		s.seeText("1 token: 1 off")
		row.seeText("waiting for verifiers…")
		s.accessible()
		a.confirm()
		row.seeState("switch", "ci: enabled", "busy")
		b.confirm()
		s.seeText("“ci” is off at 2 of 2 verifiers after")
		s.seeNoText("waiting for verifiers…")
		s.seeNoText("Waiting for verifiers…")
		row.seeState("switch", "ci: enabled", "unchecked")
		s.untilJS(`!document.querySelector("[aria-busy=true]")`)

		row.click("switch", "ci: enabled") // which nobody has to let go of
		row.seeState("switch", "ci: enabled", "checked")
		s.seeUnsaid("“ci” is off")
		s.seeText("1 token: 1 on")
		b.close()

		a.again(made.Token)
		row.click("switch", "ci: enabled")
		row.seeText("waiting for verifiers…")
		row.seeState("switch", "ci: enabled", "unchecked")
		s.js(nil, fmt.Sprintf(`void api.call("/v1/api-tokens/set-enabled", %q, true)`, made.ID)) // which is newer than what is waited for
		row.seeState("switch", "ci: enabled", "checked")
		a.confirm()
		s.untilJS(`!document.querySelector("[aria-busy=true]")`)
		s.seeUnsaid("“ci” is off")
		a.close()
	})
}

// A verifier that says nothing is waited for until its lease has run out.
func TestLeaseRunsOut(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		silent := s.verify("silent", 2, made.Token)
		s.in("listitem", "ci").click("switch", "ci: enabled")
		s.seeText("“ci” is off everywhere after")
		s.seeText("0 of 1 verifier confirmed, the lease of 1 ran out.")
		silent.close()
	})
}

// What a dialog saves waits, too, and its own change is not taken for somebody else's.
func TestDialogsWaitForVerifiers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		v := s.verify("verifierA", 30, made.Token)
		changes := 0
		change := func(dialog place, button, text string) {
			t.Helper()
			dialog.click("button", button)
			dialog.seeText("Waiting for verifiers…")
			changes++
			s.untilJS(fmt.Sprintf("ownChanges === %d", changes)) // of which the page hears before its call is answered
			dialog.seeNoText("You, in another window")
			v.confirm()
			s.seeText(text)
			s.js(nil, "verifierA.seq = 0")
		}
		hold := func(secret string) {
			t.Helper()
			s.js(nil, fmt.Sprintf(`verifierA.callNamed("/v1/verifier/verify", { token: %q, options: { hold: true } })`, secret))
		}
		s.js(nil, `globalThis.ownChanges = 0; api.on("*", (method) => method.startsWith("/v1/api-tokens/") && ownChanges++)`)

		s.in("listitem", "ci").click("button", "Permissions of ci")
		dialog := s.in("dialog", "Permissions of “ci”")
		dialog.click("checkbox", "/^admin/")
		change(dialog, "Save", "Saved: admin given. Known at 1 of 1 verifier after")
		s.seeNo("dialog", "")

		hold(made.Token)
		about := s.details("ci")
		about.click("button", "Edit")
		dialog = s.in("dialog", "Edit “ci”")
		dialog.fill("textbox", "Good from", "127.0.0.0/8")
		change(dialog, "Save", "Saved: now from 127.0.0.0/8. Known at 1 of 1 verifier after")
		s.seeNo("dialog", "Edit “ci”")

		hold(made.Token)
		about.click("button", "Rotate")
		dialog = s.in("dialog", "Rotate “ci”?")
		change(dialog, "Rotate", "The old one is good no more. Refused at 1 of 1 verifier after")
		dialog = s.in("dialog", "“ci” has a new secret")
		secret := dialog.value("textbox", "Secret")
		s.press("Escape")
		dialog.click("button", "Close without it")
		about.click("button", "Done")

		hold(secret)
		s.click("button", "Delete ci")
		change(s.in("dialog", "Delete “ci”?"), "Delete", "“ci” was deleted. Gone at 1 of 1 verifier after")
		v.close()
	})
}

// The connection breaks while the page waits: what became of the change is looked up, and waited for.
func TestWaitIsCut(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		made := s.create("ci")
		v := s.verify("verifierA", 30, made.Token)
		s.in("listitem", "ci").click("switch", "ci: enabled")
		s.seeState("switch", "ci: enabled", "unchecked")
		s.js(nil, "api.reconnect({ anew: true })")
		s.seeText("Whether it took effect is not known yet.")
		s.seeText("Waiting for verifiers…")
		v.confirm()
		s.seeText("The connection is back, and “ci” is off at 1 of 1 verifier after")

		s.in("listitem", "ci").click("switch", "ci: enabled")
		s.seeText("1 token: 1 on")
		s.settle()
		s.js(nil, fmt.Sprintf(`verifierA.callNamed("/v1/verifier/verify", { token: %q, options: { hold: true } })`, made.Token))
		s.details("ci").click("button", "Edit")
		dialog := s.in("dialog", "Edit “ci”")
		dialog.fill("textbox", "Name", "cd")
		s.js(nil, `void api.on("/v1/api-tokens/updated", () => (globalThis.isUpdated = true))`)
		dialog.click("button", "Save")
		s.untilJS("globalThis.isUpdated")
		s.js(nil, "api.reconnect({ anew: true })")
		dialog.seeText("The connection is back, and the token was changed: renamed from")
		dialog.seeNoText("You, in another window")
		v.close()
	})
}

// What is done to users and permissions waits for the verifiers that hold their tokens.
func TestUsersWaitForVerifiers(t *testing.T) {
	onEach(t, func(t *testing.T, s *served) {
		s.call("/v1/permissions/create", nil, "a:b")
		s.call("/v1/users/create", nil, "zoe", map[string]any{"password": "a long password", "permissions": granted([]string{"a:b", "tokens:manage"})})
		var made token
		s.program.Call(s.program.SignIn("zoe", "a long password"), "/v1/api-tokens/create", &made, "hers", map[string]any{"permissions": granted([]string{"a:b"})})
		v := s.verify("verifierA", 30, made.Token)
		s.open("/#/permissions")
		s.click("button", "Delete a:b")
		s.in("dialog", "Delete a:b?").click("button", "Delete")
		s.in("dialog", "Delete a:b?").seeText("Waiting for verifiers…")
		v.confirm()
		s.seeText("The permission a:b was deleted. Gone at 1 of 1 verifier after")

		v.again(made.Token)
		s.open("/#/users")
		s.click("button", "Permissions of zoe")
		dialog := s.in("dialog", "Permissions of “zoe”")
		dialog.click("checkbox", "/^tokens:manage/")
		dialog.click("button", "Save")
		s.seeText("The permissions of “zoe” were saved.")
		row := s.in("listitem", "zoe")
		s.seeNo("dialog", "")

		v.again(made.Token)
		row.click("switch", "zoe: enabled")
		row.seeText("waiting for verifiers…")
		row.seeState("switch", "zoe: enabled", "busy")
		s.accessible()
		v.confirm()
		s.seeText("“zoe” is off at 1 of 1 verifier after")
		row.seeState("switch", "zoe: enabled", "unchecked")

		row.click("switch", "zoe: enabled")
		row.seeState("switch", "zoe: enabled", "checked")
		s.seeUnsaid("“zoe” is off")
		v.again(made.Token)
		s.click("button", "Delete zoe")
		s.in("dialog", "Delete “zoe”?").click("button", "Delete")
		v.confirm()
		s.seeText("“zoe” was deleted. Gone at 1 of 1 verifier after")
		v.close()
	})
}
