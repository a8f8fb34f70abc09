package rpc

import (
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// TestHeldInAll: what verifiers hold is bounded in all and by user, also under the leases of connections that have ended. What is
// beyond is answered and not held, and there is room again when something is let go of, in whichever way.
func TestHeldInAll(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		h := l.s.hub
		ada := l.user("ada")
		adas := func() *peer {
			v := l.connect(newIdentity(l, ada))
			v.beat(60)
			return v
		}
		tokens := []token{l.good(), l.good(), l.good(), l.good()}
		v := adas()
		f := h.find(ada.UserID)
		h.held.most, f.held.most = 3, 2
		v.hold(tokens[0])
		v.hold(tokens[0])
		v.hold(tokens[1])
		v.gone()
		v = adas()
		v.verify(tokens[2]) // as the lease of before goes on
		v.want("2 active")
		other := l.verifier(60, tokens[2]) // the administrator's
		other.verify(tokens[3])
		other.want("3 active")
		if n := h.held.held.Load(); n != 3 {
			t.Error(n, "are held")
		}
		if _, err := l.store.SetTokenEnabled(t.Context(), l.by(), tokens[2].id, false, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		other.want("changed 1")
		other.hold(tokens[3])
		other.call("/v1/verifier/release", "[]")
		other.want("5 ok")
		if n := h.held.held.Load(); n != 2 {
			t.Error(n, "are held after a release")
		}
		time.Sleep(time.Minute + sweepEvery)
		if n := h.held.held.Load(); n != 0 || f.held.held.Load() != 0 {
			t.Error(n, "are held after all")
		}
		v.beat(60)
		v.hold(tokens[0])
	})
}
