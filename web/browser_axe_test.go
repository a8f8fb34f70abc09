package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// axeFile is axe-core, which npm puts there.
const axeFile = "node_modules/axe-core/axe.min.js"

// axeTags are the rules that pages must keep, all of them.
var axeTags = []string{"wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"}

// finding is a rule of axe-core that a page breaks.
type finding struct {
	ID, Impact, Help, HelpURL string
	Nodes                     []struct {
		Target         json.RawMessage
		HTML           string
		FailureSummary string
	}
}

// String is the rule, what to do, and where.
func (f finding) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s (%s): %s\n  %s", f.ID, f.Impact, f.Help, f.HelpURL)
	for _, node := range f.Nodes {
		fmt.Fprintf(&s, "\n  %s %s\n    %s", node.Target, node.HTML, strings.ReplaceAll(node.FailureSummary, "\n", "\n    "))
	}
	return s.String()
}

// accessible fails the test for every rule of axe-core that the page breaks as it is now.
func (b *browser) accessible() {
	b.t.Helper()
	source, err := os.ReadFile(axeFile)
	if errors.Is(err, os.ErrNotExist) {
		programs.Missing(b.t, "axe-core to test with", errors.New("run: npm install --prefix web --no-package-lock --ignore-scripts"))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	// The debugger's scripts are not bound by the page's policy. Once is enough for a page.
	if err := b.apart(nil, "void (globalThis.axe ?? (() => {"+string(source)+"})())"); err != nil {
		b.t.Fatalf("load axe-core: %v", err)
	}
	tags, _ := json.Marshal(axeTags)
	var found []finding
	run := fmt.Sprintf("axe.run({ runOnly: %s, resultTypes: ['violations'] }).then(({ violations }) => violations)", tags)
	if err := b.apart(&found, run); err != nil {
		b.t.Fatalf("run axe-core: %v", err)
	}
	for _, f := range found {
		b.t.Errorf("axe-core: %s", f)
	}
	if len(found) > 0 {
		b.t.Log(b.picture())
	}
}
