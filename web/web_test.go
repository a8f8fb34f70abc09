package web_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/web"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(web.Files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(web.Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestFiles holds that browsers get all that the page asks for, and no tests.
func TestFiles(t *testing.T) {
	all := names(t)
	for _, name := range []string{"index.html", "client.js", "client.d.ts"} {
		if !slices.Contains(all, name) {
			t.Errorf("%s is not embedded", name)
		}
	}
	asked := regexp.MustCompile(`(?:src|href)="/([\w.-]+)"|(?:from|import)\(? ?"\./([\w.-]+)"`)
	for _, name := range all {
		if strings.Contains(name, "test") {
			t.Errorf("%s is served to browsers", name)
		}
		for _, m := range asked.FindAllStringSubmatch(read(t, name), -1) {
			want := m[1] + m[2]
			if want != "openrpc.json" && !(name == "client.js" || name == "client.d.ts" || slices.Contains(all, want)) {
				t.Errorf("%s asks for %s, which is not embedded", name, want)
			}
		}
	}
}

// TestPolicy holds what the server's Content-Security-Policy would otherwise break in the browser only, and that nothing
// which somebody has named is ever read as HTML.
func TestPolicy(t *testing.T) {
	page := read(t, "index.html")
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|javascript:|(?:src|href)="https?:`)
	if found := inline.FindString(page); found != "" {
		t.Errorf("index.html has %q", found)
	}
	for _, script := range regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(script, " src=") {
			t.Errorf("index.html has an inline script, %s", script)
		}
	}
	html := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	for _, name := range names(t) {
		if found := html.FindString(read(t, name)); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}
