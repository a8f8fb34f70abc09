package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// Every method of the OpenRPC document is in the list, has an address, and is explained; methods can be searched.
func TestConsoleExplainsEveryMethod(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	s.open("/#/console")
	s.see("heading", "Choose a method to try it.")
	var document struct{ Methods []documented }
	s.js(&document, `fetch("/openrpc.json").then((answer) => answer.json())`)
	s.seeText(fmt.Sprintf("%d methods", len(document.Methods)))
	var addresses, want []string
	s.js(&addresses, `[...document.querySelectorAll(".methods a")].map((link) => link.getAttribute("href"))`)
	for _, m := range document.Methods {
		want = append(want, m.address())
	}
	if slices.Sort(addresses); !slices.Equal(addresses, slices.Sorted(slices.Values(want))) {
		t.Errorf("the list is %q", addresses)
	}
	for _, m := range document.Methods {
		s.seeDocs(m)
	}

	s.fill("searchbox", "Search methods", "password USERS")
	s.seeText("1 method")
	s.see("link", "set-password")
	s.fill("searchbox", "Search methods", "no such thing")
	s.seeText("No method has that.")
	s.seeNo("link", "set-enabled")
	s.fill("searchbox", "Search methods", "switches a token")
	s.seeText("1 method")
	s.click("link", "set-enabled")
	s.seeState("heading", "/v1/api-tokens/set-enabled", "focused")
	s.seeState("link", "set-enabled", "current")
	s.fill("searchbox", "Search methods", "")
	s.in("navigation", "Methods").click("link", "sign-in")
	s.see("heading", "/v1/session/sign-in")
	s.back()
	s.seeState("heading", "/v1/api-tokens/set-enabled", "focused")
	s.untilJS(`document.title === "/v1/api-tokens/set-enabled · Console · Tokenwire"`)
	s.back()
	s.see("heading", "rpc.discover")
	s.forward()
	s.see("heading", "/v1/api-tokens/set-enabled")
	s.reload()
	s.see("heading", "/v1/api-tokens/set-enabled")
	s.open("/#/console/v1/nothing")
	s.see("heading", "There is no such method.")
	s.seeNo("tab", "Docs")
}

// documented is what the document says of a method.
type documented struct {
	Name, Summary, Description string
	Params                     []struct{ Name, Description string }
	Errors                     []struct {
		Code    int
		Message string
	}
}

func (m documented) address() string {
	return "#/console/" + strings.TrimPrefix(m.Name, "/")
}

// seeDocs goes to a method's address and reads what is said there.
func (s *served) seeDocs(m documented) {
	s.t.Helper()
	s.js(nil, fmt.Sprintf("void (location.hash = %q)", m.address()))
	s.see("heading", m.Name)
	var shown struct{ Pane, Docs string }
	s.js(&shown, `({ Pane: document.querySelector(".pane").innerText, Docs: document.querySelector(".docs").innerText })`)
	for _, text := range []string{m.Summary, m.Description} {
		if !strings.Contains(shown.Pane, text) {
			s.t.Errorf("%s: “%s” is not shown", m.Name, text)
		}
	}
	wanted := []string{"Params", "Result", "Errors"}
	for _, p := range m.Params {
		wanted = append(wanted, p.Name, p.Description)
	}
	for _, e := range m.Errors {
		wanted = append(wanted, fmt.Sprintf("%d\t%s", e.Code, e.Message))
	}
	for _, text := range wanted {
		if !strings.Contains(shown.Docs, text) {
			s.t.Errorf("%s: its docs have no %q:\n%s", m.Name, text, shown.Docs)
		}
	}
}

