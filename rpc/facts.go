package rpc

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tokenwire/tokenwire/models"
)

// DefaultFacts is how many tokens' facts a node keeps, if it is not told otherwise: about 100 MB of them.
const DefaultFacts = 50_000

// maxReads is how often the facts of a token are read anew as they changed while they were read.
const maxReads = 5

// fact is what a node has read of a token. It is kept for as long as the node hears of its user's changes: whoever is asked
// about the token answers from it, until a change drops it.
type fact struct {
	*models.Facts
	digest models.Digest
	answer []byte      // of /v1/verifier/verify to who asks for nothing else
	feed   *feed       // nil for what is not kept
	stale  atomic.Bool // set with feed.mu held, before anybody is told of the change
	place  place

	allowed, denied atomic.Int64 // uses that the store does not know of yet
}

// known returns the facts of a token from memory, or nil where they must be asked of the database: also where this node
// cannot tell whether they are still what they were.
func (h *hub) known(d models.Digest) *fact {
	fact := h.facts.get(d)
	if fact == nil || fact.stale.Load() || fact.ExpiresAt != nil && *fact.ExpiresAt <= h.store.Now() || !h.current() {
		return nil
	}
	return fact
}

// ask returns the facts of a token, nil for a bad one. They are as new as the call, and are kept if that is sure to go on.
func (h *hub) ask(ctx context.Context, d models.Digest) (*fact, error) {
	if fact := h.known(d); fact != nil {
		return fact, nil
	}
	for attempt := 1; ; attempt++ {
		read, err := h.store.Facts(ctx, d)
		if err != nil || read == nil {
			return nil, err
		}
		fact := newFact(read, d)
		if kept := h.keep(fact); kept != nil {
			return kept, nil
		}
		if attempt == maxReads { // true as of this call, and no longer than that
			return fact, nil
		}
	}
}

// keep keeps facts that were read, if nothing has happened to the user since: what was read before a change must not be
// kept after it. It returns those that are kept, which others may have read, or nil; and where this node has not heard of all that
// the facts know of, these.
func (h *hub) keep(fact *fact) *fact {
	f := h.retain(fact.UserID, fact.Position)
	if f == nil {
		return nil
	}
	defer h.release(f)
	f.mu.Lock()
	f.renew(fact.Position)
	f.mu.Unlock()
	if !h.follow(f) {
		return nil
	}
	f.mu.Lock()
	behind := f.last < fact.Position.Number
	f.mu.Unlock()
	if behind && !h.catchUp(f, fact.Position.Number) { // what is kept of the token may be older than what was read
		return nil
	}
	defer h.evict()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last > fact.Position.Number {
		return nil
	}
	if kept := h.facts.peek(fact.digest); kept != nil {
		if f.last < fact.Position.Number { // of what came after the last event here, those that are kept may know nothing
			return fact
		}
		return kept
	}
	fact.feed = f
	w := h.watched(f, fact.TokenID)
	w.facts = append(w.facts, fact)
	h.facts.add(fact)
	return fact
}

// evict drops facts where there are too many. It is called without any lock, since those are some other user's.
func (h *hub) evict() {
	for {
		oldest := h.facts.surplus(h.size)
		if oldest == nil {
			return
		}
		f := oldest.feed
		f.mu.Lock()
		if w := f.watches[oldest.TokenID]; w != nil && w.remove(oldest) {
			oldest.stale.Store(true)
			h.facts.remove(oldest)
			h.unwatch(f, oldest.TokenID)
		}
		f.mu.Unlock()
	}
}

// maxUsed is how many tokens' uses wait to be handed to the store: more than are used between two times.
const maxUsed = 100_000

// uses are the facts that were used since the store was told.
type uses struct {
	mu   sync.Mutex
	used []*fact
}

// used counts a use of a token in its facts. Only the first since the store was told has to note more.
func (h *hub) used(fact *fact, allowed bool) {
	n := &fact.allowed
	if !allowed {
		n = &fact.denied
	}
	if n.Add(1) > 1 {
		return
	}
	h.uses.mu.Lock()
	defer h.uses.mu.Unlock()
	if len(h.uses.used) < maxUsed {
		h.uses.used = append(h.uses.used, fact)
	} else {
		h.tellUses(fact)
	}
}

// tellAllUses hands the uses that were counted to the store, which writes them.
func (h *hub) tellAllUses() {
	h.uses.mu.Lock()
	used := h.uses.used
	h.uses.used = nil
	h.uses.mu.Unlock()
	for _, fact := range used {
		h.tellUses(fact)
	}
}

func (h *hub) tellUses(fact *fact) {
	if allowed, denied := fact.allowed.Swap(0), fact.denied.Swap(0); allowed+denied > 0 {
		h.store.Used(fact.TokenID, allowed, denied)
		h.metrics.allowed.Add(float64(allowed))
		h.metrics.denied.Add(float64(denied))
	}
}
