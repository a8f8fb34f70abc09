package server_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// TestLeasesOutliveTheirServer: a verifier may not have noticed that the server is gone, and answers from what it holds until
// its lease runs out. The server that comes then knows nothing of it, and gives no receipt before.
func TestLeasesOutliveTheirServer(t *testing.T) {
	const lease = 3 * time.Second
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(context.Background(), overall)
		defer cancel()
		p := servertest.Start(t, url)
		session := p.SignIn("admin", servertest.Password)
		var service, token struct{ ID, Token string }
		p.Call(session, "/v1/api-tokens/create", &service, "service", map[string]any{"permissions": map[string]bool{"tokens:verify": true}})
		p.Call(session, "/v1/api-tokens/create", &token, "ci")
		ws, err := connect(ctx, p.URL(), service.Token, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		c := &caller{ws: ws}
		sent := time.Now()
		if _, code, err := c.call(ctx, "/v1/verifier/beat", []any{map[string]any{"lease": lease.Seconds()}}); code != 0 || err != nil {
			t.Fatal(code, err)
		}
		if _, code, err := c.call(ctx, "/v1/verifier/verify", []any{token.Token, map[string]any{"hold": true}}); code != 0 || err != nil {
			t.Fatal(code, err)
		}
		p.Kill()
		p.Start()
		status, answer, err := p.Post(ctx, session, "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,false]", token.ID))
		if took := time.Since(sent); err != nil || status != 200 || took < lease {
			t.Errorf("%v after the beat: %d %s %v", took, status, answer, err)
		}
		status, answer, err = p.Post(ctx, session, "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,true]", token.ID))
		if took := time.Since(sent); err != nil || status != 200 || took > lease+20*time.Second {
			t.Errorf("it goes on waiting, %v after the beat: %d %s %v", took, status, answer, err)
		}
	})
}