// A form that is made from the schema makes the params, which JSON shows as well, in either style.
func TestConsoleForm(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	s.open("/#/console/v1/api-tokens/create")
	call := s.in("form", "Call")
	call.fill("textbox", "/^name /", "from <the> form")
	s.js(nil, `(() => { const end = document.querySelector("[type=datetime-local]"); end.value = "2099-12-31T23:59:58"; end.dispatchEvent(new Event("input")); })()`)
	call.click("button", "Add to permissions")
	call.seeState("combobox", "permissions: key 1", "focused")
	s.typeText("Admin")
	call.seeText("It must match ^[a-z0-9]")
	call.fill("combobox", "permissions: key 1", "admin")
	call.seeNoText("It must match")
	call.click("button", "Add to permissions")
	s.typeText("tokens:verify")
	call.choose("permissions: value 2", "false")
	s.viewport(320, 640)
	s.fits()
	s.accessible()
	s.viewport(1280, 800)
	s.shot("console-form")

	end := "2099-12-31T23:59:58.000Z" // as the browser's time zone has it
	s.js(&end, `new Date("2099-12-31T23:59:58").toISOString()`)
	call.click("radio", "JSON")
	permissions := `"options":{"expiresAt":"` + end + `","permissions":{"admin":true,"tokens:verify":false}}`
	call.seeParams(`["from <the> form",{` + strings.TrimPrefix(permissions, `"options":{`) + `]`)
	call.click("radio", "Name")
	call.seeParams(`{"name":"from <the> form",` + permissions + `}`)
	call.fill("textbox", "Params as JSON", "{\n  \"name\": \"from JSON\"\n  "+permissions+"}")
	call.seeText("Line 3, column 3: “,” or “}” is missing before “\"”.")
	call.click("button", "Call")
	call.seeText("Nothing was sent.")
	call.seeState("textbox", "Params as JSON", "focused")
	call.fill("textbox", "Params as JSON", `{"name":"from JSON",`+permissions+`}`)
	call.click("radio", "Form")
	if name := call.value("textbox", "/^name /"); name != "from JSON" {
		t.Errorf("the form has %q", name)
	}
	call.click("button", "Call")
	s.in("region", "Answer").seeText("Result")
	made := s.tokens()["from JSON"]
	if made.ExpiresAt == nil || *made.ExpiresAt != end || !made.Permissions["admin"] || len(made.Permissions) != 1 {
		t.Errorf("the server has %+v", made)
	}
	if s.seeAnswer(); !strings.Contains(s.answered(), `"id": "`+made.ID+`"`) || !strings.Contains(s.answered(), `"token": "twt_`) {
		t.Errorf("shown is %s", s.answered())
	}

	s.open("/#/console/v1/api-tokens/set-enabled")
	s.see("heading", "/v1/api-tokens/set-enabled")
	call.fill("combobox", "/^tokenId /", made.ID)
	call.choose("/^enabled /", "false")
	call.click("button", "Call")
	s.in("region", "Answer").seeText("Result")
	if s.tokens()["from JSON"].Enabled {
		t.Error("it is on")
	}
}

// seeParams waits until the params, as JSON, are these.
func (p place) seeParams(want string) {
	p.b.t.Helper()
	p.b.untilJS(fmt.Sprintf(`JSON.stringify(JSON.parse(document.querySelector("textarea").value)) === %q`, want))
}

// seeAnswer waits for the answer to a call, and that it says how long it took.
func (s *served) seeAnswer() {
	s.t.Helper()
	s.untilJS(`/\d ms$/.test(document.querySelector(".answer [role=status]").textContent)`)
}

// answered is the JSON of the answer.
func (s *served) answered() (text string) {
	s.t.Helper()
	s.js(&text, `document.querySelector(".answer pre").textContent`)
	return text
}

// An error is shown with its code, what it means, and its data; frames are shown as they were, without their secrets.
func TestConsoleErrorsAndFrames(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	made := s.create("ci")
	s.open("/#/console/v1/api-tokens/read")
	s.see("heading", "/v1/api-tokens/read")
	call, answer := s.in("form", "Call"), s.in("region", "Answer")
	call.fill("textbox", "/^limit /", "many")
	call.seeText("It must be a whole number.")
	call.click("button", "Call")
	call.seeText("Nothing was sent. options.limit must be a whole number.")
	call.seeState("textbox", "/^limit /", "focused")
	call.fill("textbox", "/^limit /", "101")
	call.seeText("The most is 100.")
	call.click("button", "Call")
	answer.seeText("Error -32602")
	answer.seeText("Meaning a param is unknown, missing or wrong; data.param names it")
	if data := s.answered(); !strings.Contains(data, `"param": "options.limit"`) {
		t.Errorf("the data are %s", data)
	}
	call.fill("textbox", "/^limit /", "100")
	s.unfold("where")
	call.choose("name: which form", `["like", string]`)
	call.fill("textbox", "name[1]", "CI")
	call.click("button", "Call")
	answer.seeText("Result")
	if text := s.answered(); !strings.Contains(text, made.ID) || strings.Contains(text, "_"+made.Token[len(made.Token)-10:]) {
		t.Errorf("the answer is %s", text)
	}

	s.open("/#/console/v1/api-tokens/set-enabled")
	call.fill("combobox", "/^tokenId /", "nobody’s")
	call.choose("/^enabled /", "false")
	call.click("button", "Call")
	answer.seeText("Error 404")
	answer.seeText("Meaning not there, or not the caller's")
	call.fill("combobox", "/^tokenId /", made.ID)
	call.fill("textbox", "/^version /", "9")
	call.click("button", "Call")
	answer.seeText("Error 409")
	answer.seeText("Meaning the token has another version by now; data.token is the token as it is")
	if data := s.answered(); !strings.Contains(data, `"id": "`+made.ID+`"`) {
		t.Errorf("the data are %s", data)
	}

	s.js(nil, `void (globalThis.creating = api.call("/v1/api-tokens/create", "secret one"))`)
	var secret string
	s.js(&secret, "creating.then(({ token }) => token)")
	s.click("tab", "/^Frames/")
	frames := s.in("region", "Frames")
	frames.fill("searchbox", "Filter frames", "answer api-tokens/create")
	frames.seeCount(1, "listitem", "")
	s.unfold("/v1/api-tokens/create")
	frames.seeText(secret[:24] + "_…")
	frames.seeNoText(secret)
	s.untilJS(`/^\S+↓ receivedanswer\/v1\/api-tokens\/create[\d,]+ B, after [\d.,]+ ms/.test(document.querySelector(".frames li:not([hidden]) summary").textContent)`)
	frames.click("button", "Show secrets")
	frames.seeText(secret)
	frames.click("button", "Show secrets")
	frames.seeNoText(secret)
	frames.fill("searchbox", "Filter frames", `sent "version":9`)
	frames.seeCount(1, "listitem", "")
	frames.seeText(`"method":"/v1/api-tokens/set-enabled","params":["` + made.ID + `",false,{"version":9}]}`)
	frames.click("button", "Clear")
	frames.seeText("None yet.")
}

