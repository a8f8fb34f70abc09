package rpc

import (
	"context"
	"slices"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// eachEvery is how many sweeps there are for one that looks at each feed, and not at sums only: where the database was restored,
// some feeds may have gone on by as much as others have gone back. Where this node was cut off from it, as it is when another host
// takes over that lacks the last commits, the first sweep does so, too.
const eachEvery = 20

// groupSize is how many feeds are looked at together: a question to the database takes as much of this process as two hundred of
// its users do.
const groupSize = 2000

// lookout is what the sweeps know of the feeds that they look at.
type lookout struct {
	*models.Lookout
	fresh  []*feed // that are in no group yet; guarded by hub.mu
	groups []*group
	sweeps int
	cut    bool // the sweep before did not come to its end
}

// group is feeds that are looked at together.
type group struct {
	feeds []*feed
	sums  *models.Group // nil until it is asked for
}

// regroup takes new feeds into groups, and those that nobody needs any more out of them.
func (h *hub) regroup() {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, total := &h.lookout, 0
	for _, g := range l.groups {
		before := len(g.feeds)
		g.feeds = slices.DeleteFunc(g.feeds, func(f *feed) bool { return f.refs == 0 })
		if len(g.feeds) != before {
			g.sums = nil
		}
		total += len(g.feeds)
	}
	l.fresh = slices.DeleteFunc(l.fresh, func(f *feed) bool { return f.refs == 0 })
	if full := (total + len(l.fresh)) / groupSize; len(l.groups) > 2*full+1 { // most are nearly empty
		for _, g := range l.groups {
			l.fresh = append(l.fresh, g.feeds...)
		}
		l.groups = nil
	}
	for _, g := range l.groups {
		n := min(groupSize-len(g.feeds), len(l.fresh))
		g.take(l.fresh[:n])
		l.fresh = l.fresh[n:]
	}
	for chunk := range slices.Chunk(l.fresh, groupSize) {
		g := &group{}
		g.take(chunk)
		l.groups = append(l.groups, g)
	}
	l.fresh = nil
}

func (g *group) take(feeds []*feed) {
	if len(feeds) > 0 {
		g.feeds, g.sums = append(g.feeds, feeds...), nil
	}
}

func (g *group) userIDs() []string {
	ids := make([]string, len(g.feeds))
	for i, f := range g.feeds {
		ids[i] = f.userID
	}
	return ids
}

// lookAround finds what was committed to all feeds, and reports whether it could see to all of them.
func (h *hub) lookAround(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	l := &h.lookout
	l.sweeps++
	each := l.sweeps%eachEvery == 0 || l.cut || !h.current()
	if quiet := l.Quiet(ctx); quiet && !each {
		return true
	}
	for _, g := range l.groups {
		if !each && h.stands(ctx, g) {
			continue
		}
		if !h.look(ctx, g.feeds) {
			return false
		}
	}
	l.Seen()
	return true
}

// stands reports whether nothing was committed to the feeds of a group: then they stand, together, where they did.
func (h *hub) stands(ctx context.Context, g *group) bool {
	var last int64
	for _, f := range g.feeds {
		f.mu.Lock()
		last += f.last
		if len(f.revocations) > 0 {
			h.expireRevocations(f, time.Now())
		}
		f.mu.Unlock()
	}
	if g.sums == nil {
		g.sums = models.NewGroup(g.userIDs())
	}
	if g.sums == nil || len(g.feeds) == 0 {
		return false
	}
	feeds, sum, err := h.store.SumPositions(ctx, g.sums)
	return err == nil && feeds == len(g.feeds) && sum == last
}
