package servertest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// built is the program, which all tests of this process run.
var built struct {
	once   sync.Once
	binary string
	err    error
}

func build(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.binary, built.err = Build() })
	if built.err != nil {
		t.Fatalf("build Tokenwire: %v", built.err)
	}
	return built.binary
}

// Build builds the program with more flags for go build, and returns the file, which is there for as long as this process.
func Build(flags ...string) (binary string, err error) {
	folder, err := os.MkdirTemp("", "tokenwire-binary-")
	if err == nil {
		err = programs.AtEnd(func() error { return os.RemoveAll(folder) })
	}
	if err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "tokenwire")
	args := slices.Concat([]string{"build", "-o", binary}, flags, []string{"github.com/tokenwire/tokenwire"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}

// BuildChanged is Build of another version of the program: one with these files, whose names are relative to the module's folder,
// in place of those that are there, or in addition to them.
func BuildChanged(files map[string]string) (binary string, err error) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp("", "tokenwire-changed-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		file := filepath.Join(folder, fmt.Sprint(len(overlay.Replace)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(strings.TrimSpace(string(module)), name)] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", err
	}
	return Build("-overlay", list)
}

// BesideChanged is Beside with a program that is built with these files, as BuildChanged does.
func (p *Program) BesideChanged(files map[string]string, args ...string) *Program {
	p.t.Helper()
	binary, err := BuildChanged(files)
	p.must("build", err)
	return StartWith(p.t, Setup{Database: p.database, Key: p.key, Args: args, Binary: binary, Host: p.host})
}
