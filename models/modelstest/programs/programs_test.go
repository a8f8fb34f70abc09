package programs

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// verdict records the first way in which a test was given up. A real one would
// end there.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) { v.record("skip: ", format, args) }

func (v *verdict) Fatalf(format string, args ...any) { v.record("fail: ", format, args) }

func (v *verdict) record(kind, format string, args []any) {
	if v.text == "" {
		v.text = kind + fmt.Sprintf(format, args...)
	}
}

func TestMissing(t *testing.T) {
	for value, want := range map[string]string{"": "skip: no such thing: ", "0": "skip: ", "1": "fail: no such thing, and "} {
		t.Setenv(noSkipVariable, value)
		v := &verdict{TB: t}
		Missing(v, "such thing", errors.New("look elsewhere"))
		if !strings.HasPrefix(v.text, want) || !strings.Contains(v.text, "look elsewhere") {
			t.Errorf("%s=%q: want %q and the reason, got %q", noSkipVariable, value, want, v.text)
		}
	}
}

func TestEndsNeedMain(t *testing.T) {
	if err := AtEnd(func() error { return nil }); err == nil {
		t.Error("what nobody will end was taken")
	}
}

// A port is given once, also where nothing listens there.
func TestFreePortsDiffer(t *testing.T) {
	given := map[int]bool{}
	for range 400 { // among 12768, some would come again
		runtime.GC()
		err := OnFreePort(func(port int) error {
			if given[port] {
				t.Errorf("port %d was given twice", port)
			}
			given[port] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
