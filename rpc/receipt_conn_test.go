package rpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// TestReceiptOnTheSameConnection: the caller may be a verifier himself, and hears what he must let go of before the answer
// to his call, which waits for him.
func TestReceiptOnTheSameConnection(t *testing.T) {
	t.Run("one call", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			token := l.good()
			c := l.session()
			c.beat(60)
			c.hold(token)
			c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
			c.want("changed 1")
			c.confirm(1)
			c.want("3 1=1+0, enabled-changed")
		})
	})
	t.Run("a batch", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			a, b := l.good(), l.good()
			c := l.session()
			c.beat(60)
			c.hold(a)
			c.hold(b)
			c.in <- fmt.Sprintf("[%s,%s]", request1(4, setEnabled, fmt.Sprintf("[%q,false]", a.id)), request1(5, "/v1/api-tokens/delete", fmt.Sprintf("[%q]", b.id)))
			c.want("changed 1")
			c.confirm(1)
			c.want("changed 2")
			c.confirm(2)
			c.want("[4 1=1+0, 5 1=1+0], enabled-changed, deleted")
		})
	})
	t.Run("as many calls as may be under way", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			var tokens []token
			for range maxUnderWay {
				tokens = append(tokens, l.good())
			}
			c := l.session()
			c.beat(60)
			for _, t := range tokens {
				c.hold(t)
			}
			for _, t := range tokens {
				c.call(setEnabled, fmt.Sprintf("[%q,false]", t.id))
			}
			if got := c.news(); strings.Count(got, "changed") != maxUnderWay {
				t.Fatal(got)
			}
			begun := time.Now()
			c.confirm(maxUnderWay)
			if got := c.news(); strings.Count(got, "1=1+0") != maxUnderWay || time.Since(begun) > 0 {
				t.Errorf("after %v: %s", time.Since(begun), got)
			}
		})
	})
	t.Run("a batch that takes all room", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			token := l.good()
			c := l.session()
			c.beat(60)
			c.hold(token)
			batch := []string{request1(100, setEnabled, fmt.Sprintf("[%q,false]", token.id))}
			for n := 1; n < maxUnderWay; n++ {
				batch = append(batch, request1(100+n, "/v1/session/read", "[]"))
			}
			c.in <- "[" + strings.Join(batch, ",") + "]"
			c.want("changed 1")
			begun := time.Now()
			c.confirm(1)
			if got := c.news(); !strings.HasPrefix(got, "[100 1=1+0, ") || time.Since(begun) > 0 {
				t.Errorf("after %v: %s", time.Since(begun), got)
			}
		})
	})
}

// TestReceiptCancelled: a caller on a connection cancels his call, and is told so at once; the change stands.
func TestReceiptCancelled(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		c.want("")
		c.in <- `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`
		c.want("1 error 499, enabled-changed")
		c.call("/v1/verifier/verify", fmt.Sprintf("[%q]", token.secret.Reveal()))
		c.want("2 inactive")
		c.call("/v1/api-tokens/delete", fmt.Sprintf("[%q]", token.id))
		c.want("")
		c.in <- `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":3}}`
		c.want("3 error 499, deleted")
	})
}

// TestReceiptOfACallerWhoIsGone: nothing of him is left waiting.
func TestReceiptOfACallerWhoIsGone(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		c.want("")
		begun := time.Now()
		c.gone()
		if waited := time.Since(begun); waited > 0 {
			t.Error("it took", waited)
		}
	})
}

// TestReceiptWhenTheServerStops: nobody holds that up for long; the caller is told that the change stands and that verifiers
// are still out.
func TestReceiptWhenTheServerStops(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		tokens := []token{l.good(), l.good()}
		l.verifier(60, tokens...)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", tokens[0].id))
		c.want("")
		call := l.post("/v1/api-tokens/delete", "[%q]", tokens[1].id)
		call.want("waits")
		again := l.post("/v1/api-tokens/delete", "[%q]", tokens[1].id)
		again.want("waits")
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		l.s.Shutdown(ctx)
		if waited := time.Since(begun); waited > recallWait+receiptWait {
			t.Error("it took", waited)
		}
		call.want("error 503")
		again.want("error 503")
		c.want("enabled-changed, deleted, 1 error 503, close 1001")
		if fact, err := l.store.Facts(t.Context(), models.DigestOf(tokens[0].secret.Reveal())); fact != nil || err != nil {
			t.Error("the change does not stand:", fact, err)
		}
	})
}

// TestNoticeBeforeTheReceipt: who waits for verifiers hears of what he has changed after a second, and of all else.
func TestNoticeBeforeTheReceipt(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		token := l.good()
		v := l.verifier(60, token)
		c := l.session()
		c.call(setEnabled, fmt.Sprintf("[%q,false]", token.id))
		time.Sleep(noticeAfter - time.Nanosecond)
		c.want("")
		l.good() // waits behind
		c.want("")
		time.Sleep(time.Nanosecond)
		c.want("enabled-changed, created")
		l.good()
		c.want("created")
		last := time.Now()
		for n, before := 0, c.messages(); n == 0; n = c.messages() - before {
			if time.Since(last) > heartbeatEvery {
				t.Fatal("no heartbeat while a call waits")
			}
			time.Sleep(time.Second)
		}
		c.want("")
		v.confirm(1)
		c.want("1 1=1+0")
	})
}

// TestEndAfterTheReceipt: a token that deletes itself gets its reply before its connection ends, however long the verifiers take.
func TestEndAfterTheReceipt(t *testing.T) {
	for name, batch := range map[string]bool{"one call": false, "a batch whose first call takes long": true} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				own, other := l.good(), l.good()
				v := l.verifier(60, own, other)
				id, err := l.store.Authenticate(t.Context(), own.secret, "")
				if err != nil {
					t.Fatal(err)
				}
				c := l.connect(id)
				gone := request1(2, "/v1/api-tokens/delete", fmt.Sprintf("[%q]", own.id))
				if !batch {
					c.in <- gone
					v.want("changed 1")
					time.Sleep(2 * noticeAfter)
					c.want("deleted")
					v.confirm(1)
					c.want("2 1=1+0, ended, close 4401")
					return
				}
				c.in <- fmt.Sprintf("[%s,%s]", request1(1, setEnabled, fmt.Sprintf("[%q,false]", other.id)), gone)
				v.want("changed 1")
				time.Sleep(2 * noticeAfter)
				c.want("enabled-changed")
				v.confirm(1)
				v.want("changed 2")
				v.confirm(2)
				c.want("deleted, [1 1=1+0, 2 1=1+0], ended, close 4401")
			})
		})
	}
}
