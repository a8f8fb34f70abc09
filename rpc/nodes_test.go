package rpc

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// TestOtherNodesVerifiers: a receipt waits for the verifiers of other nodes, and counts them.
func TestOtherNodesVerifiers(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		token := a.good()
		u, v := a.verifier(60, token), b.verifier(60, token)
		call := a.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(2 * time.Second)
		u.want("changed 1")
		v.want("changed 1")
		u.confirm(1)
		time.Sleep(time.Second)
		call.want("waits")
		v.confirm(1)
		call.wantWithin(3*time.Second, 3*time.Second+slack, "2=2+0")
		if b.s.hub.known(token.digest()) != nil {
			t.Error("another node still takes it")
		}
		call = a.post(setEnabled, "[%q,true]", token.id)
		call.wantWithin(0, slack, "0=0+0")
	})
}

// TestHintsAreFast: where hints come, nobody waits for a sweep: neither for a receipt nor for events.
func TestHintsAreFast(t *testing.T) {
	inNodes(t, 3, "delivers", func(t *testing.T, nodes []*lab) {
		token := nodes[0].good()
		v, p := nodes[1].verifier(60, token), nodes[2].session()
		name := "y"
		changes := models.TokenChanges{Name: models.Optional[string]{Given: true, Value: &name}}
		if _, err := nodes[0].store.UpdateToken(t.Context(), nodes[0].by(), token.id, changes); err != nil {
			t.Fatal(err)
		}
		p.want("updated")
		v.want("changed 1")
		v.confirm(1)
		v.hold(token)
		call := nodes[0].post(setEnabled, "[%q,false]", token.id)
		v.want("changed 2")
		v.confirm(2)
		call.wantWithin(0, sweepEvery/2, "1=1+0")
	})
}

// TestOtherNodesLeases: verifiers of other nodes that do not confirm are waited for until their leases are over.
func TestOtherNodesLeases(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		token := a.good()
		b.verifier(5, token)
		call := a.post(setEnabled, "[%q,false]", token.id)
		call.wantWithin(5*time.Second, 5*time.Second+slack, "1=0+1")
	})
}

// TestSilentNode: a node that says nothing is waited for until what it knew, and the leases that it gave, are over; no longer,
// and once only. If it goes on after that, it begins anew.
func TestSilentNode(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		token := a.good()
		b.verifier(7, token)
		b.stops()
		call := a.post(setEnabled, "[%q,false]", token.id)
		call.wantWithin(nodeLease+7*time.Second, nodeLease+7*time.Second+slack, "0=0+0")
		if b.s.hub.known(token.digest()) != nil {
			t.Error("it still answers from what it knew")
		}
		call = a.post(setEnabled, "[%q,true]", token.id)
		call.wantWithin(0, slack, "0=0+0")
		before := b.s.hub.nodeID()
		b.s.hub.sweep(t.Context())
		if b.s.hub.nodeID() == before || !b.s.hub.current() || a.row("SELECT COUNT(*) FROM nodes") != 2 {
			t.Error("it has not begun anew")
		}
	})
}

// TestNodeThatDiesAfterItAnswered: of a node that has said that it waits for verifiers, and then nothing any more, those are
// waited for as long as they had leases.
func TestNodeThatDiesAfterItAnswered(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		token := a.good()
		b.verifier(7, token)
		call := a.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(time.Second)
		if a.row("SELECT COUNT(*) FROM acknowledgements WHERE NOT settled") != 1 {
			t.Error("it has not said that it waits")
		}
		b.stops()
		call.wantWithin(7*time.Second, 8*time.Second+slack, "0=0+0")
	})
}

// TestAnswerAtTheLastMoment: who takes a node for gone removes it, or it could go on as if nothing had been committed since it
// began to read.
func TestAnswerAtTheLastMoment(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		b.ask(token)
		b.stops()
		if _, err := a.s.hub.want(t.Context()); err != nil { // for the sake of another change
			t.Fatal(err)
		}
		time.Sleep(nodeLease - 50*time.Millisecond)
		wanted, ok := b.s.hub.attend(t.Context())
		if !ok || !b.s.hub.look(t.Context(), b.s.hub.feedsOf(allUsers)) {
			t.Fatal("it could not look")
		}
		call := a.post(setEnabled, "[%q,false]", token.id)
		<-call.done
		call.want("0=0+0")
		if b.s.hub.answer(t.Context(), wanted) {
			t.Error("it answers after it was taken for gone")
		}
	})
}

