package web_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// open goes to a path of the Tokenwire, such as "/#/tokens", and returns when the page has loaded. Where only what follows
// # differs, the page stays and hears of it.
func (b *browser) open(path string) {
	b.t.Helper()
	if path == "" || path[0] != '/' {
		b.t.Fatalf("open %q: a path begins with /", path)
	}
	went := must(b, page.Navigate, page.NavigateParams{URL: b.origin + path})
	if went.ErrorText != "" {
		b.fail("open %s: %s", path, went.ErrorText)
	}
	b.loaded("open " + path)
}

// reload reads the page anew, and returns when it has loaded.
func (b *browser) reload() {
	b.t.Helper()
	b.js(nil, "void (globalThis.isOld = true)")
	must(b, page.Reload, page.ReloadParams{})
	b.until("reload", func() error {
		var isOld bool
		err := b.evaluate(&isOld, "globalThis.isOld === true", 0)
		if err == nil && isOld {
			err = errors.New("the old page is still there")
		}
		return err
	})
	b.loaded("reload")
}

// back goes back in the window's history, forward the other way.
func (b *browser) back() { b.t.Helper(); b.js(nil, "history.back()") }

func (b *browser) forward() { b.t.Helper(); b.js(nil, "history.forward()") }

// path is where the window is: what follows the origin.
func (b *browser) path() (path string) {
	b.t.Helper()
	b.js(&path, "location.pathname + location.search + location.hash")
	return path
}

func (b *browser) loaded(what string) {
	b.t.Helper()
	b.until(what, func() error {
		var state string
		err := b.evaluate(&state, "document.readyState", 0)
		if err == nil && state != "complete" {
			err = errors.New("the page is " + state)
		}
		return err
	})
}

// signIn opens the page and signs in.
func (b *browser) signIn(username, password string) {
	b.t.Helper()
	b.open("/")
	b.signInHere(username, password)
}

// signInHere signs in at the form that is there already, and stays where one is.
func (b *browser) signInHere(username, password string) {
	b.t.Helper()
	b.fillSignIn(username, password)
	b.seeNo("textbox", "Password")
}

// signInRefused is told there that one of them is wrong, which browsers show as an error, too.
func (b *browser) signInRefused(username, password string) {
	b.t.Helper()
	b.allow("401")
	b.fillSignIn(username, password)
	b.seeText("Wrong username or password.")
	b.settle()
}

func (b *browser) fillSignIn(username, password string) {
	b.t.Helper()
	b.fill("textbox", "Username", username)
	b.press("Tab")
	b.seeState("textbox", "Password", "focused")
	b.press("Control+a")
	b.typeText(password)
	b.press("Enter")
}

// click clicks on a thing with the mouse, once it can be reached there: it is visible, the only one, does not move, is not
// disabled, and nothing is in front of it.
func (p place) click(role, name string) {
	p.b.t.Helper()
	p.b.clickAt(p.reach(role, name))
}

// clickAt clicks on a point in the window, whatever is there.
func (b *browser) clickAt(at point) {
	b.t.Helper()
	for _, kind := range []input.DispatchMouseEventType{
		input.DispatchMouseEventTypeMouseMoved, input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased,
	} {
		event := input.DispatchMouseEventParams{Type: kind, X: at.X, Y: at.Y}
		if kind != input.DispatchMouseEventTypeMouseMoved {
			event.Button, event.ClickCount = input.MouseButtonLeft, 1
		}
		must(b, input.DispatchMouseEvent, event)
	}
}

// hover moves the mouse over a thing.
func (p place) hover(role, name string) {
	p.b.t.Helper()
	at := p.reach(role, name)
	must(p.b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: at.X, Y: at.Y})
}

// point is a place in the window, in CSS pixels.
type point struct{ X, Y float64 }

// reach waits until a thing can be clicked on, and returns where.
func (p place) reach(role, name string) (at point) {
	p.b.t.Helper()
	path := p.to(role, name)
	last := point{-1, -1}
	p.b.until("to reach "+said(path), func() error {
		if err := p.b.ask(&at, "target", path); err != nil {
			return err
		}
		if at != last {
			last = at
			return errors.New("it moves")
		}
		return nil
	})
	return at
}

// fill puts a text into a field in place of what it holds, with the keyboard.
func (p place) fill(role, name, text string) {
	p.b.t.Helper()
	p.click(role, name)
	p.seeState(role, name, "focused")
	p.b.press("Control+a")
	if text == "" {
		p.b.press("Delete")
	}
	p.b.typeText(text)
}

// choose chooses an option of a list that drops down, by the keyboard: what the list looks like when it is open is the
// system's, and no part of the page. Options on the way to it are chosen for a moment, too.
func (p place) choose(name, option string) {
	p.b.t.Helper()
	path := p.to("combobox", name)
	p.b.until(fmt.Sprintf("to choose “%s” of %s", option, said(path)), func() error {
		var down int
		if err := p.b.ask(&down, "toChoice", path, option); err != nil || down == 0 {
			return err
		}
		key := "ArrowDown"
		if down < 0 {
			key = "ArrowUp"
		}
		p.b.press(key)
		return fmt.Errorf("it is %d away", down)
	})
}

// wheel turns the mouse's wheel over the middle of the window, down by as many pixels or up by fewer than none.
func (b *browser) wheel(down int) {
	b.t.Helper()
	var middle point
	b.js(&middle, "({ X: innerWidth / 2, Y: innerHeight / 2 })")
	must(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{
		Type: input.DispatchMouseEventTypeMouseWheel, X: middle.X, Y: middle.Y, DeltaY: float64(down),
		DeltaX: 1e-9, // cdproto leaves 0 out, which Chromium refuses
	})
}

// typeText types on the keyboard, into whatever has the focus.
func (b *browser) typeText(text string) {
	b.t.Helper()
	b.keys(text)
}

// named are the keys that have a name, and are not a character.
var named = map[string]string{
	"Tab": kb.Tab, "Space": " ", "Enter": kb.Enter, "Escape": kb.Escape, "Backspace": kb.Backspace, "Delete": kb.Delete,
	"ArrowUp": kb.ArrowUp, "ArrowDown": kb.ArrowDown, "ArrowLeft": kb.ArrowLeft, "ArrowRight": kb.ArrowRight,
	"Home": kb.Home, "End": kb.End, "PageUp": kb.PageUp, "PageDown": kb.PageDown,
}

var modifiers = map[string]chromedp.KeyOption{
	"Shift": chromedp.KeyModifiers(kb.ModifierShift), "Control": chromedp.KeyModifiers(kb.ModifierCtrl),
	"Alt": chromedp.KeyModifiers(kb.ModifierAlt), "Meta": chromedp.KeyModifiers(kb.ModifierMeta),
}

// press presses keys one after the other: "Tab", "Shift+Tab", "Space", "Enter", "Escape", "ArrowDown", "Control+a", "/".
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		var options []chromedp.KeyOption
		for {
			held, rest, ok := strings.Cut(key, "+")
			if !ok || modifiers[held] == nil || rest == "" {
				break
			}
			options, key = append(options, modifiers[held]), rest
		}
		character, ok := named[key]
		if !ok && len([]rune(key)) != 1 {
			b.t.Fatalf("there is no key %q", key)
		}
		if !ok {
			character = key
		}
		b.keys(character, options...)
	}
}

func (b *browser) keys(text string, options ...chromedp.KeyOption) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, commandLimit)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.KeyEvent(text, options...)); err != nil {
		b.fail("type: %v", err)
	}
}
