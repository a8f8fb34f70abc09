package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browser test that sees nothing passes, too. So what these tests hold is that the others would fail.

// samples are pages that have what tests look for, and some faults that they must find.
var samples = map[string]string{
	"/": `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Sample</title><link rel="icon" href="data:,">
<main><h1>A sample</h1><label>Name <input id="name"></label><label><input type="checkbox"> Loud</label>
<button id="one">Twice</button><button>Twice</button><button disabled>Idle</button><button hidden>Hidden</button>
<details><summary>More</summary><p>There is more.</p></details>
<ul role="list"><li><h2>ci</h2><button>Delete</button></li><li><h2>ci 2</h2><button>Delete</button></li></ul>
<label>Order <select><option>newest first</option><option disabled>random</option><option>by name</option><option>by use</option></select></label>
<p id="heard"></p></main><script src="/sample.js"></script></html>`,
	"/covered": `<!doctype html><html lang="en"><title>Covered</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/sample.css">
<main><h1>Covered</h1><button>Under</button><div id="over">Over</div></main></html>`,
	"/image": `<!doctype html><html lang="en"><title>Image</title><link rel="icon" href="data:,"><main><h1>Image</h1><img src="data:,x"></main></html>`,
	"/sample.js": `document.addEventListener("keydown", ({ key, shiftKey, ctrlKey, isTrusted }) => { heard.textContent += (ctrlKey ? "^" : "") + (shiftKey ? "⇧" : "") + key + (isTrusted ? " " : "! "); });
document.querySelector("select").addEventListener("change", ({ target, isTrusted }) => { heard.textContent = target.value + " " + isTrusted; });
one.addEventListener("click", ({ isTrusted }) => { heard.textContent = "clicked " + isTrusted; });`,
	"/sample.css": `#over { position: fixed; inset: 0; background: white; }`,
}

// serveSamples serves them under the policy that the page has, too.
func serveSamples(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := samples[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		kind := "text/html; charset=utf-8"
		if _, ending, ok := strings.Cut(r.URL.Path, "."); ok {
			kind = map[string]string{"js": "text/javascript", "css": "text/css"}[ending]
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'")
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// trial is a test that may fail.
type trial struct {
	testing.TB
	mu   sync.Mutex
	said strings.Builder // why it failed
	ends []func()
}

func (r *trial) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *trial) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *trial) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }

func (r *trial) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *trial) Failed() bool { return r.why() != "" }

func (r *trial) Cleanup(end func()) { r.ends = append(r.ends, end) }

func (r *trial) Log(...any) {}

func (r *trial) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// failureOf tries a test in a browser of its own, on a page that is open, and returns why it failed, or "".
func failureOf(t *testing.T, origin, path string, f func(b *browser)) string {
	t.Helper()
	requireChromium(t)        // whose want is the business of the real test
	t.Setenv(screenshots, "") // nobody wants pictures of what fails as it should
	r := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := newBrowser(r, origin)
		b.open(path)
		b.patience = 300 * time.Millisecond // what is waited for in vain here never comes
		f(b)
	}()
	<-done
	for i := len(r.ends) - 1; i >= 0; i-- {
		r.ends[i]()
	}
	return r.why()
}

