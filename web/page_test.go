package web_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// onEach runs f on both databases with Tokenwire and a browser in which its administrator has signed in.
func onEach(t *testing.T, f func(t *testing.T, s *served)) {
	modelstest.Each(t, func(t *testing.T, url string) { f(t, serve(t, url)) })
}

// served is Tokenwire, and its administrator before its page. Each of them ends with the test.
type served struct {
	*browser
	t       *testing.T
	program *servertest.Program
	session string // of the administrator, for what the test does behind the page's back
}

func serve(t *testing.T, url string, args ...string) *served {
	t.Helper()
	p := servertest.Start(t, url, args...)
	s := &served{t: t, program: p, session: p.SignIn("admin", servertest.Password)}
	s.browser = s.visitor("admin", servertest.Password)
	return s
}

// visitor is somebody else's browser, signed in.
func (s *served) visitor(username, password string) *browser {
	s.t.Helper()
	b := newBrowser(s.t, s.program.URL())
	b.signIn(username, password)
	b.hover("heading", "API tokens") // the mouse is where the sign-in's field was: over the list, which holds it still
	return b
}

// call calls a method as the administrator, behind the page's back.
func (s *served) call(method string, result any, params ...any) {
	s.t.Helper()
	s.program.Call(s.session, method, result, params...)
}

// token is what tests need of one.
type token struct {
	ID, Name, Token string
	Enabled         bool
	Permissions     map[string]bool
	ExpiresAt       *string
}

func (s *served) create(name string, permissions ...string) (made token) {
	s.t.Helper()
	s.call("/v1/api-tokens/create", &made, name, map[string]any{"permissions": granted(permissions)})
	return made
}

// granted is how calls name permissions that are given.
func granted(permissions []string) map[string]bool {
	given := map[string]bool{}
	for _, id := range permissions {
		given[id] = true
	}
	return given
}

// tokens are the administrator's, by name, as the server has them.
func (s *served) tokens() map[string]token {
	s.t.Helper()
	var answer struct{ Tokens []token }
	s.call("/v1/api-tokens/read", &answer, map[string]any{"limit": 100})
	all := map[string]token{}
	for _, one := range answer.Tokens {
		all[one.Name] = one
	}
	return all
}

// names are those of the list of tokens, from top to bottom.
func (b *browser) names() []string { b.t.Helper(); return b.list(".token h3") }

// seeNames waits until the list of tokens has these, from top to bottom.
func (b *browser) seeNames(want ...string) { b.t.Helper(); b.seeList(".token h3", want...) }

// list is the texts of the elements of a CSS selector, from top to bottom, in sight or not.
func (b *browser) list(selector string) (texts []string) {
	b.t.Helper()
	b.js(&texts, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((one) => one.textContent)`, selector))
	return texts
}

// seeList waits until it has these.
func (b *browser) seeList(selector string, want ...string) {
	b.t.Helper()
	b.until(fmt.Sprintf("for the list to be %q", want), func() error {
		if is := b.list(selector); strings.Join(is, "\n") != strings.Join(want, "\n") {
			return fmt.Errorf("it is %q", is)
		}
		return nil
	})
}

// settle waits until the page has the answers to all that was done.
func (b *browser) settle() {
	b.t.Helper()
	b.untilJS(`!document.querySelector("[aria-busy=true], [aria-disabled=true]")`)
}
