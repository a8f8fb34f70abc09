package rpc

import (
	"maps"
	"slices"
)

// watch is who must hear when the facts of a token change: the node itself, and verifiers.
type watch struct {
	facts  []*fact // at most two: for a while a token may have two secrets
	leases map[*lease]struct{}
}

func (w *watch) remove(fact *fact) bool {
	i := slices.Index(w.facts, fact)
	if i < 0 {
		return false
	}
	w.facts = slices.Delete(w.facts, i, i+1)
	return true
}

// watched returns the watch of a token. It is called with feed.mu held, and the caller gives it something to tell of.
func (h *hub) watched(f *feed, tokenID string) *watch {
	w := f.watches[tokenID]
	if w == nil {
		w = &watch{leases: map[*lease]struct{}{}}
		f.watches[tokenID] = w
		h.hold(f)
	}
	return w
}

// unwatch ends the watch of a token if there is nobody left to tell. It is called with feed.mu held.
func (h *hub) unwatch(f *feed, tokenID string) {
	if w := f.watches[tokenID]; w != nil && len(w.facts)+len(w.leases) == 0 {
		delete(f.watches, tokenID)
		h.release(f)
	}
}

// revoke drops the facts of a token, or with "" of all tokens of the feed's user: this node no longer answers from them, and
// the verifiers that hold them are told. Whoever made the change can wait for them. It is called with feed.mu held, and waits for nobody.
func (h *hub) revoke(f *feed, tokenID, changeID string) {
	ids := []string{tokenID}
	if tokenID == "" {
		ids = slices.Collect(maps.Keys(f.watches))
	}
	told := map[*lease][]string{}
	for _, id := range ids {
		w := f.watches[id]
		if w == nil {
			continue
		}
		defer h.release(f) // last: where nothing else needs the feed, it must stay for who waits for the verifiers
		for _, fact := range w.facts {
			fact.stale.Store(true)
			h.facts.remove(fact)
		}
		for l := range w.leases {
			told[l] = append(told[l], id)
		}
		delete(f.watches, id)
	}
	position := f.last
	if f.lost { // no change of its own
		position = 0
	}
	h.tell(f, newRevocation(f, tokenID, position), changeID, told)
}

// tell tells verifiers that what they hold of some tokens is no longer so.
func (h *hub) tell(f *feed, r *revocation, changeID string, told map[*lease][]string) {
	if len(told) == 0 {
		return
	}
	for l, ids := range told {
		slices.Sort(ids)
		for chunk := range slices.Chunk(ids, changedChunk) {
			l.push(chunk, r)
		}
	}
	if r.settled() {
		return
	}
	f.revocations = append(f.revocations, r)
	h.hold(f)
	h.unsettle(f)
	h.expected(changeID, r)
}

// unsettle notes that other nodes may have to be told of a feed's revocations. It is called with feed.mu held.
func (h *hub) unsettle(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, is := h.unsettled[f]; !is {
		h.unsettled[f] = 0
		f.refs++
	}
}
