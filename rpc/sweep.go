package rpc

import (
	"context"
	"time"
)

// Times of a node's look at what others have committed.
const (
	sweepEvery = time.Second // how far a node may be behind what another one committed
	sweepChunk = 500         // users asked about in one query
	nodeLease  = 2 * sweepEvery
)

// sweep finds what was committed without this node being told: by another node, or with an unknown outcome. It also finds
// feeds that went back, which means that the database was restored.
func (h *hub) sweep(ctx context.Context) {
	h.endAbandoned()
	began := time.Since(h.began)
	feeds := h.feedsOf("")
	whole := true
	for len(feeds) > 0 && ctx.Err() == nil {
		n := min(len(feeds), sweepChunk)
		whole = h.sweepChunk(ctx, feeds[:n]) && whole
		feeds = feeds[n:]
	}
	if whole && ctx.Err() == nil {
		h.swept.Store(int64(began))
	}
}

// current reports whether this node is sure to know of every change that is older than nodeLease. If it is not, nothing is
// answered from memory, and no verifier's lease is renewed.
func (h *hub) current() bool {
	return time.Since(h.began)-time.Duration(h.swept.Load()) < nodeLease
}

// sweepChunk reports whether it could see to all of these feeds.
func (h *hub) sweepChunk(ctx context.Context, feeds []*feed) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	ids := make([]string, len(feeds))
	last := make([]int64, len(feeds))
	for i, f := range feeds {
		f.mu.Lock()
		ids[i], last[i] = f.userID, f.last
		h.expireRevocations(f, time.Now())
		f.mu.Unlock()
	}
	positions, err := h.store.Positions(ctx, ids)
	if err != nil {
		return false // the next sweep asks again
	}
	for i, f := range feeds {
		switch position := positions[f.userID]; {
		case position > last[i]:
			h.catchUp(f, position)
		case position < last[i]:
			h.drop(f)
		}
	}
	return true
}
