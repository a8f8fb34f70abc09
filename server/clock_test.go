package server_test

import (
	"sync"
	"time"
)

// clock never gives the same millisecond twice, so that "newest first" is one order, and can be put forward.
type clock struct {
	mu   sync.Mutex
	last time.Time
	add  time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().Add(c.add)
	if now.Sub(c.last) < time.Millisecond {
		now = c.last.Add(time.Millisecond)
	}
	c.last = now
	return now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}