// TestFaultsAreFound holds that what goes wrong in a page fails the test, though nobody looks for it.
func TestFaultsAreFound(t *testing.T) {
	origin := serveSamples(t)
	for _, test := range []struct{ name, script, want string }{
		{"nothing", `1`, ""},
		{"console.error", `console.error("it broke", { a: 1 })`, "console.error: it broke Object"},
		{"console.log", `console.log("all is well")`, ""},
		{"exception", `void setTimeout(() => { throw new TypeError("thrown") })`, "Uncaught: TypeError: thrown"},
		{"rejection", `void Promise.reject(new Error("rejected"))`, "Uncaught (in promise): Error: rejected"},
		{"late handling", `(() => { const p = Promise.reject(new Error("rejected")); return new Promise((done) => setTimeout(() => { p.catch(done) }, 20)) })()`, ""},
		{"policy", `document.body.append(Object.assign(document.createElement("script"), { textContent: "1" }))`, "the policy was violated: script-src-elem blocked inline"},
		{"policy of images", `document.body.append(Object.assign(new Image(), { src: "/image.png" }))`, "the policy was violated: img-src blocked http://"},
		{"missing file", `fetch("/none").then(() => {})`, "404 (Not Found)"},
		{"failed request", `fetch("http://" + location.host.replace(/:.*/, ":1")).catch(() => {})`, "the policy was violated: connect-src"},
		{"WebSocket", `new Promise((done) => { new WebSocket("/none").onerror = () => done() })`, "WebSocket connection to"},
		{"dialog", `void setTimeout(() => alert("stop"))`, `alert("stop")`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := failureOf(t, origin, "/", func(b *browser) { b.js(nil, test.script) })
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	allowed := failureOf(t, origin, "/", func(b *browser) {
		b.allow("it broke")
		b.js(nil, `console.error("it broke"); console.error("that, too")`)
	})
	if strings.Contains(allowed, "it broke") || !strings.Contains(allowed, "that, too") {
		t.Errorf("got %q", allowed)
	}
}

// TestReaching holds that a person's way is taken, and that it says what is in it.
func TestReaching(t *testing.T) {
	origin := serveSamples(t)
	for _, test := range []struct {
		name, path string
		do         func(b *browser)
		want       string
	}{
		{"covered", "/covered", func(b *browser) { b.click("button", "Under") }, "“Over” <div#over> is in front of it"},
		{"two", "/", func(b *browser) { b.click("button", "Twice") }, "there are 2: button “Twice” <button#one>"},
		{"disabled", "/", func(b *browser) { b.click("button", "Idle") }, "it is disabled"},
		{"none", "/", func(b *browser) { b.click("button", "Hidden") }, "there is none"},
		{"option", "/", func(b *browser) { b.choose("Order", "by size") }, "it has “newest first”, “by name”, “by use”"},
		{"outline", "/", func(b *browser) { b.see("link", "") }, "heading “A sample”"},
		{"text", "/", func(b *browser) { b.seeText("There is more.") }, "shown=false"},
		{"lost focus", "/", func(b *browser) { b.seeFocus("textbox", "Name") }, "nothing has the focus"},
		{"plain focus", "/", func(b *browser) { b.press("Tab"); b.seeFocus("textbox", "Name") }, "textbox “Name” <input#name> has the focus, and does not look so"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := failureOf(t, origin, test.path, test.do)
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestPerson does what the others do not, or not surely.
func TestPerson(t *testing.T) {
	b := newBrowser(t, serveSamples(t))
	b.open("/")
	b.press("Tab")
	b.typeText("é, Ω and 😀")
	if role, name := b.focused(); role != "textbox" || name != "Name" {
		t.Errorf("the focus is on %s “%s”", role, name)
	}
	if got := b.value("textbox", "Name"); got != "é, Ω and 😀" {
		t.Errorf("typed %q", got)
	}
	b.fill("textbox", "Name", "other")
	b.seeText("^a o t h e r")
	b.fill("textbox", "Name", "")
	if got := b.value("textbox", "Name"); got != "" {
		t.Errorf("left %q", got)
	}
	b.press("Tab", "Space")
	b.seeState("checkbox", "Loud", "checked")
	b.press("Space", "Shift+Tab")
	b.seeState("checkbox", "Loud", "unchecked")
	b.seeState("textbox", "Name", "focused")
	b.click("checkbox", "Loud")
	b.seeState("checkbox", "Loud", "checked")
	b.press("Tab", "Enter")
	b.seeText("clicked true")
	b.seeState("button", "Idle", "disabled")
	b.seeNoText("There is more.")
	b.press("Tab", "Tab", "Enter")
	b.seeText("There is more.")
	if n := b.count("button", "Delete"); n != 2 {
		t.Errorf("%d buttons", n)
	}
	b.seeCount(1, "button", "/^I.le$/")
	row := b.in("listitem", "ci")
	row.hover("button", "Delete")
	row.seeNoText("ci 2")
	if got := row.text("heading", ""); got != "ci" {
		t.Errorf("the row is of %q", got)
	}
	b.choose("Order", "by use")
	b.seeText("by use true")
	b.choose("Order", "newest first")
	b.seeText("newest first true")
	b.viewport(320, 100)
	b.wheel(50)
	b.untilJS("scrollY > 0")
	b.seeNo("button", "Hidden")
	b.open("/#there")
	b.back()
	b.untilJS(`location.hash === ""`)
	b.forward()
	b.untilJS(`location.hash === "#there"`)
	b.reload()
	if got := b.path(); got != "/#there" {
		t.Errorf("at %s", got)
	}
}

// TestAxe holds that axe-core is asked, and that what it says fails the test.
func TestAxe(t *testing.T) {
	origin := serveSamples(t)
	b := newBrowser(t, origin)
	b.open("/")
	b.accessible()
	got := failureOf(t, origin, "/image", func(b *browser) { b.accessible() })
	if !strings.Contains(got, "image-alt (critical)") || !strings.Contains(got, `<img src="data:,x">`) {
		t.Errorf("got %q", got)
	}
}

// TestWindow holds that pages are told of the window and its owner.
func TestWindow(t *testing.T) {
	b := newBrowser(t, serveSamples(t))
	b.open("/")
	is := func(media string) (is bool) {
		b.js(&is, fmt.Sprintf("matchMedia(%q).matches", media))
		return is
	}
	if is("(prefers-color-scheme: dark)") || is("(prefers-reduced-motion: reduce)") || !is("(width: 1280px) and (height: 800px)") {
		t.Error("a new window is another one")
	}
	b.prefers(likes{dark: true, stillness: true})
	b.viewport(320, 640)
	if !is("(prefers-color-scheme: dark)") || !is("(prefers-reduced-motion: reduce)") || !is("(width: 320px) and (height: 640px)") {
		t.Error("the window is not what it was made")
	}
	b.shot("harness/narrow")

	b.allow("ERR_INTERNET_DISCONNECTED")
	fetched := `fetch("/").then(() => true, () => false)`
	for _, offline := range []bool{true, false} {
		b.offline(offline)
		b.untilJS(fmt.Sprintf("navigator.onLine === %v && await %s === %v", !offline, fetched, !offline))
	}
	written := `navigator.clipboard.writeText("x").then(() => true, () => false)`
	for _, allowed := range []bool{false, true} {
		b.clipboard(allowed)
		b.untilJS(fmt.Sprintf("await %s === %v", written, allowed))
	}
	other := newBrowser(t, b.origin)
	other.open("/")
	b.js(nil, `void (document.cookie = "mine=1")`)
	var cookies string
	if other.js(&cookies, "document.cookie"); cookies != "" {
		t.Errorf("another one's browser has the cookies %q", cookies)
	}
}

// TestPace holds that a page which does not answer for a while is found out, and by what.
func TestPace(t *testing.T) {
	origin := serveSamples(t)
	b := newBrowser(t, origin)
	b.open("/")
	b.smooth(func() { b.press("Tab", "Tab") })
	at := b.reach("checkbox", "Loud")
	slow := b.measure(func() {
		b.clickAt(at)
		b.js(nil, block)
	})
	if slow.task < time.Second || slow.frame < time.Second || !strings.Contains(slow.in, "FireAnimationFrame") {
		t.Errorf("a page that was blocked: %v", slow)
	}
	t.Log(slow)
	b.see("checkbox", "Loud") // looking is possible again

	got := failureOf(t, origin, "/", func(b *browser) {
		b.smooth(func() { b.js(nil, block) })
	})
	if !strings.Contains(got, "the page is not smooth") {
		t.Errorf("got %q", got)
	}
	got = failureOf(t, origin, "/", func(b *browser) {
		b.smooth(func() { b.see("checkbox", "Loud") })
	})
	if !strings.Contains(got, "looking costs the page time") {
		t.Errorf("got %q", got)
	}
}

// block keeps a page from answering for a second, so long that on the busiest machine a hitch of it is the page's.
const block = `new Promise((done) => requestAnimationFrame(() => {
	for (const from = performance.now(); performance.now() < from + 1000;);
	heard.textContent = "done";
	requestAnimationFrame(() => setTimeout(done));
}))`

// TestLoad holds that what comes over the network is counted, all of it each time, and the time until something is there.
func TestLoad(t *testing.T) {
	b := newBrowser(t, serveSamples(t))
	want := len(samples["/"]) + len(samples["/sample.js"])
	for range 2 {
		l := b.load("/", "h1")
		if l.requests != 2 || l.bytes < want || l.bytes > want+2000 || l.usable <= 0 || l.usable > patience {
			t.Errorf("%+v, of %d bytes", l, want)
		}
		t.Logf("%+v", l)
	}
}
