package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

// TestImports holds the direction of imports: models ← rpc ← server ← main, with web and the documents apart. What is
// further in can be understood, and tested, without what is further out.
func TestImports(t *testing.T) {
	const root = "github.com/tokenwire/tokenwire"
	allowed := map[string][]string{
		root:                                 {"/models", "/rpc", "/server", "/web"},
		root + "/server":                     {"/models", "/rpc"},
		root + "/rpc":                        {"/models"},
		root + "/models":                     {},
		root + "/web":                        {},
		root + "/client":                     {},
		root + "/client/example":             {"/client"},
		root + "/docs/cluster":               {},
		root + "/docs/scaling":               {},
		root + "/server/faults":              {},
		root + "/models/modelstest":          {"/models/modelstest/programs"},
		root + "/server/servertest":          {"/models/modelstest/programs"},
		root + "/models/modelstest/programs": {},
	}
	forbidden := map[string][]string{ // beside the direction: what a package's promise excludes
		root + "/rpc":    {"net/http", "github.com/coder/websocket", "gorm.io/gorm"},
		root + "/models": {"net/http", "github.com/coder/websocket", "github.com/sourcegraph/jsonrpc2"},
		root + "/server": {"gorm.io/gorm"},
	}
	output, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(output))); ; seen++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		may, known := allowed[p.ImportPath]
		if !known {
			t.Errorf("package %s has no place in the order yet", p.ImportPath)
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, root); ok && !slices.Contains(may, own) || slices.Contains(forbidden[p.ImportPath], i) {
				t.Errorf("%s must not import %s", p.ImportPath, i)
			}
		}
	}
	if seen < len(allowed) {
		t.Errorf("%d packages listed, want %d", seen, len(allowed))
	}
}

// env returns a getenv that knows only the given variables.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		env  []string
		want string // part of the error, or "" for none
		look func(*settings) bool
	}{
		{name: "defaults", look: func(s *settings) bool {
			return s.listen == "127.0.0.1:8080" && s.database == "sqlite:tokenwire.db" && s.key.File == "tokenwire.db.key" && s.tokensPerUser == 1000
		}},
		{name: "environment", env: []string{"TOKENWIRE_LISTEN", ":1", "TOKENWIRE_EVENTS_KEPT", "1h", "TOKENWIRE_ORIGIN", "https://a.example, https://b.example"}, look: func(s *settings) bool {
			return s.listen == ":1" && s.eventsKept == time.Hour && len(s.origins) == 2
		}},
		{name: "a flag counts before its variable", args: []string{"--listen", ":2"}, env: []string{"TOKENWIRE_LISTEN", ":1"}, look: func(s *settings) bool { return s.listen == ":2" }},
		{name: "proxies", args: []string{"--trusted-proxy", " 10.0.0.1, ::1,192.0.2.0/24,"}, look: func(s *settings) bool { return len(s.proxies) == 3 }},
		{name: "no proxies", args: []string{"--trusted-proxy", " , "}, look: func(s *settings) bool { return len(s.proxies) == 0 }},
		{name: "a proxy's name", env: []string{"TOKENWIRE_TRUSTED_PROXY", "localhost"}, want: "--trusted-proxy: \"localhost\" is no IPv4"},
		{name: "bits behind a prefix", args: []string{"--trusted-proxy", "10.0.0.1/8"}, want: "10.0.0.0/8"},
		{name: "password in a flag", args: []string{"--database", "mysql://u:secret@h/n"}, want: "must not be in a flag"},
		{name: "password in the environment", env: []string{"TOKENWIRE_DATABASE", "mysql://u:secret@h/n"}, look: func(s *settings) bool {
			return s.database == "mysql://u:secret@h/n" && !strings.Contains(s.databaseShown, "secret") && s.key.File == "tokenwire.key"
		}},
		{name: "password apart", args: []string{"--database", "mysql://u@h/n"}, env: []string{"TOKENWIRE_DATABASE_PASSWORD", "s/p@ce"}, look: func(s *settings) bool {
			return s.database == "mysql://u:s%2Fp%40ce@h/n" && s.databaseShown == "mysql://u@h/n"
		}},
		{name: "no variable asks for the version", env: []string{"TOKENWIRE_VERSION", "1"}, look: func(s *settings) bool { return !s.versionOnly }},
		{name: "unknown flag", args: []string{"--nope"}, want: "not defined"},
		{name: "no port", args: []string{"--listen", "8080"}, want: "<host>:<port>"},
		{name: "days", args: []string{"--events-kept", "7d"}, want: "168h"},
		{name: "unknown argument", args: []string{"serve"}, want: "unknown argument"},
		{name: "bad variable", env: []string{"TOKENWIRE_EVENTS_KEPT", "soon"}, want: "TOKENWIRE_EVENTS_KEPT"},
		{name: "bad key", env: []string{"TOKENWIRE_KEY", "abc"}, want: "64 hexadecimal digits"},
		{name: "missing file", env: []string{"TOKENWIRE_ADMIN_PASSWORD_FILE", "/does/not/exist"}, want: "TOKENWIRE_ADMIN_PASSWORD_FILE"},
		{name: "key file", env: []string{"TOKENWIRE_KEY_FILE", "/does/not/exist"}, look: func(s *settings) bool { return s.key.File == "/does/not/exist" && s.key.Key == nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := readSettings(test.args, env(test.env...), io.Discard)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			case test.look != nil && !test.look(s):
				t.Errorf("got %+v", s)
			}
		})
	}
}

