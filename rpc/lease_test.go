package rpc

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingIsLeftOfVerifiers: when they have gone and their leases have run out.
func TestNothingIsLeftOfVerifiers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ada := l.user("ada")
		tokens := []token{l.good(), ada.token(), ada.token()}
		idle := l.connect(ada.Identity) // a user with a connection and nothing that is watched
		idle.news()
		var all []*peer
		for range 3 {
			all = append(all, l.verifier(5, tokens...), l.verifier(10, tokens[1]))
		}
		calls := []*post{l.post(setEnabled, "[%q,false]", tokens[0].id), l.postAs(ada.Identity, "/v1/api-tokens/delete", "[%q]", tokens[1].id)}
		for _, c := range calls {
			c.want("waits")
		}
		all[0].call("/v1/verifier/release", "[]")
		for _, v := range all {
			v.gone()
		}
		l.s.hub.mu.Lock()
		abandoned := len(l.s.hub.abandoned)
		l.s.hub.mu.Unlock()
		if abandoned != len(all) {
			t.Error(abandoned, "leases go on")
		}
		calls[0].hangUp()
		calls[1].hangUp()
		if _, err := l.store.SetUserEnabled(t.Context(), l.by(), ada.UserID, false); err != nil {
			t.Fatal(err)
		}
		idle.gone()
		time.Sleep(10*time.Second + sweepEvery)
		synctest.Wait()
		l.nothingLeft()
	})
}

// TestReleaseAmongOtherCalls: a verifier that lets go of everything and goes on at once, in whatever order that is looked
// at, is told of what it holds.
func TestReleaseAmongOtherCalls(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v := l.verifier(60, token)
		lease, f := l.leaseOf(v), l.s.hub.find(l.UserID)
		f.mu.Lock() // so that release stops between what it forgets and what it takes back
		released := make(chan struct{})
		go func() {
			defer close(released)
			l.s.hub.vacate(lease, false)
		}()
		for waiting("(*hub).vacate") == 0 { // the bubble's clock stands still meanwhile: nobody waits for time
			select {
			case <-released:
				t.Fatalf("there was nothing to take back: lease %p of feed %p, in all %d feeds, %v %v", lease, f, len(l.s.hub.feeds), lease.holds, f.watches)
			default:
				runtime.Gosched()
			}
		}
		lease.beat(time.Now(), time.Minute)
		if _, ok := lease.take(f, token.id); !ok {
			t.Fatal("it holds nothing")
		}
		l.s.hub.watched(f, token.id).leases[lease] = struct{}{}
		f.mu.Unlock()
		<-released
		call := l.post(setEnabled, "[%q,false]", token.id)
		call.want("waits")
		v.want("changed 1")
		v.confirm(1)
		call.want("1=1+0")
	})
}

// TestLendingWhatHasChanged: between the look at what a node knows of a token and the moment at which a verifier holds it,
// the token may change; the more so where the node has kept it no longer. Then nobody holds it.
func TestLendingWhatHasChanged(t *testing.T) {
	inLabOf(t, 1, func(t *testing.T, l *lab) {
		v := l.verifier(60)
		for name, between := range map[string]func(token){
			"changed":                   func(t token) { l.switches(t.secret, false) },
			"evicted, and changed":      func(t token) { l.ask(l.good()); l.switches(t.secret, false) },
			"changed, and changed back": func(t token) { l.switches(t.secret, false); l.switches(t.secret, true); l.ask(t) },
		} {
			token := l.good()
			fact := l.ask(token)
			between(token)
			if _, held := l.s.hub.lend(l.leaseOf(v), fact); held {
				t.Errorf("%s: it is held", name)
			}
		}
		v.want("")
	})
}

// TestNumberOfWhatIsHeld: what is given to hold says up to which notification it is true, and no more.
func TestNumberOfWhatIsHeld(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		first, second := l.good(), l.good()
		v := l.verifier(60, first) // beat and verify
		l.post(setEnabled, "[%q,false]", first.id).want("waits")
		v.want("changed 1")
		v.hold(second)
		if got := v.member("seq"); got != "[0 0 1 1]" {
			t.Error("the numbers are", got)
		}
		v.confirm(1)
	})
}

// TestFullLease: a verifier that holds as many tokens as it may is told of one that it does not hold any more, and when it
// has confirmed that, nobody waits for it because of that one.
func TestFullLease(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		all := []token{l.good(), l.good(), l.good()}
		v := l.verifier(60, all[:2]...)
		l.leaseOf(v).room = 2
		v.verify(all[2])
		v.want(fmt.Sprintf("changed 1, %d held", v.calls))
		if watches, _ := l.watched(); watches != 3 { // the node itself knows all
			t.Error("watched are", watches)
		}
		v.confirm(1)
		waiting := 0
		for _, token := range all {
			call := l.post(setEnabled, "[%q,false]", token.id)
			synctest.Wait()
			select {
			case <-call.done:
			default:
				waiting++
				v.want(fmt.Sprint("changed ", 1+waiting))
				v.confirm(1 + waiting)
				call.want("1=1+0")
			}
		}
		if waiting != 2 {
			t.Errorf("it holds %d tokens", waiting)
		}
	})
}

// TestFullLeaseUnconfirmed: a verifier that was told to let go of a token to make room, and has not said that it did, answers
// from it perhaps. Whoever takes the token away waits for it.
func TestFullLeaseUnconfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		then   func(v *peer)
		result string
	}{
		"confirms":   {func(v *peer) { v.confirm(1) }, "1=1+0"},
		"is cut off": {func(v *peer) { v.gone(); time.Sleep(time.Minute) }, "1=0+1"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				first := l.good()
				v := l.verifier(60, first)
				l.leaseOf(v).room = 1
				v.verify(l.good())
				v.want(fmt.Sprintf("changed 1, %d held", v.calls))
				call := l.post(setEnabled, "[%q,false]", first.id)
				call.want("waits")
				c.then(v)
				call.want(c.result)
			})
		})
	}
}

// TestBeatThatConfirmsNothingThatThereIs: there is no number below 0.
func TestBeatThatConfirmsNothingThatThereIs(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		v := l.verifier(5)
		v.call("/v1/verifier/beat", `[{"confirmed":-1}]`)
		v.want("2 error -32602")
	})
}
