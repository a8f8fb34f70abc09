package web_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

const (
	// startLimit bounds the start of Chromium, and endLimit its end.
	startLimit, endLimit = 60 * time.Second, 20 * time.Second
	// commandLimit bounds a single thing that Chromium is told, on a busy machine.
	commandLimit = 30 * time.Second
	// patience is how long a person waits for what must come: far longer than it ever takes.
	patience = 20 * time.Second
	// glance is the time between two looks at a page.
	glance = 20 * time.Millisecond
)

// world is the name of the JavaScript world that person.js runs in, apart from the page's.
const world = "tokenwire-test"

//go:embed testdata/person.js
var personJS string

// chromium is the one browser process of this test process, with nobody's windows.
var chromium struct {
	once   sync.Once
	ctx    context.Context
	output programs.Output // what it says, to be shown when something is wrong with it
	unread programs.Output // what it told in a way that chromedp does not know: a fault might be among it
	err    error
}

// flags make Chromium what the tests need: windows that are all in front, nothing that calls out, and the roles and names
// that it gives to screen readers. The rest of them are those that Debian's Chromium is known to run with in a container.
func flags(path string) []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.CombinedOutput(&chromium.output),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("enable-blink-features", "ComputedAccessibilityInfo"),
		chromedp.Flag("disable-features", "Translate"),
		chromedp.Flag("blink-settings", "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"), // a mouse
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("password-store", "basic"),
	}
	for _, name := range []string{
		"disable-background-networking", "disable-background-timer-throttling", "disable-backgrounding-occluded-windows",
		"disable-breakpad", "disable-component-update", "disable-dev-shm-usage", "disable-extensions", "disable-gpu",
		"disable-quic", "disable-renderer-backgrounding", "disable-sync", "mute-audio", "no-default-browser-check",
		"no-first-run", "no-proxy-server",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	return options
}

// findChromium looks for what distributions call it.
func findChromium() (path string, err error) {
	if programs.Unsupported != nil {
		return "", programs.Unsupported
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is not in PATH; Debian's package is chromium")
}

// requireChromium starts it for the first test in need, or ends the test for the want of it.
func requireChromium(t testing.TB) {
	t.Helper()
	path, err := findChromium()
	if err != nil {
		programs.Missing(t, "browser to test in", err)
	}
	chromium.once.Do(func() { startChromium(path) })
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
}

// startChromium starts the process, in a folder of its own that it leaves nothing of. It dies with this process.
func startChromium(path string) {
	ctx, stop := chromedp.NewExecAllocator(context.Background(), flags(path)...)
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(format string, args ...any) {
		fmt.Fprintf(&chromium.unread, format+"\n", args...)
	}))
	if chromium.err = programs.AtEnd(func() error { return endChromium(ctx, stop) }); chromium.err != nil {
		return
	}
	slow := time.AfterFunc(startLimit, stop) // a context that ends would end Chromium, too
	defer slow.Stop()
	if err := chromedp.Do(ctx); err != nil {
		chromium.err = fmt.Errorf("start Chromium: %w\n%s", err, lastWords())
	}
	chromium.ctx = ctx
}

// endChromium asks it to go, and makes it go where that takes too long.
func endChromium(ctx context.Context, stop context.CancelFunc) error {
	slow := time.AfterFunc(endLimit, stop)
	defer slow.Stop()
	defer stop()
	err := chromedp.Cancel(ctx)
	if unread := chromium.unread.String(); err == nil && unread != "" {
		err = fmt.Errorf("chromedp: %s", unread)
	}
	return err
}

// lastWords are the end of what Chromium said, most of which is about what a container does not have.
func lastWords() string {
	said := chromium.output.String()
	return said[max(0, len(said)-2000):]
}

// browser is one person's browser at one Tokenwire, with cookies of its own. Its methods are what that person does and sees:
//
//	p := servertest.Start(t, url)
//	b := newBrowser(t, p.URL())
//	b.signIn("admin", servertest.Password)
//	b.fill("textbox", "Name of a new token", "ci")
//	b.press("Enter")
//	b.in("listitem", "ci").click("button", "Delete ci")
//	b.in("dialog", "").click("button", "Delete")
//	b.seeNo("heading", "ci")
//
// They wait until what they need is there, and where it does not come they end the test and tell what was on the page
// instead. They belong to the goroutine that runs the test.
type browser struct {
	place
	t        testing.TB
	origin   string
	patience time.Duration // of this person
	ctx      context.Context
	faults   faults
	traffic  traffic
	failed   bool // and said so

	isMeasured bool // so that looking for things would be measured, too
}

// newBrowser opens a browser for a Tokenwire; its window shows nothing yet. At the test's end it must have met no error
// but those that it was told to allow.
func newBrowser(t testing.TB, origin string) *browser {
	t.Helper()
	requireChromium(t)
	b := &browser{t: t, origin: origin, patience: patience}
	b.place = place{b: b}
	var closeWindow context.CancelFunc
	b.ctx, closeWindow = chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	slow := time.AfterFunc(startLimit, closeWindow)
	defer slow.Stop()
	if err := b.prepare(); err != nil {
		closeWindow()
		t.Fatalf("open a window: %v\n%s", err, lastWords())
	}
	t.Cleanup(b.end)
	b.viewport(1280, 800)
	return b
}