// unfold opens what has this in its summary.
func (b *browser) unfold(name string) {
	b.t.Helper()
	var at point
	b.js(&at, fmt.Sprintf(`(() => {
		const summary = [...document.querySelectorAll("summary")].find((one) => one.textContent.includes(%q) && one.checkVisibility());
		summary.scrollIntoView({ block: "center", behavior: "instant" });
		const { left, top, height } = summary.getBoundingClientRect();
		return { X: left + 10, Y: top + height / 2 };
	})()`, name))
	b.clickAt(at)
}

// What only POST can do goes by POST, and leaves the page's own session alone; a call under way can be cancelled; what is
// pushed is counted; and what one may not call says so.
func TestConsoleCallsUnderWay(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	const cookies = `(await (await fetch("/api/v1/session/read", { method: "POST" })).json()).credential.id`
	s.untilJS("globalThis.mine = " + cookies)
	s.open("/#/console/v1/session/sign-in")
	call, answer := s.in("form", "Call"), s.in("region", "Answer")
	s.seeText("The connection has no such method: it is called by POST, without the page’s cookie")
	call.fill("textbox", "/^username /", "admin")
	call.fill("textbox", "/^password /", "wrong password")
	call.click("button", "Call")
	answer.seeText("Error 401")
	answer.seeText("Meaning wrong username or password")
	call.fill("textbox", "/^password /", servertest.Password)
	call.click("button", "Call")
	answer.seeText("Result")
	s.untilJS("mine === " + cookies)
	s.click("tab", "/^Frames/")
	frames := s.in("region", "Frames")
	frames.fill("searchbox", "Filter frames", "sent sign-in")
	frames.seeCount(2, "listitem", "")
	frames.seeText("request by POST")
	frames.seeText(`"params":["admin","…"]`)
	frames.seeNoText(servertest.Password)
	s.untilJS(fmt.Sprintf("!document.querySelector('main').textContent.includes(%q)", servertest.Password))

	s.open("/#/console/v1/session/read")
	s.see("heading", "/v1/session/read")
	s.program.Freeze()
	call.click("button", "Call")
	answer.seeText("Under way")
	call.click("button", "Cancel")
	answer.seeText("Cancelled")
	call.seeState("button", "Call", "focused")
	call.seeNo("button", "Cancel")
	frames.fill("searchbox", "Filter frames", "$/cancelRequest")
	frames.seeCount(1, "listitem", "")
	s.program.Thaw()
	call.click("button", "Call")
	answer.seeText("Result")
	answer.seeText(`"username": "admin"`)

	s.click("tab", "Notifications")
	created := s.in("region", "Notifications").in("listitem", "/v1/api-tokens/created")
	created.seeText("not seen")
	s.in("listitem", "/v1/session/ready").seeText("1 time")
	for _, name := range []string{"/v1/api-tokens/deleted", "/v1/api-tokens/enabled-changed", "/v1/api-tokens/permissions-changed",
		"/v1/session/permissions-changed", "/v1/session/ended", "/v1/session/heartbeat"} {
		s.in("region", "Notifications").see("listitem", "")
		s.in("listitem", name).seeText(name)
	}
	s.create("first")
	created.seeText("1 time")
	s.create("second")
	created.seeText("2 times")
	s.unfold("/v1/api-tokens/created")
	created.seeText(`"name": "second"`)
	s.create("third")
	created.seeText(`"name": "third"`)

	var bob struct{ ID string }
	s.call("/v1/users/create", &bob, "bob", map[string]any{"password": "bob's password"})
	his := s.visitor("bob", "bob's password")
	his.open("/#/console/v1/users/read")
	his.seeText("This takes the permission admin, which you do not hold: the server will refuse it.")
	his.in("form", "Call").click("button", "Call")
	his.in("region", "Answer").seeText("Error 403")
	his.in("region", "Answer").seeText("Meaning a permission is missing; data.permission names it")
	s.call("/v1/users/update-permissions", nil, bob.ID, map[string]bool{"admin": true})
	his.seeNoText("which you do not hold")
	his.in("form", "Call").click("button", "Call")
	his.in("region", "Answer").seeText("Result")
}
