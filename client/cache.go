package client

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// entry is what is held of one token under one of its secrets.
type entry struct {
	digest   digest
	decision Decision
	until    time.Duration // the token's end, on the verifier's clock
	place    int           // in the ring
	used     atomic.Bool   // since the hand last came by

	_       [cacheLine]byte // what each use writes is apart from what it reads, as other cores do so too
	allowed atomic.Int64    // uses since they were last taken; far below zero once the entry is out
	denied  atomic.Int64
}

// cacheLine is how many bytes cores take from each other at once.
const cacheLine = 64

// never is the end of what has none.
const never time.Duration = math.MaxInt64

// count counts a use, and reports false where the entry is out and its counts were taken.
func (e *entry) count(allowed bool) bool {
	if allowed {
		return e.allowed.Add(1) > 0
	}
	return e.denied.Add(1) > 0
}

// take returns the uses since the last time.
func (e *entry) take() use {
	if e.allowed.Load() == 0 && e.denied.Load() == 0 { // most have none, and need no write
		return use{}
	}
	return use{e.allowed.Swap(0), e.denied.Swap(0)}
}

// seal returns the uses since the last time, and makes whoever comes too late to be among them see that. Once it is sealed
// there are none any more.
func (e *entry) seal() use {
	return use{max(0, e.allowed.Swap(math.MinInt64)), max(0, e.denied.Swap(math.MinInt64))}
}

// cache holds entries, at most size of them. Any goroutine may get; all else is guarded by Verifier.mu.
//
// Whoever makes way is found by second chance: a hand goes round the ring and takes the first entry that was not used since
// it came by last. That is nearly the one unused for longest, and a use costs no lock and no write but the first.
type cache struct {
	entries sync.Map // digest → *entry
	size    int
	ring    []*entry
	hand    int
	byToken map[string][]*entry // a token has two secrets while one is replaced
	out     func(*entry)        // told of each that has made way or was removed
}

func newCache(size int, out func(*entry)) *cache {
	return &cache{size: size, byToken: map[string][]*entry{}, out: out}
}

func (c *cache) get(d digest) *entry {
	e, ok := c.entries.Load(d)
	if !ok {
		return nil
	}
	return e.(*entry)
}

// put takes an entry in, in the place of one of the same digest.
func (c *cache) put(e *entry) {
	c.remove(c.get(e.digest))
	if len(c.ring) >= c.size {
		c.evict()
	}
	e.place = len(c.ring)
	c.ring = append(c.ring, e)
	c.byToken[e.decision.TokenID] = append(c.byToken[e.decision.TokenID], e)
	c.entries.Store(e.digest, e)
}

func (c *cache) evict() {
	for {
		c.hand %= len(c.ring)
		e := c.ring[c.hand]
		if !e.used.Swap(false) {
			c.remove(e)
			return
		}
		c.hand++
	}
}

// remove takes an entry out, if there is one.
func (c *cache) remove(e *entry) {
	if e == nil {
		return
	}
	c.entries.Delete(e.digest)
	last := len(c.ring) - 1
	c.ring[e.place] = c.ring[last]
	c.ring[e.place].place = e.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
	id := e.decision.TokenID
	if c.byToken[id] = slices.DeleteFunc(c.byToken[id], func(other *entry) bool { return other == e }); len(c.byToken[id]) == 0 {
		delete(c.byToken, id)
	}
	c.out(e)
}

// removeToken takes out all that is held of a token, and returns how many entries that were.
func (c *cache) removeToken(id string) int {
	entries := slices.Clone(c.byToken[id])
	for _, e := range entries {
		c.remove(e)
	}
	return len(entries)
}
