package web_test

import (
	"errors"
	"fmt"
	"strings"
)

// step names a thing by what it is to a person: its role, as a screen reader tells it, and its accessible name. A name of
// the form /…/ is a regular expression, and "" is any.
type step struct {
	Role string `json:"role"`
	Name string `json:"name"`
}

// place is where a person looks and acts: a whole page, or a part of it. Only what is visible there counts.
type place struct {
	b    *browser
	path []step
}

// in is the part of a place that has a role, and a name or exactly this text somewhere inside: the row of a token, a dialog.
func (p place) in(role, name string) place {
	return place{p.b, p.to(role, name)}
}

// to is the way to one thing.
func (p place) to(role, name string) []step {
	return append(append([]step{}, p.path...), step{role, name})
}

// said is how messages call a thing.
func said(path []step) string {
	var parts []string
	for i := len(path) - 1; i >= 0; i-- {
		parts = append(parts, fmt.Sprintf("%s “%s”", path[i].Role, path[i].Name))
	}
	return strings.Join(parts, " in ")
}

// count returns how many there are now.
func (p place) count(role, name string) (n int) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until("to count "+said(path), func() error { return p.b.ask(&n, "count", path) })
	return n
}

// see waits until there is one or more.
func (p place) see(role, name string) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until("to see "+said(path), func() error {
		var n int
		err := p.b.ask(&n, "count", path)
		if err == nil && n == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// seeCount waits until there are as many.
func (p place) seeCount(n int, role, name string) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until(fmt.Sprintf("to see %d times %s", n, said(path)), func() error {
		var is int
		err := p.b.ask(&is, "count", path)
		if err == nil && is != n {
			err = fmt.Errorf("there are %d", is)
		}
		return err
	})
}

// seeNo waits until there is none.
func (p place) seeNo(role, name string) {
	p.b.t.Helper()
	p.seeCount(0, role, name)
}

// seeText waits until a text is shown, with any amount of space between its words.
func (p place) seeText(text string) {
	p.b.t.Helper()
	p.untilShows(text, true)
}

// seeNoText waits until a text is not shown.
func (p place) seeNoText(text string) {
	p.b.t.Helper()
	p.untilShows(text, false)
}

func (p place) untilShows(text string, want bool) {
	p.b.t.Helper()
	path := append([]step{}, p.path...) // none is [], not null
	p.b.until(fmt.Sprintf("for the text “%s” to be shown=%v in the page %s", text, want, said(path)), func() error {
		var shows bool
		err := p.b.ask(&shows, "shows", path, text)
		if err == nil && shows != want {
			err = fmt.Errorf("shown=%v", shows)
		}
		return err
	})
}

// seeState waits until a thing is checked, unchecked, mixed, disabled, enabled, expanded, collapsed, selected, pressed,
// current, invalid, busy or focused.
func (p place) seeState(role, name, state string) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until("for "+said(path)+" to be "+state, func() error {
		var is bool
		err := p.b.ask(&is, "is", path, state)
		if err == nil && !is {
			err = errors.New("it is not")
		}
		return err
	})
}

// text waits for a thing and returns what it shows.
func (p place) text(role, name string) (text string) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until("to read "+said(path), func() error { return p.b.ask(&text, "text", path) })
	return text
}

// value waits for a field and returns what it holds.
func (p place) value(role, name string) (value string) {
	p.b.t.Helper()
	path := p.to(role, name)
	p.b.until("to read "+said(path), func() error { return p.b.ask(&value, "value", path) })
	return value
}

// focused returns what has the focus now; both are "" where nothing has.
func (b *browser) focused() (role, name string) {
	b.t.Helper()
	var is step
	b.until("to look where the focus is", func() error { return b.ask(&is, "focused") })
	return is.Role, is.Name
}

// untilJS waits until an expression is true in the page's own world.
func (b *browser) untilJS(expression string) {
	b.t.Helper()
	b.until("for "+expression, func() error {
		var is bool
		err := b.evaluate(&is, "(async () => Boolean("+expression+"))()", 0)
		if err == nil && !is {
			err = errors.New("it is false")
		}
		return err
	})
}
