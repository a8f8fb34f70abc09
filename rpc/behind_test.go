package rpc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// TestCallsOfANodeThatIsBehind: a node that cannot tell what has become of its connections' callers asks the database who they are
// by now, and where it cannot, refuses. What must work anyway does.
func TestCallsOfANodeThatIsBehind(t *testing.T) {
	const read, batch = "/v1/session/read", `[{"jsonrpc":"2.0","id":%d,"method":"/v1/session/read"}]`
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		caller := func() (token, *peer) {
			secret := b.create(models.PermissionManage)
			id, err := b.store.Authenticate(t.Context(), secret, "")
			if err != nil {
				t.Fatal(err)
			}
			return token{id.Credential.ID, secret}, b.connect(id)
		}
		stays, p := caller()
		ends, q := caller()
		v := b.verifier(60)
		p.news()
		q.news()
		everywhere := func(p *peer, want string) {
			t.Helper()
			for _, method := range []string{read, "/v1/events/count"} {
				p.call(method, "[]")
				p.want(fmt.Sprint(p.calls, want))
			}
			p.calls++
			p.in <- fmt.Sprintf(batch, p.calls)
			p.want(fmt.Sprint("[", p.calls, want, "]"))
		}
		everywhere(p, " ok")
		b.stops()
		time.Sleep(nodeLease)
		if _, err := a.store.SetTokenPermissions(t.Context(), a.by(), stays.id, models.Grants{}, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		a.switches(ends.secret, false)
		everywhere(p, " ok")
		everywhere(q, " error 401")
		p.call(read, "[]")
		p.news()
		if last := p.got[len(p.got)-1]; !strings.Contains(last, `"permissions":{}`) {
			t.Error("told of permissions that were taken:", last)
		}
		p.call("/v1/api-tokens/count", "[]")
		p.want(fmt.Sprint(p.calls, " error 403"))

		a.exec("ALTER TABLE users RENAME TO away")
		everywhere(p, " error -32603")
		v.call("rpc.discover", "[]")
		v.want(fmt.Sprint(v.calls, " ok"))
		v.call("/v1/verifier/confirm", "[0]")
		v.want(fmt.Sprint(v.calls, " ok"))
		v.call("/v1/verifier/release", "[]")
		v.want(fmt.Sprint(v.calls, " ok"))
		v.call("$/cancelRequest", `{"id":1}`)
		v.want(fmt.Sprint(v.calls, " ok"))
		a.exec("ALTER TABLE away RENAME TO users")
		b.s.hub.sweep(t.Context())
		p.want("permissions-changed, permissions-changed") // the token's, and its own
		everywhere(p, " ok")
	})
}

// TestCallsOfALostConnection: a connection that is closed as its feed cannot be read does not go on as who it was.
func TestCallsOfALostConnection(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		c := &Conn{service: l.s}
		if !c.current() {
			t.Error("it is not current")
		}
		p := l.session()
		f := l.s.hub.find(l.UserID)
		var conn *Conn
		for conn = range f.conns {
		}
		l.s.hub.drop(f)
		p.want("close 1012")
		if conn.current() {
			t.Error("it goes on")
		}
	})
}
