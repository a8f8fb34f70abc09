package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
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

// What is not Tokenwire is not waited for: the URL's path is wrong. It is where there was Tokenwire before, and where it is only
// busy.
func TestWrongPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		o := VerifierOptions{URL: "ws://stage.example/wrong", Token: credential, HTTPClient: s.http()}
		for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusUpgradeRequired, http.StatusOK} {
			s.refuse(status)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := NewVerifier(ctx, o)
			if err == nil || time.Since(began) > 0 || !strings.Contains(err.Error(), `path "/wrong"; it should be "/api"`) {
				t.Errorf("%d: %v, after %v", status, err, time.Since(began))
			}
			if _, err := Dial(ctx, Options{URL: "ws://stage.example", Token: credential, HTTPClient: s.http()}); err == nil || !strings.Contains(err.Error(), `path "/"`) {
				t.Errorf("%d: %v", status, err)
			}
			cancel()
		}
		for _, status := range []int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusBadGateway} {
			s.refuse(status)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := NewVerifier(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d: %v", status, err)
			}
			cancel()
		}
		s.refuse(0)
		v := s.verifier(VerifierOptions{})
		s.refuse(http.StatusNotFound)
		s.last().cut()
		time.Sleep(time.Minute)
		s.refuse(0)
		time.Sleep(time.Minute)
		verdict(t, v, s.mint("t1", nil))
	})
}
