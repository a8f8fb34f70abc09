package client

import (
	"math"
	"sync"
	"sync/atomic"
)

const (
	// maxTallies is in how many places the uses of a token that is much in use are counted, so that cores do not wait for each
	// other.
	maxTallies = 16
	// manyUses is from how many uses on between two reports a token is one of these.
	manyUses = 10_000
)

// use is how often a token was let in, and how often not.
type use struct{ allowed, denied int64 }

func (u use) plus(other use) use { return use{u.allowed + other.allowed, u.denied + other.denied} }

// tally counts uses. It fills what cores take from each other at once, 64 bytes, and so keeps off what each use only reads.
type tally struct {
	_       [48]byte
	allowed atomic.Int64
	denied  atomic.Int64
}

// add returns what the count has come to, which is below zero where the tally is sealed.
func (t *tally) add(allowed bool) int64 {
	if allowed {
		return t.allowed.Add(1)
	}
	return t.denied.Add(1)
}

// take returns the uses since the last time. Most have none, and need no write.
func (t *tally) take() use {
	if t.allowed.Load() == 0 && t.denied.Load() == 0 {
		return use{}
	}
	return use{t.allowed.Swap(0), t.denied.Swap(0)}
}

func (t *tally) seal() use {
	return use{max(0, t.allowed.Swap(math.MinInt64)), max(0, t.denied.Swap(math.MinInt64))}
}

// places gives each core a place of its own among the tallies, as well as Go lets one know: what a core puts back into a pool is
// what it gets from there.
type places struct {
	pool    sync.Pool
	numbers [maxTallies]int
	given   atomic.Uint32
}

func newPlaces() *places {
	p := &places{}
	for i := range p.numbers {
		p.numbers[i] = i
	}
	p.pool.New = func() any { return &p.numbers[p.given.Add(1)%maxTallies] }
	return p
}

func (p *places) mine() int {
	number := p.pool.Get().(*int)
	p.pool.Put(number)
	return *number
}
