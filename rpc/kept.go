package rpc

import (
	"sync"
	"sync/atomic"

	"github.com/tokenwire/tokenwire/models"
)

// kept are facts by the digests of their tokens. A look takes no lock, as every verification is one.
//
// Which one makes way is found by second chance: a hand goes round the ring and takes the first that was not used since it
// came by last. That is nearly the one unused for longest.
type kept struct {
	facts sync.Map // by digest

	mu   sync.Mutex
	ring []*fact
	hand int
}

// place is where facts are in the ring, and whether they were used since the hand came by.
type place struct {
	index int // guarded by kept.mu
	used  atomic.Bool
}

// get returns the facts of a digest, or nil. It counts as a use.
func (k *kept) get(d models.Digest) *fact {
	found, _ := k.facts.Load(d)
	fact, _ := found.(*fact)
	if fact != nil && !fact.place.used.Load() { // not written each time: other cores have it, too
		fact.place.used.Store(true)
	}
	return fact
}

// peek is get without a use.
func (k *kept) peek(d models.Digest) *fact {
	found, _ := k.facts.Load(d)
	fact, _ := found.(*fact)
	return fact
}

// add takes facts in whose digest is not there.
func (k *kept) add(fact *fact) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fact.place.index = len(k.ring)
	k.ring = append(k.ring, fact)
	k.facts.Store(fact.digest, fact)
}

// remove takes facts out that are there.
func (k *kept) remove(fact *fact) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.facts.Delete(fact.digest)
	last := len(k.ring) - 1
	k.ring[fact.place.index] = k.ring[last]
	k.ring[fact.place.index].place.index = fact.place.index
	k.ring[last] = nil
	k.ring = k.ring[:last]
}

// surplus returns facts that are to make way, or nil if there are no more than so many.
func (k *kept) surplus(size int) *fact {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.ring) > size {
		k.hand %= len(k.ring) - 1 // the last is what has just come
		fact := k.ring[k.hand]
		k.hand++ // in any case: what takes the place of what makes way has its turn when all others have had theirs
		if !fact.place.used.Swap(false) {
			return fact
		}
	}
	return nil
}

// len returns how many there are.
func (k *kept) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ring)
}