// TestNodeAlone: a node alone says nothing in the database, whatever is revoked.
func TestNodeAlone(t *testing.T) {
	inNodes(t, 1, "delivers", func(t *testing.T, nodes []*lab) {
		l := nodes[0]
		token := l.good()
		v := l.verifier(5, token)
		call := l.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(time.Second)
		v.confirm(1)
		call.want("1=1+0")
		v.gone()
		time.Sleep(time.Minute) // until the uses are written
		before := l.row("PRAGMA data_version")
		time.Sleep(10 * time.Second)
		if l.row("PRAGMA data_version") != before || l.row("SELECT COUNT(*) FROM acknowledgements") != 0 || l.row("SELECT wanted + answered FROM nodes") != 0 {
			t.Error("it writes")
		}
		if n := len(l.s.hub.unsettled); n != 0 {
			t.Error("it keeps what is settled:", n)
		}
	})
}

// TestOwedAcknowledgement: what a node has said that it waits for is taken back when that is over, though nobody else is there by
// then: who comes later would wait for ever.
func TestOwedAcknowledgement(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		v := b.verifier(60, token)
		call := a.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(time.Second)
		call.hangUp()
		a.s.Shutdown(t.Context())
		time.Sleep(time.Second)
		if !b.s.hub.node.alone.Load() {
			t.Fatal("it is not alone")
		}
		v.confirm(1)
		time.Sleep(time.Second)
		if n := b.row("SELECT COUNT(*) FROM acknowledgements WHERE NOT settled"); n != 0 {
			t.Error("not settled:", n)
		}
	})
}

// TestTakenBackMeanwhile: what a sweep says of a feed after an acknowledgement was made, and is over before that is written, is owed its
// end nevertheless: or receipts would wait for it.
func TestTakenBackMeanwhile(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		b := nodes[1]
		h, token := b.s.hub, b.good()
		v := b.verifier(60, token)
		f := h.find(b.UserID)
		f.mu.Lock()
		h.unsettle(f)
		before := h.acknowledgement(f, h.nodeID())
		leases := slices.Collect(maps.Keys(f.watches[token.id].leases))
		f.mu.Unlock()
		h.takeBack(leases[0], f, []string{token.id})
		h.acknowledgements(h.nodeID())
		v.confirm(1)
		time.Sleep(time.Millisecond) // before the next sweep
		f.mu.Lock()
		h.expireRevocations(f, time.Now())
		f.mu.Unlock()
		h.forget(map[*feed]models.Acknowledgement{f: before})
		if !h.owes(f) {
			t.Error("what was said meanwhile stays said")
		}
		time.Sleep(time.Second)
		if n := len(h.unsettled); n != 0 || !before.Settled {
			t.Error("not settled by the next sweep:", n)
		}
	})
}

// TestNodeThatCannotAnswer: a node that reads and cannot say so is not current: the others do not count on it.
func TestNodeThatCannotAnswer(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		v := b.verifier(60, token)
		a.exec("CREATE TRIGGER mute BEFORE UPDATE OF answered ON nodes BEGIN SELECT RAISE(ABORT, 'mute'); END")
		if _, err := a.s.hub.want(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(nodeLease + sweepEvery)
		if b.s.hub.known(token.digest()) != nil {
			t.Error("it answers from memory")
		}
		v.call("/v1/verifier/beat", `[{"lease":60}]`)
		v.want("3 error 503")
		a.exec("DROP TRIGGER mute")
		time.Sleep(2 * sweepEvery)
		v.beat(60)
	})
}

// TestNodeThatCannotTell: a node that cannot see whether it is wanted asks the database, and gives what is there: not what it had
// read before.
func TestNodeThatCannotTell(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		if fact := b.ask(token); fact == nil || len(fact.Permissions) != 1 {
			t.Fatal("it is not good", fact)
		}
		a.exec("ALTER TABLE nodes RENAME TO away")
		time.Sleep(nodeLease + sweepEvery)
		if _, err := a.store.SetTokenPermissions(t.Context(), a.by(), token.id, models.Grants{}, models.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		if fact := b.ask(token); fact == nil || len(fact.Permissions) != 0 {
			t.Error("it answers what was", fact)
		}
		a.exec("ALTER TABLE away RENAME TO nodes")
	})
}

// TestForgedHints: hints that somebody has made up do not do what true ones would not.
func TestForgedHints(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		v, p := b.verifier(60, token), b.session()
		const future = 1_000_000
		for _, kind := range []HintKind{HintChanged, HintWanted, HintSettled, "other"} {
			for _, userID := range []string{a.UserID, "nobody", "", allUsers, strings.Repeat("x", longestUserID+1)} {
				b.s.hub.hinted(kind, userID, future)
				b.s.hub.hinted(kind, userID, -1)
			}
		}
		v.want("")
		p.want("")
		if n := b.row("SELECT COUNT(*) FROM acknowledgements WHERE position > (SELECT position FROM feeds WHERE feeds.user_id = acknowledgements.user_id) OR user_id NOT IN (SELECT user_id FROM feeds)"); n != 0 {
			t.Error("acknowledged what is not:", n)
		}
		b.s.hub.hinted(HintWanted, strings.Repeat("x", longestUserID+1), 1)
		call := a.post(setEnabled, "[%q,false]", token.id)
		for range 20 {
			a.s.hub.hinted(HintSettled, a.UserID, future)
			call.want("waits")
			time.Sleep(100 * time.Millisecond)
		}
		v.want("changed 1")
		v.confirm(1)
		call.wantWithin(2*time.Second, 2*time.Second+slack, "1=1+0")
	})
}

