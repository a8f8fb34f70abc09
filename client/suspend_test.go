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
	count := 0
	ask := func() { count++; fmt.Fprintln(questions, token) }
	answer := func() (active bool, asked int) {
		t.Helper()
		if err := process.Poll(patience, func() error {
			if n := strings.Count(answers.String(), "done\n"); n < count {
				return fmt.Errorf("%d answers to %d questions", n, count)
			}
			return nil
		}); err != nil {
			t.Fatalf("%v: %s", err, answers.String())
		}
		lines := strings.Split(strings.TrimSpace(answers.String()), "\n")
		if _, err := fmt.Sscanf(lines[len(lines)-1], "active=%t asked=%d <nil> done", &active, &asked); err != nil {
			t.Fatalf("%v: %s", err, answers.String())
		}
		return active, asked
	}
	asked := 0
	for isHeld := false; !isHeld; { // at once, but on a slow machine its lease may run out between
		ask()
		active, now := answer()
		if !active || now > 100 {
			t.Fatalf("active: %v, asked %d times", active, now)
		}
		isHeld, asked = now == asked, now
	}
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
	if active, now := answer(); active || now != asked+1 {
		t.Errorf("active: %v, asked %d times, and %d before", active, now, asked)
	}
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
		fmt.Printf("active=%v asked=%d %v done\n", d.Active, v.Stats().Asked, err)
	}
}
