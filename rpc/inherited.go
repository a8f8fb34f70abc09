package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// leaseStep is how far ahead it is written down until when leases last: there is a write as often while there are verifiers,
// and a process that takes this one's place waits for so much longer.
const leaseStep = 5 * time.Second

// maxInherited is how long a process waits for leases of the one before it, whatever the database says.
const maxInherited = maxLease + leaseStep

// secured is until when leases may last that this process gives, as the database has it.
type secured struct {
	mu    sync.Mutex
	until models.Time
}

// secure writes down how far a lease is about to reach, before it is given: were this process to die, the next one could
// not tell by itself that somebody answers from what he was given here.
func (h *hub) secure(ctx context.Context, length time.Duration) error {
	h.secured.mu.Lock()
	defer h.secured.mu.Unlock()
	until := h.store.Now() + models.Time(length.Milliseconds())
	if until <= h.secured.until {
		return nil
	}
	until += models.Time(leaseStep.Milliseconds())
	if err := h.store.ExtendLeases(ctx, until); err != nil {
		return err
	}
	h.secured.until = until
	return nil
}

// inherit returns until when verifiers may answer from what they were given by a process before this one. Where that cannot
// be read, it is as late as it may be.
func (h *hub) inherit() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	left := maxInherited
	if until, err := h.store.LeasesUntil(ctx); err == nil {
		left = min(maxInherited, time.Duration(until-h.store.Now())*time.Millisecond)
	}
	return time.Now().Add(left)
}

// awaitInherited returns when no verifier answers any more from what it was given by a process before this one.
func (h *hub) awaitInherited(ctx context.Context) error {
	left := time.Until(h.inherited)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.stopping:
		return errStopping
	}
}
