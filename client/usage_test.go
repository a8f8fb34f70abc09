package client

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// reports sums up what has been reported.
func (s *stage) reports() map[string]use {
	sum := map[string]use{}
	for _, r := range s.of(methodReport) {
		for id, u := range r.uses(s.t) {
			sum[id] = use{sum[id].allowed + u.allowed, sum[id].denied + u.denied}
		}
	}
	return sum
}

func (r *request) uses(t testing.TB) map[string]use {
	t.Helper()
	var params [1][]reported
	r.read(t, &params)
	uses := map[string]use{}
	for _, u := range params[0] {
		uses[u.TokenID] = use{u.Allowed, u.Denied}
	}
	if len(uses) != len(params[0]) || len(uses) < 1 || len(uses) > maxReport {
		t.Errorf("a report of %d tokens, %d of them different", len(params[0]), len(uses))
	}
	return uses
}

// Each use is reported once, whatever becomes of what is held meanwhile.
func TestUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Size: 3})
		one, two := s.mint("t1", nil), s.mint("t2", nil)
		unheld, bad := s.mint("t3", map[string]any{"held": false}), s.mint("t4", nil)
		s.disable(bad)
		round := func() {
			for range 5 {
				for _, token := range []string{one, two, unheld, bad} {
					verdict(t, v, token)
				}
			}
		}
		round()
		s.last().changed("t1") // dropped
		round()
		for i := range 10 { // evicted
			verdict(t, v, s.mint(fmt.Sprintf("x%d", i), nil))
		}
		round()
		s.last().cut() // and lost
		time.Sleep(time.Second)
		round()
		time.Sleep(reportEvery)
		round()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		sum := s.reports()
		for _, id := range []string{"t1", "t2", "t3"} {
			if sum[id] != (use{25, 0}) {
				t.Errorf("%s: %+v", id, sum[id])
			}
		}
		if len(sum) != 13 || sum["x3"] != (use{1, 0}) {
			t.Errorf("%v", sum)
		}
		if stats := v.Stats(); stats.Hits+stats.Misses != 25*4+10 || stats.LostUses != 0 {
			t.Errorf("%+v", stats)
		}
		if n := len(s.of(methodRelease)); n != 1 || s.seen[len(s.seen)-1].Method != methodRelease {
			t.Error("the lease was not given back at last")
		}
	})
}

// Whoever comes too late to be counted with an entry is counted for himself.
func TestUseOfADroppedEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		d, _ := v.verify(t.Context(), token)
		s.last().changed("t1")
		synctest.Wait()
		v.count(d, true)
		v.count(d, false)
		v.mu.Lock()
		uses := v.uses["t1"]
		v.mu.Unlock()
		if uses != (use{2, 1}) {
			t.Errorf("%+v", uses)
		}
	})
}

// What could not be sent is sent again; what is refused is given up; and what waits is bounded.
func TestReportsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		for i := range 1200 {
			v.count(Decision{TokenID: fmt.Sprintf("t%d", i)}, i%2 == 0)
		}
		sent := func() int {
			synctest.Wait()
			return len(s.of(methodReport))
		}
		waiting := func() int {
			v.mu.Lock()
			defer v.mu.Unlock()
			return len(v.uses)
		}
		s.on(methodReport, func(*line, *request) any {
			if len(s.of(methodReport)) == 2 {
				return &jsonrpc2.Error{Code: codeUnavailable, Message: "not now"}
			}
			return struct{}{}
		})
		time.Sleep(reportEvery)
		if sent() != 2 || waiting() != 700 {
			t.Errorf("%d reports, %d left", sent(), waiting())
		}
		s.refuse(http.StatusServiceUnavailable)
		s.last().cut()
		time.Sleep(time.Minute)
		s.refuse(0)
		time.Sleep(time.Minute)
		if sent() != 4 || waiting() != 0 {
			t.Errorf("%d reports, %d left", sent(), waiting())
		}
		s.on(methodReport, func(*line, *request) any { return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: "no"} })
		v.count(Decision{TokenID: "t1"}, true)
		time.Sleep(reportEvery)
		if sent() != 5 || waiting() != 0 || v.Stats().LostUses != 1 {
			t.Errorf("%d reports, %d left, %+v", sent(), waiting(), v.Stats())
		}
		for i := range maxUses + 5 {
			v.count(Decision{TokenID: fmt.Sprintf("t%d", i)}, true)
		}
		if waiting() != maxUses || v.Stats().LostUses != 6 {
			t.Errorf("%d left, %+v", waiting(), v.Stats())
		}
	})
}

