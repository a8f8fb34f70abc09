package web_test

import (
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// What one person does, another one's page shows at once.
func TestTwoBrowsers(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		p := servertest.Start(t, url)
		a, b := newBrowser(t, p.URL()), newBrowser(t, p.URL())
		for _, person := range []*browser{a, b} {
			person.signIn("admin", servertest.Password)
			person.see("heading", "/^API tokens/")
		}
		a.fill("textbox", "Name of a new token", "ci")
		a.click("button", "Create")
		a.click("button", "Done")
		for _, person := range []*browser{a, b} {
			person.in("listitem", "ci").see("heading", "ci")
			person.seeState("switch", "ci: enabled", "checked")
		}
		a.click("switch", "ci: enabled")
		a.seeState("switch", "ci: enabled", "unchecked")
		b.seeState("switch", "ci: enabled", "unchecked")
		b.seeText("“ci” was switched off.")
		a.shot("tokens")
	})
}
