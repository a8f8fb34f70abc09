package client

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

func TestRequire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		reader := s.mint("reader", map[string]any{"permissions": []string{"repo:read", "z"}})
		bound := s.mint("bound", map[string]any{"permissions": []string{"repo:read", "z"}, "allowedIps": []string{"192.0.2.1"}}) // httptest's address
		elsewhere := s.mint("elsewhere", map[string]any{"permissions": []string{"repo:read", "z"}, "allowedIps": []string{"198.51.100.0/24"}})
		other := s.mint("other", map[string]any{"permissions": []string{"repo:write"}})
		bad := s.mint("bad", nil)
		s.disable(bad)
		handler := v.Require("repo:read", "z")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(FromContext(r.Context()).TokenID))
		}))
		for _, c := range []struct {
			name        string
			credentials []string
			status      int
			challenge   string
			body        string
		}{
			{"good", []string{"Bearer " + reader}, 200, "", "reader"},
			{"good again, in capitals", []string{"BEARER  " + reader}, 200, "", "reader"},
			{"from its address", []string{"Bearer " + bound}, 200, "", "bound"},
			{"none", nil, 401, challenge, ""},
			{"another scheme", []string{"Basic YTpi"}, 401, challenge, ""},
			{"empty", []string{""}, 401, challenge, ""},
			{"half", []string{"Bearer"}, 400, challenge + `, error="invalid_request"`, ""},
			{"half and a blank", []string{"Bearer "}, 400, challenge + `, error="invalid_request"`, ""},
			{"two headers", []string{"Bearer " + reader, "Bearer " + reader}, 400, challenge + `, error="invalid_request"`, ""},
			{"two in one", []string{"Bearer " + reader + ", Bearer " + reader}, 400, challenge + `, error="invalid_request"`, ""},
			{"bad", []string{"Bearer " + bad}, 401, challenge + `, error="invalid_token"`, ""},
			{"rubbish", []string{"Bearer x"}, 401, challenge + `, error="invalid_token"`, ""},
			{"a permission is missing", []string{"Bearer " + other}, 403, challenge + `, error="insufficient_scope", scope="repo:read z"`, ""},
			{"from elsewhere", []string{"Bearer " + elsewhere}, 403, "", ""},
		} {
			r := httptest.NewRequest("GET", "/repos?access_token="+reader, nil)
			r.Header["Authorization"] = c.credentials
			r.AddCookie(&http.Cookie{Name: "tokenwire", Value: reader})
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge || c.status == 200 && w.Body.String() != c.body {
				t.Errorf("%s: %d %q %s", c.name, w.Code, w.Header(), w.Body)
			}
			if c.status != 200 && w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be cached", c.name)
			}
		}
		v.Close()
		if sum := s.reports(); sum["reader"] != (use{2, 0}) || sum["bound"] != (use{1, 0}) || sum["other"] != (use{0, 1}) || sum["elsewhere"] != (use{0, 1}) || len(sum) != 4 {
			t.Errorf("reported %v", sum)
		}
	})
}

func TestRequireLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{ClientIP: func(r *http.Request) (netip.Addr, bool) { return netip.Addr{}, false }})
		token := s.mint("t1", nil)
		data := json.RawMessage(`{"retryAfterMs":1500}`)
		visit := func(want int, after string) {
			t.Helper()
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			v.Require()(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != want || w.Header().Get("Retry-After") != after {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		}
		s.on(methodVerify, func(*line, *request) any {
			return &jsonrpc2.Error{Code: codeTooMany, Message: "over its rate limit", Data: &data}
		})
		visit(429, "2")
		s.on(methodVerify, func(*line, *request) any { return &jsonrpc2.Error{Code: codeUnavailable} })
		visit(503, "1")
		s.on(methodVerify, func(l *line, r *request) any { return l.facts(r) })
		visit(404, "") // it is let in
		s.last().changed("t1")
		s.mint("t1", map[string]any{"allowedIps": []string{"0.0.0.0/0", "::/0"}})
		synctest.Wait()
		visit(403, "") // nobody knows where it comes from
		time.Sleep(time.Second)
	})
}

// A wrong permission is found when the service starts, not when somebody comes.
func TestRequireNoPermission(t *testing.T) {
	for _, id := range []string{"", "a b", `a"b`, "A"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken", id)
				}
			}()
			(&Verifier{}).Require(id)
		}()
	}
}