// TestHintsBounded: hints of users that there are not, and of ids that are none, are not kept without bound.
func TestHintsBounded(t *testing.T) {
	var n hints
	n.init()
	for i := range 2 * maxHinted {
		n.add(fmt.Sprint(i), hint{wanted: true})
	}
	if len(n.users) != maxHinted {
		t.Error("kept", len(n.users))
	}
	h := &hub{}
	h.hints.init()
	h.hinted(HintWanted, strings.Repeat("x", longestUserID+1), 1)
	if len(h.hints.users) != 0 {
		t.Error("kept a long one")
	}
}

// TestEventsOfOtherNodes: what is committed through one node comes to the connections of another one in order and once.
func TestEventsOfOtherNodes(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		token := a.good()
		p := b.session()
		const changes = 40
		want := []string{}
		for n := range changes {
			a.switches(token.secret, n%2 != 0)
			want = append(want, fmt.Sprint(n+2))
			if n%8 == 0 {
				time.Sleep(sweepEvery / 3)
			}
		}
		time.Sleep(nodeLease)
		if got := p.member("version"); got != fmt.Sprint(want) {
			t.Errorf("told of versions %v, want %v", got, want)
		}
	})
}

// TestBothRevokeAtOnce: two nodes that revoke at the same time wait for each other's verifiers, and not for each other.
func TestBothRevokeAtOnce(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		one, two := a.good(), a.good()
		u, v := a.verifier(60, one, two), b.verifier(60, one, two)
		calls := []*post{a.post(setEnabled, "[%q,false]", one.id), b.post(setEnabled, "[%q,false]", two.id)}
		time.Sleep(3 * time.Second)
		for _, p := range []*peer{u, v} {
			p.want("changed 1, changed 2")
			p.confirm(2)
		}
		for _, call := range calls {
			call.wantWithin(3*time.Second, 3*time.Second+slack, "2=2+0")
		}
	})
}

// TestAllUsersOfOtherNodes: a change that may concern everybody waits for all verifiers of other nodes that are waited for then,
// and not for what comes after.
func TestAllUsersOfOtherNodes(t *testing.T) {
	eachWire(t, func(t *testing.T, a, b *lab) {
		if _, err := a.store.CreatePermission(t.Context(), a.by(), "deploy", models.CreatePermissionOptions{}); err != nil {
			t.Fatal(err)
		}
		token := a.token(models.CreateTokenOptions{Permissions: models.Grants{"deploy": true}})
		v := b.verifier(7, token)
		call := a.post("/v1/permissions/delete", `["deploy"]`)
		time.Sleep(time.Second)
		call.want("waits")
		v.want("changed 1")
		v.beat(7)
		for range 6 { // there is always somebody to wait for
			other := a.good()
			time.Sleep(nodeLease) // until the other node has heard of it, which would take it back
			v.hold(other)
			a.post(setEnabled, "[%q,false]", other.id)
			time.Sleep(time.Second)
			v.news()
			v.beat(7)
		}
		<-call.done
		if call.took > 8*time.Second+slack {
			t.Error("it took", call.took)
		}
	})
}

// TestShutdownOfAWait: a node that ends cuts off who waits for another one, and is not in the database any more.
func TestShutdownOfAWait(t *testing.T) {
	inNodes(t, 2, "delivers", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		b.verifier(60, token)
		call := a.post(setEnabled, "[%q,false]", token.id)
		call.want("waits")
		a.s.Shutdown(t.Context())
		call.want("error 503")
		if b.row("SELECT COUNT(*) FROM nodes") != 1 {
			t.Error("it is still there")
		}
		if a.s.hub.current() {
			t.Error("it still answers from memory")
		}
	})
}

// TestLeaseOfANodeThatFellBehind: a node that falls behind while it writes how long a lease it is about to give does not give it.
func TestLeaseOfANodeThatFellBehind(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		v := nodes[1].verifier(2)
		h := nodes[1].s.hub
		h.node.mu.Lock()
		v.call("/v1/verifier/beat", `[{"lease":60}]`)
		for waiting("(*hub).allow") == 0 { // the bubble's clock stands still meanwhile
			runtime.Gosched()
		}
		h.swept.Store(int64(-nodeLease))
		h.node.mu.Unlock()
		v.want("2 error 503")
	})
}
