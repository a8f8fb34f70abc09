package web_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// The lines to copy do what the form says, as they are but for the credential.
func TestLinesToCopy(t *testing.T) {
	s := serve(t, modelstest.SQLite(t))
	s.click("button", "New token")
	s.in("dialog", "New token").fill("textbox", "Name", "manager")
	s.in("dialog", "New token").click("checkbox", "/^tokens:manage/")
	s.in("dialog", "New token").click("button", "Create token")
	dialog := s.in("dialog", "“manager” was created")
	secret := dialog.value("textbox", "Secret")
	s.unfold("Use it")
	curl, script := dialog.text("group", "curl"), dialog.text("group", "JavaScript, in a browser")
	for _, output := range []string{run(t, curl, "", "sh", "-c", curl), s.node(script)} {
		if !strings.Contains(output, "tokens:manage") || strings.Contains(output, "error") {
			t.Errorf("who calls is said to be %s", output)
		}
	}
	dialog.click("button", "Done")
	dialog.click("button", "Close without it")

	const name = `it's "quoted", $HOME \ ü`
	s.open("/#/console/v1/api-tokens/create")
	s.in("form", "Call").fill("textbox", "/^name /", name)
	s.click("tab", "As code")
	curl, script = s.line("curl"), s.line("JavaScript")
	if strings.Count(curl, "$TOKENWIRE_TOKEN") != 1 || strings.Count(script, "twt_…") != 1 {
		t.Fatalf("there is no place for the credential in\n%s\n%s", curl, script)
	}
	for i, output := range []string{
		run(t, curl, "TOKENWIRE_TOKEN="+secret, "sh", "-c", curl),
		s.node(strings.ReplaceAll(script, "twt_…", secret)),
	} {
		var found struct{ Tokens []token }
		s.call("/v1/api-tokens/read", &found, map[string]any{"where": map[string]any{"name": name}})
		if len(found.Tokens) != 2 || !strings.Contains(output, found.Tokens[1-i].ID) {
			t.Errorf("%d tokens were made, and what was shown is %s", len(found.Tokens), output)
		}
	}

	s.open("/#/console/rpc.discover")
	s.see("heading", "rpc.discover")
	curl = s.line("curl")
	var answer struct{ Result struct{ Openrpc string } }
	if out := run(t, curl, "", "sh", "-c", curl); json.Unmarshal([]byte(out), &answer) != nil || answer.Result.Openrpc == "" {
		t.Errorf("%s says %.200s", curl, out)
	}
	if out := s.node(s.line("JavaScript")); !strings.Contains(out, "openrpc") {
		t.Errorf("rpc.discover says %.200s", out)
	}

	s.open("/#/console/v1/session/sign-in")
	s.in("form", "Call").fill("textbox", "/^username /", "admin")
	s.in("form", "Call").fill("textbox", "/^password /", servertest.Password)
	script = s.line("JavaScript")
	if strings.Contains(script+s.line("curl"), servertest.Password) {
		t.Error("the password is in a line that a history would keep")
	}
	if out := s.node(strings.ReplaceAll(script, "…", servertest.Password)); !strings.Contains(out, "tws_") {
		t.Errorf("sign-in says %s", out)
	}
}

// line is what is shown to be copied.
func (s *served) line(label string) string {
	s.t.Helper()
	return s.in("tabpanel", "As code").text("group", label)
}

// node runs a script with Node.js, which cannot import what a server has.
func (s *served) node(script string) string {
	s.t.Helper()
	file, err := filepath.Abs("client.js")
	if err != nil {
		s.t.Fatal(err)
	}
	script = strings.ReplaceAll(script, s.program.URL()+"/client.js", "file://"+file)
	return run(s.t, script, "", "node", "--experimental-websocket", "--no-warnings", "--input-type=module", "--eval", script)
}

// run runs a program that must succeed, and returns what it says.
func run(t *testing.T, what, variable, name string, args ...string) string {
	t.Helper()
	for _, needed := range []string{"curl", name} {
		if _, err := exec.LookPath(needed); err != nil {
			programs.Missing(t, "program to run the page's lines with", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), variable)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", what, err, out)
	}
	return string(out)
}