// A report whose answer is lost may have been counted: it is not sent again.
func TestReportWithoutAnswer(t *testing.T) {
	for name, lose := range map[string]func(*stage){
		"cut": func(s *stage) { s.last().cut() }, "late": func(*stage) { time.Sleep(reportTimeout) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				v := s.verifier(VerifierOptions{})
				token := s.mint("t1", nil)
				verdict(t, v, token)
				for i := range maxReport { // with that one, more than go into one report
					v.count(Decision{TokenID: fmt.Sprintf("x%d", i)}, true)
				}
				s.on(methodReport, func(*line, *request) any { return silent{} })
				time.Sleep(reportEvery)
				synctest.Wait()
				verdict(t, v, token)
				lose(s)
				s.on(methodReport, func(*line, *request) any { return struct{}{} })
				time.Sleep(2 * reportEvery)
				verdict(t, v, token)
				v.Close()
				var told int64
				for _, u := range s.reports() {
					told += u.allowed
				}
				if lost := v.Stats().LostUses; told != maxReport+3 || lost != maxReport {
					t.Errorf("%d uses were reported, %d of them are said to be lost", told, lost)
				}
			})
		})
	}
}

// Close does not wait for a server that says nothing, and nothing is answered after it.
func TestCloseVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{Grace: time.Hour})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		for _, method := range []string{methodReport, methodRelease, methodVerify} {
			s.on(method, func(*line, *request) any { return silent{} })
		}
		waiting := ask(v, s.mint("t2", nil))
		began := time.Now()
		closed := make(chan error)
		for range 2 {
			go func() { closed <- v.Close() }()
		}
		if <-waiting.done; !isUnavailable(waiting.err) {
			t.Errorf("who waited: %v", waiting.err)
		}
		refused(t, v, token)
		for range 2 {
			if err := <-closed; err != nil {
				t.Error(err)
			}
		}
		if waited := time.Since(began); waited > closeTimeout+time.Second {
			t.Errorf("it waited %v", waited)
		}
		refused(t, v, token)
	})
}

// The uses of a token much in use are counted in many places, and none is lost on the way there or when its entry goes.
func TestManyUses(t *testing.T) {
	const users, each = 4, manyUses
	s := newStage(t)
	v := s.verifier(VerifierOptions{Lease: time.Minute})
	token := s.mint("t1", nil)
	var work sync.WaitGroup
	for range users {
		work.Go(func() {
			for n := range each {
				d, err := v.verify(context.Background(), token)
				if err != nil || !d.Active {
					t.Errorf("%+v, %v", d, err)
					return
				}
				v.count(d, n%10 != 0)
			}
		})
	}
	work.Wait()
	e := v.held(digestOf(token))
	if e == nil || e.tallies.Load() == nil {
		t.Fatalf("it is not much in use: %+v", v.Stats())
	}
	if stats := v.Stats(); stats.Hits >= users*each || stats.Hits < users*each-stats.Misses {
		t.Errorf("%+v", stats)
	}
	v.mu.Lock()
	v.session.Load().cache.remove(e)
	before := v.uses["t1"]
	v.mu.Unlock()
	if before != (use{users * each * 9 / 10, users * each / 10}) {
		t.Errorf("%+v", before)
	}
	for range maxTallies { // too late, wherever they are counted
		v.count(e.decision, true)
	}
	v.mu.Lock()
	after := v.uses["t1"]
	v.mu.Unlock()
	if after != before.plus(use{allowed: maxTallies}) || e.seal() != (use{}) {
		t.Errorf("%+v after %+v", after, before)
	}
	e.tallies.Store(nil)
	if v.spread(e); e.tallies.Load() != nil {
		t.Error("an entry that is out gets places to count in")
	}
}

// Close waits a little for a server that is away, if there is something to report to it.
func TestCloseWhileAway(t *testing.T) {
	for _, away := range []time.Duration{10 * time.Millisecond, time.Hour} { // a short one: of many attempts the next may come after Close gives up
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			v := s.verifier(VerifierOptions{})
			verdict(t, v, s.mint("t1", nil))
			s.refuse(http.StatusServiceUnavailable)
			s.last().cut()
			synctest.Wait() // or the report may go into the connection that is cut, and is not sent again
			time.AfterFunc(away, func() { s.refuse(0) })
			began := time.Now()
			if err := v.Close(); err != nil {
				t.Error(err)
			}
			want := use{1, 0}
			if away > closeTimeout {
				want = use{}
			}
			if waited := time.Since(began); waited > closeTimeout || s.reports()["t1"] != want || v.Stats().LostUses != 1-want.allowed {
				t.Errorf("away for %v: after %v reported are %v, %+v", away, waited, s.reports(), v.Stats())
			}
		})
	}
}
