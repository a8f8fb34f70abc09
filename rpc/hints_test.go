package rpc

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// seqOf returns the number of what a node acknowledged last of the administrator's events, or 0.
func (l *lab) seqOf(node *lab) int64 {
	l.t.Helper()
	return l.row("SELECT COALESCE(MAX(seq), 0) FROM acknowledgements WHERE user_id = ? AND node_id = ?", l.UserID, node.s.hub.nodeID())
}

// TestSaidOnce: hints that bring nothing new have a node write nothing, and look now and then only, however many there are. What
// the database does not say any more is said again.
func TestSaidOnce(t *testing.T) {
	for name, here := range map[string]bool{"of a user who is here": true, "of a user who is nobody's here": false} {
		t.Run(name, func(t *testing.T) {
			inNodes(t, 2, "delivers", func(t *testing.T, nodes []*lab) {
				a, b := nodes[0], nodes[1]
				token := a.good()
				if here {
					b.session().want("")
				}
				wanted := func() {
					b.s.hub.hinted(HintWanted, a.UserID, 1)
					time.Sleep(2 * hintRest)
				}
				a.post(setEnabled, "[%q,false]", token.id).wantWithin(0, hintWait-1, "0=0+0")
				time.Sleep(2 * hintRest)
				before, looks := a.seqOf(b), b.s.hub.node.seq.Load()
				const flood = 100 * hintRest
				for range 1000 {
					b.s.hub.hinted(HintWanted, a.UserID, 1)
					time.Sleep(flood / 1000)
				}
				if got := a.seqOf(b); got != before || before == 0 {
					t.Errorf("it has said number %d, after %d", got, before)
				}
				if n := b.s.hub.node.seq.Load() - looks; n < 50 || n > 101 {
					t.Errorf("it has looked %d times", n)
				}
				for _, lost := range []string{
					"DELETE FROM acknowledgements", "UPDATE acknowledgements SET settled = 0", "UPDATE acknowledgements SET position = position - 1",
					"UPDATE acknowledgements SET time = 0",
				} {
					a.exec(lost)
					if wanted(); a.seqOf(b) <= before || a.row("SELECT COUNT(*) FROM acknowledgements WHERE NOT settled OR time = 0 OR position <> (SELECT position FROM feeds WHERE feeds.user_id = acknowledgements.user_id)") != 0 {
						t.Error("not said again after", lost)
					}
					before = a.seqOf(b)
				}
				for range 4 {
					b.s.hub.hinted(HintWanted, a.UserID, 1)
					a.post(setEnabled, "[%q,true]", token.id).wantWithin(0, 2*hintRest, "0=0+0")
				}
			})
		})
	}
}

// TestFloodOfHints: hints that somebody makes up neither end a wait before its time, nor make it longer.
func TestFloodOfHints(t *testing.T) {
	inNodes(t, 2, "delivers", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		v := b.verifier(60, token)
		over := make(chan struct{})
		defer close(over)
		go func() {
			for n := int64(0); ; n++ {
				select {
				case <-over:
					return
				case <-time.After(hintRest / 10):
					b.s.hub.hinted(HintWanted, a.UserID, n)
					b.s.hub.hinted(HintChanged, a.UserID, 1_000_000)
				}
			}
		}()
		for n := range 4 {
			call := a.post(setEnabled, "[%q,false]", token.id)
			time.Sleep(time.Second)
			call.want("waits")
			v.want(fmt.Sprint("changed ", n+1))
			v.confirm(n + 1)
			call.wantWithin(time.Second, time.Second+3*hintRest, "1=1+0")
			a.post(setEnabled, "[%q,true]", token.id).wantWithin(0, 3*hintRest, "0=0+0")
			v.hold(token)
		}
	})
}

// TestOwedEndIsSaid: that a feed is settled is said, though the database says so, where a sweep has begun to say that it is not.
func TestOwedEndIsSaid(t *testing.T) {
	inNodes(t, 2, "delivers", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		v := b.verifier(60, token)
		h := b.s.hub
		wanted := func() {
			h.hinted(HintWanted, a.UserID, 1)
			time.Sleep(2 * hintRest)
		}
		wanted()
		if a.seqOf(b) == 0 {
			t.Fatal("it has said nothing")
		}
		l := b.leaseOf(v)
		for f, ids := range l.some(1) {
			h.takeBack(l, f, ids)
		}
		late, _, _ := h.acknowledgements(h.nodeID())
		if len(late) != 1 || late[0].Settled {
			t.Fatal("it does not wait:", late)
		}
		v.want("changed 1")
		v.confirm(1)
		wanted()
		if err := b.store.Acknowledge(t.Context(), []models.Acknowledgement{late[0]}); err != nil {
			t.Fatal(err)
		}
		if a.row("SELECT COUNT(*) FROM acknowledgements WHERE NOT settled") != 0 {
			t.Error("who waits does so for a lease")
		}
	})
}

// TestHintsMeanwhile: hints that come while a user is looked into, or rests after that, are merged into one for the next look.
func TestHintsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n hints
		n.init()
		want := func(hints map[string]hint) {
			t.Helper()
			if got := n.take(); !maps.Equal(got, hints) {
				t.Errorf("to look into: %v, want %v", got, hints)
			}
		}
		n.add("ada", hint{false, 3})
		n.add("bea", hint{true, 2})
		want(map[string]hint{"ada": {false, 3}, "bea": {true, 2}})
		n.add("ada", hint{true, 4})
		n.rest([]string{"ada", "bea"})
		n.add("ada", hint{false, 3})
		n.add("cid", hint{false, 1})
		want(map[string]hint{"cid": {false, 1}})
		<-n.wake
		time.Sleep(hintRest)
		<-n.wake
		want(map[string]hint{"ada": {true, 4}})
		if len(n.resting)+len(n.later) > 0 {
			t.Error("they rest for ever")
		}
	})
}

// TestHintOfWhatIsRead: a hint of what was read since it came brings about no look, and no rest.
func TestHintOfWhatIsRead(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		b := nodes[1]
		b.session().want("")
		f := b.s.hub.find(b.UserID)
		f.mu.Lock()
		last := f.last
		f.mu.Unlock()
		for says, rests := range map[hint]bool{{false, last}: false, {false, last + 1}: true, {true, last}: false} {
			inVain := b.s.hub.lookInto(t.Context(), map[string]hint{b.UserID: says})
			if len(inVain) > 0 != rests {
				t.Errorf("%+v: in vain: %v", says, inVain)
			}
		}
	})
}

// TestHintsOfChangesAreFast: who makes one change after the other waits for no rest.
func TestHintsOfChangesAreFast(t *testing.T) {
	inNodes(t, 2, "delivers", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		b.session().want("")
		for n := range 20 {
			a.post(setEnabled, "[%q,%v]", token.id, n%2 != 0).wantWithin(0, hintRest-1, "0=0+0")
		}
	})
}
