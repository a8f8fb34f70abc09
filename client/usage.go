package client

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Bounds of reporting.
const (
	reportEvery   = 10 * time.Second
	reportTimeout = 5 * time.Second
	maxReport     = 500     // tokens of one report
	maxCount      = 1e9     // uses of one token in one report
	maxUses       = 100_000 // tokens whose uses wait to be reported
)

// count counts a use of a token that is good: in its entry, or for itself where that is out or never was.
func (v *Verifier) count(d Decision, allowed bool) {
	if e := d.entry; e != nil {
		t := &e.tally
		if many := e.tallies.Load(); many != nil {
			t = &many[v.places.mine()]
		}
		n := t.add(allowed)
		if n == manyUses {
			v.spread(e)
		}
		if n > 0 {
			return
		}
	}
	u := use{allowed: 1}
	if !allowed {
		u = use{denied: 1}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(d.TokenID, u)
	if d.entry != nil {
		v.stats.Hits++
	}
}

// spread has the uses of an entry counted in many places, unless it is out.
func (v *Verifier) spread(e *entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.tallies.Load() == nil && e.tally.allowed.Load() >= 0 {
		e.tallies.Store(new([maxTallies]tally))
	}
}

// add keeps uses until they are reported. It is called with mu held.
func (v *Verifier) add(tokenID string, u use) {
	if u == (use{}) {
		return
	}
	known, isKnown := v.uses[tokenID]
	if !isKnown && len(v.uses) >= maxUses {
		v.stats.LostUses += u.allowed + u.denied
		return
	}
	v.uses[tokenID] = known.plus(u)
}

// settle takes the uses of an entry that is out. It is called with mu held.
func (v *Verifier) settle(e *entry) { v.hit(e, e.seal()) }

// gather takes the uses of all that is held. It is called with mu held.
func (v *Verifier) gather() {
	if s := v.session.Load(); s != nil {
		for _, e := range s.cache.ring {
			v.hit(e, e.take())
		}
	}
}

func (v *Verifier) hit(e *entry, u use) {
	v.stats.Hits += u.allowed + u.denied
	v.add(e.decision.TokenID, u)
}

// report reports what was used, again and again.
func (v *Verifier) report() {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-v.ctx.Done():
			return
		}
		if s := v.session.Load(); s != nil {
			ctx, cancel := context.WithTimeout(v.ctx, reportTimeout)
			v.reportTo(ctx, s.conn)
			cancel()
		}
	}
}

// reported is one token's part of a report.
type reported struct {
	TokenID string `json:"tokenId"`
	Allowed int64  `json:"allowed"`
	Denied  int64  `json:"denied"`
}

// reportTo reports what was used since the last time. What could not be sent, or was not counted, is kept.
func (v *Verifier) reportTo(ctx context.Context, k *conn) {
	v.mu.Lock()
	v.gather()
	uses := v.uses
	v.uses = map[string]use{}
	all := make([]reported, 0, len(uses))
	for id, u := range uses {
		now := use{min(u.allowed, maxCount), min(u.denied, maxCount)}
		v.add(id, use{u.allowed - now.allowed, u.denied - now.denied})
		all = append(all, reported{id, now.allowed, now.denied})
	}
	v.mu.Unlock()
	for batch := range slices.Chunk(all, maxReport) {
		if ctx.Err() != nil || v.send(ctx, k, batch) != nil { // where time is up, the rest is not sent to be lost
			break
		}
		all = all[len(batch):]
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range all {
		v.add(r.TokenID, use{r.Allowed, r.Denied})
	}
}

// send sends one report. One whose answer is lost may have been counted, and one that the server understands and refuses would
// be refused for ever: both are given up.
func (v *Verifier) send(ctx context.Context, k *conn, batch []reported) error {
	_, err := k.call(ctx, methodReport, [][]reported{batch})
	isLost := errors.Is(err, ErrOutcomeUnknown)
	if refused := code(err); !isLost && (refused == 0 || refused == codeUnavailable) {
		return err
	}
	v.options.Log.Error("tokenwire: a report of uses was refused, or its answer lost", "cause", err)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range batch {
		v.stats.LostUses += r.Allowed + r.Denied
	}
	return nil
}
