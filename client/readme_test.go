package client_test

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: the service that the README shows is the one that can be run.
func TestReadme(t *testing.T) {
	program, err := os.ReadFile("example/main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, main, _ := strings.Cut(string(program), "\nfunc main() {")
	if !strings.Contains(string(readme), "```go\nfunc main() {"+main+"```") {
		t.Error("README.md shows another main than client/example/main.go has")
	}
}
