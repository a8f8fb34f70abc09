package faults

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/tokenwire/tokenwire/client"
)

// base62 are the digits of credentials.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// forged returns what looks like a token to the last digit, and never was one.
func forged() string {
	random := make([]byte, 63)
	rand.Read(random)
	for i := range random {
		random[i] = base62[random[i]%62]
	}
	body := "twt_" + string(random[:20]) + "_" + string(random[20:])
	digits, rest := [6]byte{}, crc32.ChecksumIEEE([]byte(body))
	for i := range digits {
		digits[len(digits)-1-i] = base62[rest%62]
		rest /= 62
	}
	return body + "_" + string(digits[:])
}

// view is a way to verify a token. It reports false where nothing is known.
type view func(ctx context.Context, secret string) (sight, bool)

// byCall asks the method of a node.
func (l *load) byCall(n *node) view {
	return func(ctx context.Context, secret string) (sight, bool) {
		status, answer, err := l.post(ctx, n, l.service, "/v1/verifier/verify", secret)
		var said struct {
			Active      bool
			Permissions []string
		}
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &said) != nil {
			return sight{}, false
		}
		return sight{said.Active, scopesOf(said.Permissions)}, true
	}
}

// byProxy asks a node as a reverse proxy does.
func (l *load) byProxy(n *node) view {
	return func(ctx context.Context, secret string) (sight, bool) {
		request, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.front.address()+"/auth/verify", nil)
		if err != nil {
			return sight{}, false
		}
		request.Header.Set("Authorization", "Bearer "+secret)
		response, err := l.http.Do(request)
		if err != nil {
			return sight{}, false
		}
		response.Body.Close()
		switch response.StatusCode {
		case http.StatusOK:
			return sight{true, scopesOf(strings.Split(response.Header.Get("X-Tokenwire-Permissions"), ","))}, true
		case http.StatusUnauthorized:
			return sight{}, true
		}
		return sight{}, false
	}
}

// byService asks a service that holds what it was told.
func byService(v *client.Verifier) view {
	return func(ctx context.Context, secret string) (sight, bool) {
		d, err := v.Verify(ctx, secret)
		return sight{d.Active, scopesOf(d.Permissions())}, err == nil
	}
}

// lookThrough verifies a token through a door and records what that says. The owner is nil for a token that must be no good.
func (l *load) lookThrough(ctx context.Context, o *owner, t *token, door string, c class, v view) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := l.now()
	said, known := v(ctx, t.secret)
	if !known {
		return
	}
	l.numbers.looks.Add(1)
	if o != nil {
		o.look(t, look{c, door, began, l.now(), said})
	} else if said.active {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wrong = append(l.wrong, fmt.Sprintf("credentials: %s takes a token that is none", door))
	}
}

// nodeDoor returns one of the doors of a node.
func (l *load) nodeDoor(n int, random int) (string, view) {
	if random%2 == 0 {
		return fmt.Sprint("call at node ", n), l.byCall(l.nodes[n])
	}
	return fmt.Sprint("proxy at node ", n), l.byProxy(l.nodes[n])
}

// lookByAll verifies a token at every node and by every verifier.
func (l *load) lookByAll(ctx context.Context, o *owner, t *token) {
	var all sync.WaitGroup
	for n := range l.nodes {
		name, door := l.nodeDoor(n, mathrand.IntN(2))
		all.Go(func() { l.lookThrough(ctx, o, t, name, byNode, door) })
	}
	for n, v := range l.verifiers {
		all.Go(func() { l.lookThrough(ctx, o, t, fmt.Sprint("verifier ", n), byVerifier, byService(v)) })
	}
	all.Wait()
}

// lookAtAll verifies what there is by all doors: when a node has come back, and may not know yet what it missed.
func (l *load) lookAtAll() {
	l.mu.Lock()
	living := append([]*owner{}, l.living...)
	l.mu.Unlock()
	var all sync.WaitGroup
	for _, o := range living {
		o.mu.Lock()
		for _, t := range o.tokens[max(0, len(o.tokens)-tokensEach-1):] {
			all.Go(func() { l.lookByAll(l.last, o, t) })
		}
		o.mu.Unlock()
	}
	all.Wait()
}

// lookAtAny verifies any token through any door: one of those that are changed, most of the time, or one that must be no good.
func (l *load) lookAtAny(ctx context.Context, random *mathrand.Rand) {
	l.mu.Lock()
	var o *owner
	var t *token
	if len(l.living) > 0 && random.IntN(10) > 0 {
		o = l.living[random.IntN(len(l.living))]
	} else {
		t = l.ended[random.IntN(len(l.ended))]
	}
	l.mu.Unlock()
	if o != nil {
		o.mu.Lock()
		if n := len(o.tokens); n > 0 {
			t = o.tokens[n-1-random.IntN(min(n, tokensEach+1))]
		}
		o.mu.Unlock()
	}
	if t == nil {
		return
	}
	if n := random.IntN(len(l.nodes) + len(l.verifiers)); n < len(l.nodes) {
		name, door := l.nodeDoor(n, random.IntN(2))
		l.lookThrough(ctx, o, t, name, byNode, door)
	} else {
		n -= len(l.nodes)
		l.lookThrough(ctx, o, t, fmt.Sprint("verifier ", n), byVerifier, byService(l.verifiers[n]))
	}
}
