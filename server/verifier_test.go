//go:build linux

package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

// How long the services of these tests may answer from what they hold: usually, so that a slow machine does not end it and no
// beat comes to confirm what should have been confirmed at once; and where a test waits for its end.
const (
	usualLease  = time.Minute
	shortLease  = time.Second
	killedLease = 3 * time.Second
)

// TestVerifier runs web/verifier.js under Node.js, in a service that asks a real server about its callers' tokens.
func TestVerifier(t *testing.T) {
	t.Parallel()
	node := nodeCommand(t)
	modelstest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		p := run(t, url)
		p.Call(p.session, "/v1/permissions/create", nil, "repo:read")
		p.Call(p.session, "/v1/users/update-permissions", nil, p.me(), map[string]bool{"repo:read": true})
		for _, scenario := range []struct {
			name         string
			lease, grace time.Duration
			run          func(*testing.T, *program, *service)
		}{
			// First those that kill the server: the next one gives no receipt before the longest lease of the one before is over.
			{"killed server", killedLease, 0, serviceCut},
			{"grace", killedLease, time.Minute, serviceGrace},
			{"revocation", usualLease, 0, serviceRevocation},
			{"changes", usualLease, 0, serviceChanges},
			{"stopped", shortLease, 0, serviceStopped},
			{"frozen server", shortLease, 0, serviceFrozen},
			{"close", usualLease, 0, serviceClose},
		} {
			t.Run(scenario.name, func(t *testing.T) { scenario.run(t, p, serve(t, p, node, scenario.lease, scenario.grace)) })
		}
	})
}

// service is web/testdata/verifier.mjs.
type service struct {
	t       *testing.T
	process *programs.Process
	errors  programs.Output
	stdin   io.WriteCloser
	answers *bufio.Scanner
	port    int
}

// verdict is what became of a question to a service: an error's name, or a decision.
type verdict struct {
	Active, Allowed, Stale bool
	Username               string
	Permissions            []string
	Error                  string
	RetryAfterMs           float64
	Requests               int
}

// serve starts a service with a token of its own.
func serve(t *testing.T, p *program, node []string, lease, grace time.Duration) *service {
	t.Helper()
	s := &service{t: t}
	script := filepath.Join("..", "web", "testdata", "verifier.mjs")
	command := exec.Command(node[0], append(node[1:len(node):len(node)], script)...)
	_, own := p.token(t, "tokens:verify")
	command.Env = append(os.Environ(), "NODE_NO_WARNINGS=1", "TOKENWIRE_URL="+p.URL(), "TOKENWIRE_TOKEN="+own,
		fmt.Sprint("LEASE=", lease.Seconds()), fmt.Sprint("GRACE=", grace.Seconds()))
	command.Stderr = &s.errors
	stdout, w := io.Pipe()
	command.Stdout = w
	var err error
	if s.stdin, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if s.process, err = programs.Start(command); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(scenarioTime, func() { w.CloseWithError(context.DeadlineExceeded) })
	t.Cleanup(func() {
		late.Stop()
		s.process.Kill(patience)
		w.Close()
		if t.Failed() {
			t.Logf("the service's errors:\n%s", s.errors.String())
		}
	})
	s.answers = bufio.NewScanner(stdout)
	var greeting struct{ Port int }
	s.hear(&greeting)
	s.port = greeting.Port
	return s
}

