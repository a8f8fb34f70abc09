//go:build linux

package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// childVariable makes TestChild run, in a test process of its own.
const childVariable = "TOKENWIRE_BROWSER_CHILD"

// TestChild is not a test: it is what the test below runs in a process of its own. It opens a window, says so, and goes on
// until its input ends.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	b := newBrowser(t, serveSamples(t))
	b.open("/")
	fmt.Println("there is a window")
	io.Copy(io.Discard, os.Stdin)
}

// TestNothingIsLeft holds that no process of Chromium outlives the tests, however they end, and no file where they end in
// order.
func TestNothingIsLeft(t *testing.T) {
	requireChromium(t)
	for _, test := range []struct {
		name   string
		killed bool
	}{{"in order", false}, {"killed", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			child, input := startChild(t, temp)
			if n := processesWith(temp); n < 3 {
				t.Errorf("%d processes of Chromium are found while there should be several", n)
			}
			if test.killed {
				child.Process.Kill()
			}
			input.Close()
			if err := child.Wait(); err != nil && !test.killed {
				t.Errorf("the child: %v", err)
			}
			for deadline := time.Now().Add(endLimit); processesWith(temp) > 0; time.Sleep(glance) {
				if time.Now().After(deadline) {
					t.Fatalf("%d processes of Chromium outlived their tests", processesWith(temp))
				}
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 && !test.killed {
				t.Errorf("left in the temporary folder: %v, %v", left, err)
			}
		})
	}
}

// startChild runs TestChild with its temporary files in a folder, until it has a window.
func startChild(t *testing.T, temp string) (child *exec.Cmd, input io.Closer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*startLimit)
	t.Cleanup(cancel)
	child = exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+temp)
	child.Stderr = os.Stderr
	input, inputErr := child.StdinPipe()
	output, outputErr := child.StdoutPipe()
	if err := errors.Join(inputErr, outputErr, child.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if lines.Text() == "there is a window" {
			return child, input
		}
		t.Log("child:", lines.Text())
	}
	t.Fatalf("the child ended early: %v", child.Wait())
	return nil, nil
}

// processesWith counts the processes that have a folder in their command line, as all of Chromium's have their profile's.
func processesWith(folder string) (n int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && bytes.Contains(b, []byte(folder)) {
			n++
		}
	}
	return n
}
