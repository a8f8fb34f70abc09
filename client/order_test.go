package client

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// asking is a Verify under way.
type asking struct {
	d    Decision
	err  error
	done chan struct{}
}

// ask begins a Verify, and returns when it waits for an answer or has one.
func ask(v *Verifier, token string) *asking {
	a := &asking{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.d, a.err = v.Verify(context.Background(), token)
	}()
	synctest.Wait()
	return a
}

// active waits for an answer and returns it.
func (a *asking) active(t *testing.T) bool {
	t.Helper()
	<-a.done
	if a.err != nil {
		t.Errorf("verify: %v", a.err)
	}
	return a.d.Active
}

func (a *asking) waits() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// holdBack has requests to verify wait for answer, the oldest first, whose facts are those of the moment at which it is
// called.
func (s *stage) holdBack() (answer func()) {
	s.on(methodVerify, func(*line, *request) any { return silent{} })
	next := len(s.of(methodVerify))
	return func() {
		synctest.Wait()
		asked := s.of(methodVerify)
		if len(asked) <= next {
			s.t.Fatal("nobody asks")
		}
		r := asked[next]
		next++
		r.reply(r.line.facts(r))
		synctest.Wait()
	}
}

// A change that comes before the answer which it outdates: the answer is not kept, not given, and asked for again.
func TestChangedBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token, other := s.mint("t1", nil), s.mint("t2", nil)
		answer := s.holdBack()
		first, second := ask(v, token), ask(v, other)
		l := s.last()
		old := l.facts(s.of(methodVerify)[0])
		s.disable(token)
		l.changed("t1", "t0")
		synctest.Wait()
		s.of(methodVerify)[0].reply(old)
		if !first.waits() || v.Stats().Held != 0 {
			t.Errorf("an answer that is out of date was taken: %+v, %+v", first, v.Stats())
		}
		answer() // was answered already; nobody minds
		answer()
		if !second.active(t) {
			t.Error("a change of one token turned another one away")
		}
		answer()
		if first.active(t) {
			t.Error("active after the change")
		}
		if n := len(s.of(methodVerify)); n != 3 {
			t.Errorf("asked %d times", n)
		}
		if k := v.session.Load(); len(k.changed) != 0 || k.asking != 0 {
			t.Errorf("it still remembers %v", k.changed)
		}
	})
}

// An answer that has seen the change is good, though the change came before it.
func TestAnswerAfterTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		answer := s.holdBack()
		first := ask(v, token)
		s.last().changed("t1")
		answer()
		if !first.active(t) || v.Stats().Held != 1 {
			t.Errorf("%+v", v.Stats())
		}
	})
}

// More changes than are remembered each for itself are remembered all together.
func TestManyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		answer := s.holdBack()
		first := ask(v, token)
		l := s.last()
		old := l.facts(s.of(methodVerify)[0])
		l.changed("t1")
		for batch := range 6 {
			var ids []string
			for i := range maxChanged / 5 {
				ids = append(ids, fmt.Sprintf("x%d-%d", batch, i))
			}
			l.changed(ids...)
		}
		synctest.Wait()
		if n := len(v.session.Load().changed); n > maxChanged {
			t.Errorf("it remembers %d", n)
		}
		s.of(methodVerify)[0].reply(old)
		if !first.waits() {
			t.Error("an answer that is out of date was taken")
		}
		answer()
		answer()
		if !first.active(t) {
			t.Error("not active")
		}
		s.disable(token) // and an inactive answer, which has no number, is one too
		l.changed("t1")
		synctest.Wait()
		inactive := ask(v, token)
		answer()
		if inactive.active(t) {
			t.Error("active")
		}
	})
}

// A token that changes all the time is no reason to ask for ever.
func TestRestlessToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		s.on(methodVerify, func(l *line, r *request) any {
			facts := l.facts(r)
			l.changed("t1")
			return facts
		})
		refused(t, v, token)
		if n := len(s.of(methodVerify)); n != maxAttempts {
			t.Errorf("asked %d times", n)
		}
	})
}