// prepare makes the window ready for what tests ask of it.
func (b *browser) prepare() error {
	return chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		// The events of these two cost the page time, and are for ways of finding elements that are not used here.
		_, err1 := cdp.Call(ctx, t, css.Disable, cdp.Empty{})
		_, err2 := cdp.Call(ctx, t, dom.Disable, cdp.Empty{})
		// Without this, each question for a role would work out those of the whole page.
		_, err3 := cdp.Call(ctx, t, accessibility.Enable, cdp.Empty{})
		// Each window believes to be the one in front, as the windows of two people on two machines are.
		_, err4 := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		_, err5 := cdp.Call(ctx, t, runtime.AddBinding, runtime.AddBindingParams{Name: "policyViolated", ExecutionContextName: world})
		_, err6 := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: personJS, WorldName: world, RunImmediately: new(true),
		})
		return errors.Join(err1, err2, err3, err4, err5, err6)
	}))
}

// end closes the window and fails the test for what went wrong in it unnoticed.
func (b *browser) end() {
	b.t.Helper()
	// What happened before has been heard of when this is answered.
	if err := b.apart(nil, "new Promise((done) => setTimeout(() => setTimeout(done)))"); err != nil {
		b.t.Errorf("the browser at its end: %v\n%s", err, lastWords())
	}
	for _, fault := range b.faults.unexpected() {
		b.t.Errorf("in the browser: %s", fault)
	}
	if b.t.Failed() && !b.failed {
		b.t.Log(b.picture())
	}
	if err := chromedp.Cancel(b.ctx); err != nil {
		b.t.Errorf("close the browser's window: %v", err)
	}
}

// command tells Chromium something about this window.
func command[P, R any](b *browser, cmd cdp.Command[P, R], params P) (R, error) {
	ctx, cancel := context.WithTimeout(b.ctx, commandLimit)
	defer cancel()
	return chromedp.Call(ctx, cmd, params)
}

// must is command for what can only fail if something is wrong with the browser.
func must[P, R any](b *browser, cmd cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := command(b, cmd, params)
	if err != nil {
		b.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return result
}

// ask calls a function of person.js about the page, and puts what it returns into result unless that is nil.
func (b *browser) ask(result any, function string, args ...any) error {
	list, err := json.Marshal(append([]any{}, args...)) // none are [], not null
	if err != nil {
		return err
	}
	if b.isMeasured {
		return errors.New("looking costs the page time: look before or after what is measured")
	}
	return b.apart(result, fmt.Sprintf("person.%s(...%s)", function, list))
}

// apart evaluates an expression in the world of person.js.
func (b *browser) apart(result any, expression string) error {
	frame := cdp.FrameID(chromedp.FromContext(b.ctx).Target.TargetID)
	own, err := command(b, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frame, WorldName: world})
	if err != nil {
		return err
	}
	return b.evaluate(result, expression, own.ExecutionContextID)
}

// js evaluates an expression in the page's own world, as its console would, and puts the value into result unless that is
// nil. Promises are awaited.
func (b *browser) js(result any, expression string) {
	b.t.Helper()
	if err := b.evaluate(result, expression, 0); err != nil {
		b.fail("%s: %v", expression, err)
	}
}

func (b *browser) evaluate(result any, expression string, context runtime.ExecutionContextID) error {
	answer, err := command(b, runtime.Evaluate, runtime.EvaluateParams{
		Expression: expression, ContextID: context, ReturnByValue: new(true), AwaitPromise: new(true), UserGesture: new(false),
	})
	if err != nil {
		return err
	}
	if thrown := answer.ExceptionDetails; thrown != nil {
		return errors.New(textOf(thrown))
	}
	if result == nil || len(answer.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, result)
}

// until looks again and again until check returns nil, and fails the test if that does not come.
func (b *browser) until(what string, check func() error) {
	b.t.Helper()
	var err error
	for deadline := time.Now().Add(b.patience); time.Now().Before(deadline); time.Sleep(glance) {
		if err = check(); err == nil {
			return
		}
		if b.ctx.Err() != nil {
			break
		}
	}
	b.fail("waited %v in vain: %s: %v", b.patience, what, err)
}

// fail ends the test with a message, what is on the page, and a picture of it.
func (b *browser) fail(format string, args ...any) {
	b.t.Helper()
	b.failed, b.isMeasured = true, false
	var outline string
	if err := b.ask(&outline, "outline"); err != nil {
		outline = err.Error()
	}
	b.t.Fatalf("%s\nthe page is: %s\n%s", fmt.Sprintf(format, args...), outline, b.picture())
}
