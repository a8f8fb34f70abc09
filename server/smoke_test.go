package server_test

import (
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestPush is the shortest path through all of it: a change through one connection arrives on another, and the caller's
// reply comes before his own notification.
func TestPush(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := start(t, url)
		a, b := i.dial(i.session, ""), i.dial(i.session, "")
		for _, c := range []*conn{a, b} {
			if ready := c.next(); !strings.HasPrefix(ready, `{"jsonrpc":"2.0","method":"/v1/session/ready"`) {
				t.Fatal(ready)
			}
		}
		a.send(`{"jsonrpc":"2.0","id":1,"method":"/v1/api-tokens/create","params":["ci"]}`)
		if reply := a.next(); !strings.HasPrefix(reply, `{"jsonrpc":"2.0","id":1,"result":{"id":"`) {
			t.Error(reply)
		}
		for _, c := range []*conn{a, b} {
			if event := c.next(); !strings.HasPrefix(event, `{"jsonrpc":"2.0","method":"/v1/api-tokens/created"`) || strings.Contains(event, `"token":"twt_`) {
				t.Error(event)
			}
		}
		a.send(`{"jsonrpc":"2.0","id":"x","method":"/v1/session/sign-out"}`)
		if reply := a.next(); reply != `{"jsonrpc":"2.0","id":"x","result":{}}` {
			t.Error(reply)
		}
		for _, c := range []*conn{a, b} {
			if ended := c.next(); !strings.Contains(ended, `"reason":"signed-out"`) {
				t.Error(ended)
			}
			if code := c.closed(); code != 4401 {
				t.Error("closed with", code)
			}
		}
	})
}
