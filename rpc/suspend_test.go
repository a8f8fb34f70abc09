package rpc

import "testing"

// TestSuspendedMachine: a node whose machine was suspended answers nothing from memory before it has looked, though the clock that
// measures times stood still.
func TestSuspendedMachine(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		h := l.s.hub
		token := l.good()
		if l.ask(token); h.known(token.digest()) == nil {
			t.Fatal("it is not kept")
		}
		h.sweptAt.Add(-int64(nodeLease)) // so long ago it is by the clock on the wall
		if h.known(token.digest()) != nil {
			t.Error("it answers from what it knew")
		}
		h.sweep(t.Context())
		if h.known(token.digest()) == nil {
			t.Error("it knows nothing any more")
		}
		h.sweptAt.Add(int64(nodeLease)) // the clock was put back
		if h.known(token.digest()) == nil {
			t.Error("it knows nothing where the clock was put back")
		}
	})
}
