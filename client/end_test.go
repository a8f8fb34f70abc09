package client

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// With its credential a verifier ends for good, and says why.
func TestVerifierEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		v := s.verifier(VerifierOptions{})
		token := s.mint("t1", nil)
		verdict(t, v, token)
		s.last().cut()
		time.Sleep(time.Second)
		verdict(t, v, token)
		synctest.Wait()
		select {
		case <-v.Done():
			t.Error("it is done, though only a connection was cut")
		default:
		}
		if v.Err() != nil {
			t.Errorf("before its end: %v", v.Err())
		}
		s.last().tell(methodEnded, map[string]any{"reason": "token-disabled"})
		s.last().ws.Close(closeEnded, "")
		<-v.Done()
		_, err := v.Verify(t.Context(), token)
		if !isUnavailable(err) {
			t.Errorf("%v", err)
		}
		for range 2 { // Close changes nothing of it
			for _, err := range []error{err, v.Err()} {
				if ended, ok := errors.AsType[*EndedError](err); !ok || ended.Reason != "token-disabled" {
					t.Errorf("%v", err)
				}
			}
			v.Close()
		}
	})
}

// Close is an end, too.
func TestVerifierIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newStage(t).verifier(VerifierOptions{})
		v.Close()
		<-v.Done()
		if !errors.Is(v.Err(), ErrClosed) {
			t.Errorf("%v", v.Err())
		}
	})
}
