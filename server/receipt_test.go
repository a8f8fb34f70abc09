package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// verifier runs a verifier until the test ends.
func (i *instance) verifier(t testing.TB, lease time.Duration, stubborn bool) *rawVerifier {
	v := newRawVerifier(i.url, i.session, lease)
	v.stubborn = stubborn
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { v.run(ctx) }) // which comes back for as long as there is a server
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return v
}

// mustHold returns when the verifier holds a token.
func (v *rawVerifier) mustHold(t testing.TB, token string) {
	t.Helper()
	until(t, patience, "the verifier to hold the token", func() bool {
		answer, err := v.verify(context.Background(), token)
		return err == nil && answer.Held
	})
}

// holding runs a verifier and returns when it holds a token.
func (i *instance) holding(t testing.TB, lease time.Duration, stubborn bool, token string) *rawVerifier {
	t.Helper()
	v := i.verifier(t, lease, stubborn)
	v.mustHold(t, token)
	return v
}

// revoke switches a token off without a connection. The answer comes with its status in front.
func (i *instance) revoke(id string) <-chan string {
	answered := make(chan string, 1)
	go func() {
		status, answer := i.post("/api/v1/api-tokens/set-enabled", i.session, fmt.Sprintf("[%q,false]", id))
		answered <- fmt.Sprint(status, " ", answer)
	}()
	return answered
}

func wantReceipt(t testing.TB, answer string, confirmed, expired int) {
	t.Helper()
	want := fmt.Sprintf(`"receipt":{"verifiers":%d,"confirmed":%d,"expired":%d,`, confirmed+expired, confirmed, expired)
	if !strings.HasPrefix(answer, "200 ") || !strings.Contains(answer, want) {
		t.Errorf("got %s, want %s", answer, want)
	}
}

// TestReceipts: whoever switches a token off is answered when the verifiers that hold it have let go, in whatever way.
func TestReceipts(t *testing.T) {
	t.Parallel()
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		t.Parallel()
		i := start(t, databaseURL)
		t.Run("all confirm", func(t *testing.T) {
			id, token := i.make(`{}`)
			for range 5 {
				i.holding(t, time.Minute, false, token)
			}
			wantReceipt(t, <-i.revoke(id), 5, 0)
		})
		t.Run("one does not", func(t *testing.T) {
			id, token := i.make(`{}`)
			i.holding(t, time.Minute, false, token)
			i.holding(t, 2*time.Second, true, token)
			begun := time.Now()
			wantReceipt(t, <-i.revoke(id), 1, 1)
			if took := time.Since(begun); took > 2*time.Second+patience/2 {
				t.Error("it took", took)
			}
		})
		t.Run("one is cut off, comes back, and goes on beating", func(t *testing.T) {
			id, token := i.make(`{}`)
			v := i.holding(t, 3*time.Second, false, token)
			v.cut()
			wantReceipt(t, <-i.revoke(id), 0, 1)
			if answer, err := v.verify(context.Background(), token); err != nil || answer.Active {
				t.Errorf("it says %+v, %v", answer, err)
			}
		})
		t.Run("one lets go of everything", func(t *testing.T) {
			id, token := i.make(`{}`)
			v := i.holding(t, time.Minute, true, token)
			answered := i.revoke(id)
			until(t, patience, "the verifier to be told", func() bool { return v.told() > 0 })
			select {
			case answer := <-answered:
				t.Fatal("answered before it let go:", answer)
			default:
			}
			v.release(context.Background())
			wantReceipt(t, <-answered, 1, 0)
		})
		t.Run("nobody holds it", func(t *testing.T) {
			_, token := i.make(`{}`)
			id, _ := i.make(`{}`)
			v := i.holding(t, time.Minute, true, token)
			wantReceipt(t, <-i.revoke(id), 0, 0)
			if n := v.told(); n > 0 {
				t.Error("it was told of what it does not hold")
			}
		})
	})
}

// TestReceiptCutByTheEnd: a server that stops does not wait for verifiers. The change stands, the caller is told that it is
// not known to be in effect everywhere.
func TestReceiptCutByTheEnd(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, databaseURL string) {
		i := start(t, databaseURL)
		id, token := i.make(`{}`)
		v := i.holding(t, time.Minute, true, token)
		answered := i.revoke(id)
		until(t, patience, "the verifier to be told", func() bool { return v.told() > 0 })
		c := i.dial(i.session, "")
		c.next()
		c.send(call(1, "/v1/api-tokens/set-enabled", fmt.Sprintf("[%q,false]", id))) // and one on a connection
		c.send(call(2, "/v1/session/read", "[]"))
		c.next() // the server has taken both
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			i.stopsWithin(t, patience/2)
		}()
		if got := <-answered; !strings.HasPrefix(got, "503 ") {
			t.Error("got", got)
		}
		if got := c.next(); !strings.Contains(got, `"id":1,"error":{"code":503`) {
			t.Error("got", got)
		}
		if code := c.closed(); code != 1001 {
			t.Error("closed with", code)
		}
		<-stopped
	})
}
