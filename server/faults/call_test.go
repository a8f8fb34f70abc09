package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

// Waits of a client outside.
const (
	callTimeout = 8 * time.Second        // for one answer: longer than any wait for a node that is gone
	tryFor      = 40 * time.Second       // then it is given up
	tryPause    = 30 * time.Millisecond  // between two tries
	lookTimeout = 500 * time.Millisecond // for a verification
)

// fate tells how a call ended.
type fate int

const (
	done    fate = iota
	refused      // it never comes into effect
	unknown      // it may have, or may yet
	gone         // 404
	odd          // an answer that nobody promises
)

// fateOf tells what an answer, or none, says.
func fateOf(status int, answer []byte, err error) fate {
	var op *net.OpError
	switch {
	case err != nil && errors.As(err, &op) && op.Op == "dial":
		return refused
	case err != nil:
		return unknown
	case status == http.StatusOK:
		return done
	case status == http.StatusNotFound:
		return gone
	case status == http.StatusServiceUnavailable && strings.Contains(string(answer), "nothing was changed"):
		return refused
	case status == http.StatusServiceUnavailable:
		return unknown
	}
	return odd
}

// answered is what of an answer the test looks at.
type answered struct {
	ID      string `json:"id"`
	Token   string `json:"token"`
	Version int64  `json:"version"`
	Session string `json:"session"`
}

// door is the node that a client asks, until it does not answer.
type door struct{ node int }

// ask makes one call at the node that answered last.
func (l *load) ask(ctx context.Context, d *door, credential, method string, params ...any) (fate, answered, string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var result answered
	status, answer, err := l.post(ctx, l.nodes[d.node], credential, method, params...)
	f := fateOf(status, answer, err)
	if f == done {
		if err := json.Unmarshal(answer, &result); err != nil {
			f = odd
		}
	} else {
		d.node = (d.node + 1) % len(l.nodes)
	}
	said := ""
	if f == odd || f == gone {
		said = fmt.Sprintf("%s: %d %s %v", method, status, answer, err)
	}
	return f, result, said
}

// insist makes a call until it is answered, and reports false where it is given up.
func (l *load) insist(ctx context.Context, d *door, credential, method string, params ...any) (answered, bool) {
	for deadline := time.Now().Add(tryFor); ctx.Err() == nil && time.Now().Before(deadline); pause(ctx, tryPause) {
		if f, result, _ := l.ask(ctx, d, credential, method, params...); f == done {
			return result, true
		}
	}
	return answered{}, false
}

// make makes a change, until it is answered, and records it. Made again after it may have come into effect it is the same change:
// none of another kind follows it. A creation is not made again, which would be another one.
func (l *load) make(ctx context.Context, d *door, o *owner, c *change, credential, method string, params ...any) bool {
	c.began = l.now()
	o.mu.Lock()
	o.changes = append(o.changes, c)
	o.mu.Unlock()
	for deadline := time.Now().Add(tryFor); time.Now().Before(deadline) && ctx.Err() == nil; pause(ctx, tryPause) {
		o.mu.Lock()
		c.tries++ // before it is known: a look into the record meanwhile must not miss it
		o.mu.Unlock()
		asked := try{node: l.nodes[d.node], began: l.now()}
		f, result, said := l.ask(l.last, d, credential, method, params...)
		asked.ended = l.now()
		o.mu.Lock()
		switch {
		case f == done || f == gone && (c.kind == deleted || c.kind == ownerGone) && c.tries > 1:
			c.answered, c.told = asked.ended, result.Version
			l.introduce(o, c, result)
		case f == refused:
			c.tries--
		case f == unknown:
			o.doubtful = true
			c.lost = append(c.lost, asked)
		default:
			o.odd = append(o.odd, said)
			o.doubtful = true
		}
		once := c.kind == created || c.kind == rotated
		over := c.answered != never || f == odd || f == gone || once && f == unknown
		o.mu.Unlock()
		if over {
			break
		}
	}
	return c.answered != never
}

// introduce records the secret that a change has made. It is called with the owner's mu held.
func (l *load) introduce(o *owner, c *change, result answered) {
	if c.kind != created && c.kind != rotated {
		return
	}
	c.made = &token{id: result.ID, secret: result.Token, first: standing{permissions: c.bits, held: allScopes, off: !c.on}}
	o.tokens = append(o.tokens, c.made)
}

// pause waits, and no longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// below returns a random time below d.
func below(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}