// say puts a question to the service, whose answer is to be heard.
func (s *service) say(token string, permissions ...string) {
	s.t.Helper()
	line, err := json.Marshal(map[string]any{"token": token, "question": map[string]any{"permissions": append([]string{}, permissions...)}})
	if err == nil {
		_, err = s.stdin.Write(append(line, '\n'))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// hear reads the service's next answer.
func (s *service) hear(answer any) {
	s.t.Helper()
	if !s.answers.Scan() {
		s.t.Fatalf("the service says nothing more: %v\n%s", s.answers.Err(), s.errors.String())
	}
	if err := json.Unmarshal(s.answers.Bytes(), answer, json.MatchCaseInsensitiveNames(true)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) ask(token string, permissions ...string) (v verdict) {
	s.t.Helper()
	s.say(token, permissions...)
	s.hear(&v)
	return v
}

// want asks about a token and wants what came of it, but for how many requests it took.
func (s *service) want(what, token, want string, permissions ...string) {
	s.t.Helper()
	if v := s.ask(token, permissions...); v.String() != want {
		s.t.Errorf("%s: %v, want %s", what, v, want)
	}
}

// held waits until the service answers from what it holds: it may be asking under a lease that is just beginning.
func (s *service) held(token string) {
	s.t.Helper()
	until(s.t, patience, "the facts to be held", func() bool {
		v := s.ask(token)
		return v.String() == "good" && v.Requests == 0
	})
}

// get is a caller of the service, and returns the answer's status.
func (s *service) get(token string) (status int, challenge string) {
	s.t.Helper()
	r, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/", s.port), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("WWW-Authenticate")
}

func (v verdict) String() string {
	switch {
	case v.Error != "":
		return v.Error
	case !v.Active:
		return "bad"
	case v.Stale:
		return "stale"
	case !v.Allowed:
		return "denied"
	}
	return "good"
}

// receipt is what a revocation says of the verifiers.
type receipt struct {
	Receipt struct {
		Verifiers, Confirmed, Expired int
		ElapsedMs                     float64
	} `json:"receipt"`
}

// me returns the administrator's id.
func (p *program) me() string {
	var r struct{ User struct{ ID string } }
	p.Call(p.session, "/v1/session/read", &r)
	return r.User.ID
}

// token makes a token with permissions.
func (p *program) token(t *testing.T, permissions ...string) (id, text string) {
	t.Helper()
	grants := map[string]bool{}
	for _, permission := range permissions {
		grants[permission] = true
	}
	var token struct{ ID, Token string }
	p.Call(p.session, "/v1/api-tokens/create", &token, "of a test", map[string]any{"permissions": grants})
	return token.ID, token.Token
}

// revoke disables a token and wants a receipt of so many verifiers.
func (p *program) revoke(t *testing.T, id string, confirmed, expired int) {
	t.Helper()
	var r receipt
	p.Call(p.session, "/v1/api-tokens/set-enabled", &r, id, false)
	if got := r.Receipt; got.Verifiers != confirmed+expired || got.Confirmed != confirmed || got.Expired != expired {
		t.Errorf("the receipt is %+v, want %d confirmed and %d expired", got, confirmed, expired)
	} else if confirmed > 0 && got.ElapsedMs > float64(patience.Milliseconds()) {
		t.Errorf("it was confirmed after %v ms", got.ElapsedMs)
	}
}

func serviceRevocation(t *testing.T, p *program, s *service) {
	id, token := p.token(t, "repo:read")
	s.held(token)
	if status, _ := s.get(token); status != http.StatusOK {
		t.Errorf("a caller with a good token: %d", status)
	}
	p.revoke(t, id, 1, 0)
	s.want("a disabled token", token, "bad")
	if status, challenge := s.get(token); status != http.StatusUnauthorized || challenge != `Bearer realm="tokenwire", error="invalid_token"` {
		t.Errorf("a caller with a disabled token: %d %s", status, challenge)
	}
	p.Call(p.session, "/v1/api-tokens/set-enabled", nil, id, true)
	s.want("enabled again", token, "good")
	s.want("a session", p.session, "bad")
	s.want("rubbish", "twt_x", "bad")
	if status, challenge := s.get(""); status != http.StatusUnauthorized || challenge != `Bearer realm="tokenwire"` {
		t.Errorf("a caller without a token: %d %s", status, challenge)
	}
}

func serviceChanges(t *testing.T, p *program, s *service) {
	id, token := p.token(t, "repo:read")
	s.held(token)
	s.want("a permission that it has", token, "good", "repo:read")
	s.want("one that it has not", token, "denied", "repo:read", "admin")
	var r receipt
	p.Call(p.session, "/v1/api-tokens/set-permissions", &r, id, map[string]bool{"admin": true})
	if r.Receipt.Confirmed != 1 {
		t.Errorf("the receipt is %+v", r)
	}
	s.want("one that it had", token, "denied", "repo:read")
	s.want("one that it has now", token, "good", "admin")
	if status, challenge := s.get(token); status != http.StatusForbidden || challenge != `Bearer realm="tokenwire", error="insufficient_scope", scope="repo:read"` {
		t.Errorf("a caller without the permission: %d %s", status, challenge)
	}
	p.Call(p.session, "/v1/api-tokens/update", nil, id, map[string]any{"allowedIps": []string{"192.0.2.0/24"}})
	p.Call(p.session, "/v1/api-tokens/update-permissions", nil, id, map[string]bool{"repo:read": true})
	if status, challenge := s.get(token); status != http.StatusForbidden || challenge != "" {
		t.Errorf("a caller from elsewhere: %d %s", status, challenge)
	}
	end := time.Now().Add(time.Second)
	p.Call(p.session, "/v1/api-tokens/update", nil, id, map[string]any{"allowedIps": nil, "expiresAt": end})
	s.ask(token) // it is held, on a machine that is not too slow
	time.Sleep(time.Until(end))
	s.want("at its end", token, "bad", "admin")

	_, limited := p.limited(t)
	s.want("within its rate limit", limited, "good")
	s.want("as often as may be", limited, "good")
	if v := s.ask(limited); v.Error != "RateLimited" || v.RetryAfterMs <= 0 {
		t.Errorf("over its rate limit: %+v", v)
	}
}

// limited makes a token that may be used twice in an hour.
func (p *program) limited(t *testing.T) (id, text string) {
	t.Helper()
	var token struct{ ID, Token string }
	p.Call(p.session, "/v1/api-tokens/create", &token, "limited", map[string]any{"rateLimit": map[string]int{"requests": 2, "window": 3600}})
	return token.ID, token.Token
}

// serviceStopped stops the service itself for twice its lease. The question is there before it goes on, so that nothing
// that the server has said meanwhile need have been read.
func serviceStopped(t *testing.T, p *program, s *service) {
	id, token := p.token(t)
	s.held(token)
	if err := s.process.Freeze(patience); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.revoke(t, id, 0, 1)
	time.Sleep(2*shortLease - time.Since(began))
	s.say(token)
	if err := s.process.Thaw(); err != nil {
		t.Fatal(err)
	}
	var v verdict
	if s.hear(&v); v.String() != "bad" || v.Requests == 0 {
		t.Errorf("disabled while the service stood still: %+v", v)
	}
}

func serviceFrozen(_ *testing.T, p *program, s *service) {
	_, token := p.token(s.t)
	s.held(token)
	p.Freeze()
	time.Sleep(shortLease)
	s.want("held, and the lease is over", token, "Unavailable")
	p.Thaw()
	s.held(token)
}

func serviceCut(t *testing.T, p *program, s *service) {
	id, token := p.token(t)
	s.held(token)
	p.Kill()
	until(t, patience, "the connection to be lost", func() bool { return s.ask(token).String() == "Unavailable" })
	s.want("rubbish needs no server", "twt_x", "bad")
	if status, _ := s.get(token); status != http.StatusServiceUnavailable {
		t.Errorf("a caller while the server is away: %d", status)
	}
	p.Start()
	s.held(token)
	p.revoke(t, id, 1, 0)
	s.want("disabled", token, "bad")
}

func serviceGrace(t *testing.T, p *program, s *service) {
	id, token := p.token(t)
	s.held(token)
	p.Kill()
	until(t, patience, "the connection to be lost", func() bool { return s.ask(token).String() == "stale" })
	p.Start()
	s.held(token)
	p.revoke(t, id, 1, 0)
	s.want("disabled", token, "bad")
	p.Kill()
	s.want("disabled, and the server is away", token, "Unavailable")
	p.Start()
}

// serviceClose ends the service as it should be: nobody waits for it, and nothing keeps its process.
func serviceClose(t *testing.T, p *program, s *service) {
	id, token := p.token(t)
	s.held(token)
	if err := s.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Wait(patience); err != nil || s.process.Err() != nil {
		t.Fatalf("the service has not ended: %v %v", err, s.process.Err())
	}
	p.revoke(t, id, 0, 0)
}
