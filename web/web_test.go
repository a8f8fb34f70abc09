package web_test

import (
	"io/fs"
	"path"
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

func names(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(web.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestFiles holds that browsers get all that the page asks for, and no tests.
func TestFiles(t *testing.T) {
	all := names(t)
	for _, name := range []string{"index.html", "client.js", "client.d.ts", "verifier.js", "verifier.d.ts", "page/app.js"} {
		if !slices.Contains(all, name) {
			t.Errorf("%s is not embedded", name)
		}
	}
	asked := regexp.MustCompile(`(?:src|href)="(/[\w./-]+)"|(?:from|import)\s?\(?"(\.[\w./-]+)"`)
	for _, name := range all {
		if strings.Contains(name, "test") {
			t.Errorf("%s is served to browsers", name)
		}
		if strings.HasPrefix(name, "client.") {
			continue // their comments show how others import them
		}
		for _, m := range asked.FindAllStringSubmatch(read(t, name), -1) {
			want := strings.TrimPrefix(m[1], "/")
			if m[2] != "" {
				want = path.Join(path.Dir(name), m[2])
			}
			if want != "openrpc.json" && !slices.Contains(all, want) {
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