// When a change is confirmed, what was held is gone: under each of the token's secrets, and no other one's.
func TestDropBeforeConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		body := s.mint("t1", nil)
		one := s.mint("t1", nil)
		two := s.mintSecret(body[:bodySize-1]+"x", "t1", nil)
		other := s.mint("t2", nil)
		for _, token := range []string{one, two, other} {
			verdict(t, v, token)
		}
		heldThen := -1
		s.on(methodConfirm, func(_ *line, r *request) any {
			if string(r.Params) != "[1]" || r.ID != nil {
				t.Errorf("confirmed %s, id %v", r.Params, r.ID)
			}
			heldThen = 0
			for _, token := range []string{one, two, other} {
				if v.held(digestOf(token)) != nil {
					heldThen++
				}
			}
			return nil
		})
		s.last().changed("t1")
		synctest.Wait()
		if heldThen != 1 {
			t.Errorf("%d were held when the change was confirmed", heldThen)
		}
		s.disable(one)
		if verdict(t, v, one).Active || !verdict(t, v, two).Active {
			t.Error("it answers of the old secret, or not of the new one")
		}
		if stats := v.Stats(); stats.Drops != 2 || stats.Held != 2 {
			t.Errorf("%+v", stats)
		}
		time.Sleep(defaultLease)
		beats := s.of(methodBeat)
		if last := string(beats[len(beats)-1].Params); last != `[{"lease":5,"confirmed":1}]` {
			t.Errorf("the last beat was %s", last)
		}
	})
}

// A change that is missing means that nothing held is sure: begin anew.
func TestGapInChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		l := s.last()
		l.tell(methodChanged, map[string]any{"seq": 2, "tokenIds": []string{"t9"}})
		synctest.Wait()
		if v.held(digestOf(token)) != nil {
			t.Error("it answers from memory after a gap")
		}
		if n := len(s.of(methodConfirm)); n != 0 {
			t.Errorf("%d confirmations", n)
		}
		time.Sleep(time.Minute)
		if !verdict(t, v, token).Active || len(s.all()) != 2 {
			t.Error("it did not begin anew")
		}
	})
}

// An answer over a connection that has ended is for those who asked, and is not kept under the next one's lease.
func TestAnswerOfAnOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		old := v.session.Load()
		s.last().cut()
		time.Sleep(time.Minute)
		if v.session.Load() == old || !v.Stats().Leased {
			t.Fatal("there is no other connection")
		}
		f, a := &flight{}, &answer{Active: true, TokenID: "t1", UserID: "u", Held: true}
		old.asking++
		if !v.land(old, digestOf(token), f, moment{}, a, nil) || !f.decision.Active || f.kept {
			t.Errorf("%+v", f)
		}
		if stats := v.Stats(); stats.Held != 0 || old.cache.get(digestOf(token)) != nil {
			t.Errorf("%+v", stats)
		}
	})
}

// Whoever asks for a token that is being asked for waits for that answer, if it is kept.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		answer := s.holdBack()
		ctx, cancel := context.WithCancel(t.Context())
		leader := make(chan error)
		go func() {
			_, err := v.Verify(ctx, token)
			leader <- err
		}()
		synctest.Wait()
		var joined []*asking
		for range 50 {
			joined = append(joined, ask(v, token))
		}
		cancel() // who began it may go
		if err := <-leader; err == nil {
			t.Error("the leader did not go")
		}
		answer()
		for _, a := range joined {
			if !a.active(t) {
				t.Error("not active")
			}
		}
		if n := len(s.of(methodVerify)); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// An answer that is not kept is for those who were there before it was sent for; the others ask in one next flight.
func TestNextFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		s.disable(token)
		answer := s.holdBack()
		leader := ask(v, token)
		late := []*asking{ask(v, token), ask(v, token), ask(v, token)}
		old := s.last().facts(s.of(methodVerify)[0])
		s.mint("t1", nil) // it is good now, and was when the late ones came
		s.of(methodVerify)[0].reply(old)
		if leader.active(t) {
			t.Error("the leader got another answer")
		}
		for _, a := range late {
			if !a.waits() {
				t.Error("an answer from before it asked")
			}
		}
		if n := len(s.of(methodVerify)); n != 2 {
			t.Errorf("asked %d times", n)
		}
		answer()
		answer()
		for _, a := range late {
			if !a.active(t) {
				t.Error("not active")
			}
		}
		if n := len(s.of(methodVerify)); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A kept answer that was dropped again before the late ones could look is asked for again.
func TestDroppedBeforeJoinersLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		v.mu.Lock()
		v.sends++
		f := &flight{sentAt: v.sends, done: make(chan struct{}), decision: Decision{Active: true, TokenID: "t1"}, kept: true}
		v.flights[digestOf(token)] = f
		v.mu.Unlock()
		late := ask(v, token)
		s.disable(token)
		v.mu.Lock()
		delete(v.flights, digestOf(token))
		v.mu.Unlock()
		close(f.done)
		if late.active(t) || len(s.of(methodVerify)) != 1 {
			t.Error("active after the drop")
		}
	})
}

// What may be used for one question is: each who waits asks for himself, as each counts against the limit.
func TestNotHeldIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", map[string]any{"held": false})
		answer := s.holdBack()
		waiting := []*asking{ask(v, token), ask(v, token), ask(v, token)}
		for range 3 {
			answer()
		}
		for _, a := range waiting {
			if !a.active(t) {
				t.Error("not active")
			}
		}
		if n := len(s.of(methodVerify)); n != 3 || v.Stats().Held != 0 {
			t.Errorf("asked %d times, %+v", n, v.Stats())
		}
	})
}

// An error is one for all who wait.
func TestErrorIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		s.on(methodVerify, func(*line, *request) any { return silent{} })
		waiting := []*asking{ask(v, token), ask(v, token)}
		s.of(methodVerify)[0].reply(&jsonrpc2.Error{Code: codeUnavailable, Message: "the database is away"})
		for _, a := range waiting {
			if <-a.done; !isUnavailable(a.err) || code(a.err) != codeUnavailable {
				t.Errorf("%v", a.err)
			}
		}
		if n := len(s.of(methodVerify)); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// However many tokens are asked for, some places are left for beats.
func TestPlacesForBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		s.on(methodVerify, func(*line, *request) any { return silent{} })
		var waiting []*asking
		for i := range 100 {
			waiting = append(waiting, ask(v, s.mint(fmt.Sprintf("t%d", i), nil)))
		}
		if n := len(s.of(methodVerify)); n != maxAsks {
			t.Errorf("%d are asked for", n)
		}
		time.Sleep(askTimeout / 2)
		if n := len(s.of(methodBeat)); n < 2 || !v.Stats().Leased {
			t.Errorf("%d beats", n)
		}
		for _, a := range waiting {
			if <-a.done; !isUnavailable(a.err) {
				t.Errorf("%+v", a)
			}
		}
		if len(v.flights) != 0 || len(v.session.Load().places) != 0 {
			t.Errorf("%d flights are left", len(v.flights))
		}
	})
}

// The cache is bounded, and who is used stays.
func TestSecondChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 10
		s := newStage(t)
		v := s.verifier(VerifierOptions{Size: size})
		used := s.mint("used", nil)
		verdict(t, v, used)
		for i := range 100 {
			verdict(t, v, s.mint(fmt.Sprintf("t%d", i), nil))
			verdict(t, v, used)
		}
		stats := v.Stats()
		if stats.Held != size || stats.Evicted != 101-size || stats.Asked != 101 {
			t.Errorf("%+v", stats)
		}
		c := v.session.Load().cache
		if len(c.ring) != size || len(c.byToken) != size {
			t.Errorf("%d in the ring, %d tokens", len(c.ring), len(c.byToken))
		}
		n := 0
		c.entries.Range(func(key, value any) bool {
			e := value.(*entry)
			if n++; e.digest != key || c.ring[e.place] != e || !slices.Contains(c.byToken[e.decision.TokenID], e) {
				t.Errorf("%+v", e)
			}
			return true
		})
		if n != size {
			t.Errorf("%d entries", n)
		}
	})
}
