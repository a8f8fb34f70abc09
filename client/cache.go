package client

import (
	"slices"
	"sync"
	"sync/atomic"
)

// entry is what is held of one token under one of its secrets.
type entry struct {
	digest   digest
	decision Decision
	life     term        // up to the token's end
	place    int         // in the ring
	used     atomic.Bool // since the hand last came by
	tallies  atomic.Pointer[[maxTallies]tally]
	tally    tally // what of it is not in tallies, which only a token much in use has
}

// seal returns the uses since the last time, and has whoever comes too late to be among them see that. Once it is sealed there
// are none any more. It is called with Verifier.mu held.
func (e *entry) seal() use {
	sum := e.tally.seal()
	if many := e.tallies.Load(); many != nil {
		for i := range many {
			sum = sum.plus(many[i].seal())
		}
	}
	return sum
}

// take returns the uses since the last time. It is called with Verifier.mu held.
func (e *entry) take() use {
	sum := e.tally.take()
	if many := e.tallies.Load(); many != nil {
		for i := range many {
			sum = sum.plus(many[i].take())
		}
	}
	return sum
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
