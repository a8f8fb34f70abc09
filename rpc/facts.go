package rpc

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"

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

	allowed, denied atomic.Int64 // uses that the store does not know of yet
}

// facts are those that a node keeps. The one unused for longest makes way for a new one.
type facts struct {
	kept *lru.Cache[models.Digest, *fact]
	size int
}

func newFacts(size int) facts {
	kept, _ := lru.New[models.Digest, *fact](math.MaxInt) // evict sees to the size, as there is more to do than to forget
	return facts{kept, max(size, 1)}
}

// known returns the facts of a token from memory, or nil where they must be asked of the database: also where this node
// cannot tell whether they are still what they were.
func (h *hub) known(d models.Digest) *fact {
	fact, _ := h.facts.kept.Get(d)
	if fact == nil || fact.stale.Load() || fact.ended(h.store.Now()) || !h.current() {
		return nil
	}
	return fact
}

// ended reports whether the token's time is over.
func (f *fact) ended(now models.Time) bool { return f.ExpiresAt != nil && *f.ExpiresAt <= now }

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
// kept after it. It returns those that are kept, which others may have read, or nil.
func (h *hub) keep(fact *fact) *fact {
	f := h.retain(fact.UserID, fact.Position.Number)
	if f == nil {
		return nil
	}
	defer h.release(f)
	f.mu.Lock()
	f.renew(fact.Position.Number)
	f.mu.Unlock()
	if !h.follow(f) {
		return nil
	}
	defer h.evict()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last > fact.Position.Number {
		return nil
	}
	if kept, _ := h.facts.kept.Peek(fact.digest); kept != nil {
		return kept
	}
	fact.feed = f
	w := h.watched(f, fact.TokenID)
	w.facts = append(w.facts, fact)
	h.facts.kept.Add(fact.digest, fact)
	return fact
}

// evict drops facts where there are too many. It is called without any lock, since those are some other user's.
func (h *hub) evict() {
	for h.facts.kept.Len() > h.facts.size {
		_, oldest, ok := h.facts.kept.GetOldest()
		if !ok {
			return
		}
		f := oldest.feed
		f.mu.Lock()
		if w := f.watches[oldest.TokenID]; w != nil && w.remove(oldest) {
			oldest.stale.Store(true)
			h.facts.kept.Remove(oldest.digest)
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
	}
}
