package servertest

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

// silence is how long a frozen program is watched for an answer, which a running one gives within milliseconds.
const silence = 300 * time.Millisecond

// However it ends, it comes back at the same address with what it knew.
func TestProgram(t *testing.T) {
	p := Start(t, "sqlite:"+filepath.Join(t.TempDir(), "tokenwire.db"))
	url, admin := p.URL(), p.SignIn("admin", Password)
	for _, end := range []func(){p.Kill, p.Stop, func() { p.Freeze(); p.Kill() }} {
		end()
		if p.Running() || p.Ready() != 0 {
			t.Error("it runs after its end")
		}
		p.Start()
		if p.URL() != url || p.Ready() != http.StatusOK {
			t.Errorf("it was at %s and is at %s, /readyz says %d", url, p.URL(), p.Ready())
		}
		var session struct{ User struct{ Username string } }
		if p.Call(admin, "/v1/session/read", &session); session.User.Username != "admin" {
			t.Errorf("the session is of %+v", session)
		}
	}
	p.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	if status, answer, err := p.Post(ctx, admin, "/v1/session/read", "[]"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen program: %d %s %v", status, answer, err)
	}
	p.Thaw()
	if p.Ready() != http.StatusOK {
		t.Error("it does not answer once it is thawed")
	}
}

// Two programs never get one port, and the second one says why.
func TestTakenPort(t *testing.T) {
	first := Start(t, "sqlite:"+filepath.Join(t.TempDir(), "tokenwire.db"))
	second := Start(t, "sqlite:"+filepath.Join(t.TempDir(), "tokenwire.db"))
	second.Stop()
	second.port = first.port
	if err := second.start(); !errors.Is(err, programs.ErrPortTaken) || !strings.Contains(second.Log(), "--listen") {
		t.Errorf("got %v, and the log %s", err, second.Log())
	}
}