// TestVersion: --version says what this is and starts nothing, wherever it stands and whatever else is set.
func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-version", "--version --listen :1", "--listen bad --version --events-kept 7h"} {
		var said, logged strings.Builder
		if err := run(t.Context(), strings.Fields(flag), env("TOKENWIRE_LISTEN", "bad"), &said, &logged); err != nil || logged.Len() > 0 {
			t.Errorf("%s: %v %s", flag, err, &logged)
		}
		if want := "Tokenwire " + version + " (" + runtime.Version(); !strings.HasPrefix(said.String(), want) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("%s says %q, want a line that begins with %q", flag, &said, want)
		}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "48e8e8f"}
	for want, settings := range map[string][]debug.BuildSetting{
		")":                                  {{Key: "GOOS", Value: "linux"}},
		", revision 48e8e8f)":                {revision, {Key: "vcs.modified", Value: "false"}},
		", revision 48e8e8f, changed since)": {{Key: "vcs.modified", Value: "true"}, revision},
	} {
		if got := about(settings); got != "Tokenwire "+version+" ("+runtime.Version()+want {
			t.Errorf("of %v it says %q", settings, got)
		}
	}
}

// TestRun starts Tokenwire as main does and stops it as a signal does.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"--listen", "127.0.0.1:0", "--database", "sqlite:" + filepath.Join(t.TempDir(), "t.db")}, env("TOKENWIRE_ADMIN_PASSWORD", "correct horse"), w, io.Discard)
		w.Close()
	}()
	buffer := make([]byte, 1000)
	n, err := r.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	_, rest, _ := strings.Cut(string(buffer[:n]), " is at ")
	address, _, _ := strings.Cut(rest, ",")
	response, err := http.Get(address + "/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("readyz: %v %v", response, err)
	}
	if err == nil {
		response.Body.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDatabaseStartsLater starts Tokenwire before its database is there.
func TestDatabaseStartsLater(t *testing.T) {
	t.Parallel()
	database := modelstest.StartServer(t)
	database.Stop()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said, greets := io.Pipe()
	logged, log := io.Pipe()
	done := make(chan error, 1)
	go func() {
		defer greets.Close()
		defer log.Close()
		args := []string{"--listen", "127.0.0.1:0", "--key-file", filepath.Join(t.TempDir(), "key")}
		done <- run(ctx, args, env("TOKENWIRE_ADMIN_PASSWORD", "correct horse", "TOKENWIRE_DATABASE", database.URL()), greets, log)
	}()
	line, err := bufio.NewReader(logged).ReadString('\n')
	if err != nil || !strings.Contains(line, "waiting for the database") {
		t.Fatalf("the log says %q, %v", line, err)
	}
	go io.Copy(io.Discard, logged)
	database.Start()
	text := bufio.NewReader(said)
	for _, want := range []string{" is at ", "administrator was made"} {
		if line, err := text.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
	}
	go io.Copy(io.Discard, text)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDatabaseRefuses: what waiting does not mend is said at once.
func TestDatabaseRefuses(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(modelstest.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "wrong")
	began := time.Now()
	err = run(t.Context(), []string{"--listen", "127.0.0.1:0"}, env("TOKENWIRE_DATABASE", u.String()), io.Discard, io.Discard)
	if err == nil || time.Since(began) > databaseWait {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
