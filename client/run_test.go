package client

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestVerifierComesBack: however long the server was away, a service does not refuse everybody for long after it.
func TestVerifierComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		for range 20 { // pauses are random
			s.refuse(http.StatusServiceUnavailable)
			s.last().cut()
			time.Sleep(2 * time.Minute)
			s.refuse(0)
			time.Sleep(verifierBackoffCap)
			synctest.Wait()
			if !v.Stats().Leased {
				t.Fatalf("it has no lease %v after the server is back", verifierBackoffCap)
			}
		}
	})
}

// TestVerifierIsPutOff: a server that wants it to come later than it would by itself is obeyed.
func TestVerifierIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.verifier(VerifierOptions{})
		const after, rounds = 4 * verifierBackoffCap, 20
		s.refuseFor(http.StatusServiceUnavailable, "20")
		s.last().cut()
		time.Sleep(verifierBackoffCap) // longer than its first pause
		before := s.attempts()
		time.Sleep(rounds * after)
		if n := s.attempts() - before; n > rounds || n < rounds/2-1 {
			t.Errorf("it came %d times in %v", n, rounds*after)
		}
	})
}
