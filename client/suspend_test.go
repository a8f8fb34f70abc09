package client

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// suspendedURL names to the child where the server is.
const suspendedURL = "TOKENWIRE_TEST_SUSPENDED_URL"

// A process that stood still answers nothing from memory when it goes on: it cannot have heard of what changed meanwhile.
func TestSuspendedProcess(t *testing.T) {
	if url := os.Getenv(suspendedURL); url != "" {
		verifyLines(t, url)
		return
	}
	if programs.Unsupported != nil {
		programs.Missing(t, "process to suspend", programs.Unsupported)
	}
	s := newStage(t)
	server := httptest.NewServer(s)
	defer server.Close()
	token := s.mint("t1", nil)
	child := exec.Command(os.Args[0], "-test.run=^TestSuspendedProcess$")
	child.Env = append(os.Environ(), suspendedURL+"="+server.URL)
	questions, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var answers programs.Output
	child.Stdout, child.Stderr = &answers, &answers
	process, err := programs.Start(child)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill(patience)
	asked := 0
	ask := func() { asked++; fmt.Fprintln(questions, token) }
	answer := func(want string) {
		t.Helper()
		if err := process.Poll(patience, func() error {
			if lines := strings.Count(answers.String(), "active="); lines < asked {
				return fmt.Errorf("%d answers to %d questions", lines, asked)
			}
			return nil
		}); err != nil {
			t.Fatalf("%v: %s", err, answers.String())
		}
		lines := strings.Split(strings.TrimSpace(answers.String()), "\n")
		if got := lines[len(lines)-1]; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	ask()
	answer("active=true asked=1 <nil>")
	ask()
	answer("active=true asked=1 <nil>")
	if err := process.Freeze(patience); err != nil {
		t.Fatal(err)
	}
	s.on(methodBeat, func(*line, *request) any { return silent{} }) // so that nothing but its own clock tells it
	s.disable(token)
	ask()
	time.Sleep(2 * minLease) // real time, as that is what is tested
	if err := process.Thaw(); err != nil {
		t.Fatal(err)
	}
	answer("active=false asked=2 <nil>")
}

// verifyLines is the child: it verifies each line that it is given.
func verifyLines(t *testing.T, url string) {
	v, err := NewVerifier(t.Context(), VerifierOptions{URL: url, Token: credential, Lease: minLease})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		d, err := v.Verify(t.Context(), lines.Text())
		fmt.Printf("active=%v asked=%d %v\n", d.Active, v.Stats().Asked, err)
	}
}
