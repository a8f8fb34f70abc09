package rpc

import (
	"context"
	"testing"
	"time"
)

// TestReadsOfOneUser: of calls that go through many rows a user has few under way, and more wait for their turn within their own
// time. That holds up neither others, nor what takes something away, nor who asks about tokens.
func TestReadsOfOneUser(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ada := l.user("ada")
		token := l.good()
		var leaves []func()
		for range maxReadsOfUser {
			leave, err := l.s.turns.Enter(context.Background(), l.UserID)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		for method, params := range map[string]string{
			"/v1/api-tokens/count": "", "/v1/api-tokens/get-permissions": `["` + token.id + `"]`, "/v1/api-tokens/read": "",
			"/v1/api-tokens/usage": `["` + token.id + `"]`, "/v1/events/count": "", "/v1/events/read": "", "/v1/permissions/get-holders": `["admin"]`,
			"/v1/permissions/read": "", "/v1/sessions/read": "", "/v1/users/get-permissions": `["` + l.UserID + `"]`, "/v1/users/read": "",
		} {
			call := l.post(method, "%s", params)
			if call.want("waits"); t.Failed() {
				t.Fatal(method)
			}
			call.hangUp()
			<-call.done
		}
		l.postAs(ada.Identity, "/v1/events/count", "").want("0=0+0")
		v := l.verifier(5, token)
		v.want("")
		l.post(setEnabled, "[%q,false]", l.good().id).want("0=0+0")
		l.post("/v1/api-tokens/delete", "[%q]", l.good().id).want("0=0+0")
		first, second := l.post("/v1/events/count", ""), l.post("/v1/events/count", "")
		first.want("waits")
		leaves[0]()
		first.want("0=0+0")
		second.want("0=0+0")
		leave, err := l.s.turns.Enter(context.Background(), l.UserID)
		if err != nil {
			t.Fatal(err)
		}
		late := l.post("/v1/events/count", "")
		time.Sleep(callTimeout)
		late.want("error 503")
		leave()
		leaves[1]()
		if l.s.turns.Len() != 0 {
			t.Error("something is left of", l.s.turns.Len())
		}
	})
}
