package rpc

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// told returns how many of some peers have been told to go.
func told(peers []*peer) (n int) {
	synctest.Wait()
	for _, p := range peers {
		p.mu.Lock()
		if p.code == CloseGoingAway {
			n++
		}
		p.mu.Unlock()
	}
	return n
}

// TestStopIsSpread: connections are told to go over a time, and verifiers last.
func TestStopIsSpread(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		verifiers := []*peer{l.verifier(60), l.verifier(60)}
		var peers []*peer
		for range 298 {
			peers = append(peers, l.connect(l.Identity))
		}
		go l.s.Drain(context.Background())
		for _, want := range []struct {
			after    time.Duration
			from, to int
		}{{0, 1, 20}, {500 * time.Millisecond, 120, 180}, {450 * time.Millisecond, 270, 290}, {time.Second / 10, 298, 298}} {
			time.Sleep(want.after)
			if n := told(peers); n < want.from || n > want.to {
				t.Errorf("%v later %d were told", want.after, n)
			}
			if n := told(verifiers); n > 0 && want.to < 298 {
				t.Errorf("%d verifiers were told before", n)
			}
		}
		if n := told(verifiers); n != 2 {
			t.Errorf("%d verifiers were told", n)
		}
	})
}

// TestLots: a handful is told at once, some hundreds in a second, and any number in three.
func TestLots(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 0, 14: 0, 300: time.Second, 900: closeSpread, 100_000: closeSpread} {
		if got := time.Duration(lotsOf(n)-1) * closeEvery; got != want {
			t.Errorf("%d connections are told over %v, want %v", n, got, want)
		}
	}
}

// TestRecall: a verifier that lets go when the server stops is waited for by nobody, and one that does not as long as its lease
// lasts.
func TestRecall(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		tokens := []token{l.good(), l.good(), l.user("ada").token()}
		well, silent := l.verifier(60, tokens...), l.verifier(60, tokens[0])
		began := time.Now()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			l.s.Shutdown(context.Background())
		}()
		well.want("changed 1, changed 2")
		well.verify(tokens[0]) // nothing is given any more that would have to be taken back
		well.want(fmt.Sprint(well.calls, " active"))
		call := l.post(setEnabled, "[%q,false]", tokens[0].id)
		call.want("waits") // for both
		well.confirm(2)
		well.want("close 1001")
		if took := time.Since(began); took > 0 {
			t.Error("it was told to go after", took)
		}
		call.want("waits")
		silent.want("changed 1")
		time.Sleep(recallWait)
		silent.want("close 1001")
		<-stopped
		call.want("error 503")
		if took := time.Since(began); took != recallWait+receiptWait {
			t.Error("it took", took)
		}
		if n := len(l.s.hub.abandoned); n != 1 {
			t.Error(n, "leases are left")
		}
	})
}

// TestReceiptGoesBeforeTheEnd: who waits for a receipt when the server stops gets it, where verifiers confirm.
func TestReceiptGoesBeforeTheEnd(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v, c := l.verifier(60, token), l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		c.want("")
		go l.s.Shutdown(context.Background())
		c.want("")
		v.want("changed 1")
		time.Sleep(receiptWait / 2)
		v.confirm(1)
		c.want("1 1=1+0, enabled-changed, close 1001")
		v.want("close 1001")
	})
}

// TestDrained: who comes too late is told to go, and who asks without a connection is answered as before, from memory.
func TestDrained(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.s.Drain(context.Background())
		l.connect(l.Identity).want("close 1001")
		token := l.good()
		call := l.post("/v1/verifier/verify", "[%q]", token.secret.Reveal())
		<-call.done
		if call.failed != nil {
			t.Error(call.failed)
		}
		if l.s.hub.known(models.DigestOf(token.secret.Reveal())) == nil {
			t.Error("it was asked of the database, and is not remembered")
		}
	})
}
