package rpc

import (
	"fmt"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// rates holds tokens to their rate limits on this node: of each a bucket of so many verifications, which fills again within
// the limit's window.
type rates struct {
	mu   sync.Mutex // makes looking up and taking one step
	full limiter
}

func newRates() *rates { return &rates{full: newLimiter(bucket{})} }

// take counts a verification of a token, and returns 0, or how long to wait for the next one.
func (r *rates) take(facts *models.Facts) time.Duration {
	rate := facts.RateLimit
	if rate == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.full
	l.bucket = bucket{int(rate.Requests), time.Duration(rate.Window) * time.Second / time.Duration(rate.Requests)}
	now := time.Now()
	key := fmt.Sprint(facts.TokenID, " ", rate.Requests, "/", rate.Window) // another limit begins with a bucket of its own
	wait := l.wait(key, now)
	if wait == 0 {
		l.take(key, now)
	}
	return wait
}
