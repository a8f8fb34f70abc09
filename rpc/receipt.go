package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// noticeAfter is how long a connection's notifications wait for the reply to a call of its own that waits for verifiers.
const noticeAfter = time.Second

// Receipt says that no verifier acts on what was before a change.
type Receipt struct {
	Verifiers int     `json:"verifiers" doc:"that had been given what the change made untrue"`
	Confirmed int     `json:"confirmed" doc:"of them, that have said that they let go of it"`
	Expired   int     `json:"expired" doc:"of them, that did not, and whose lease has run out"`
	ElapsedMs float64 `json:"elapsedMs" doc:"milliseconds from the call to the last of them"`
}

// revocation is a change of what is known of a token, or of all a user's, on its way to the verifiers that hold it.
type revocation struct {
	feed     *feed
	tokenID  string // "" for all
	position int64  // of the change in the feed, or 0 for none

	// All of these are guarded by feed.mu.
	waiting   map[*lease]awaited
	confirmed map[*lease]bool // false for a lease that ran out
	done      chan struct{}   // closed when nobody is waited for any more
}

// awaited is the last notification that a verifier must confirm, and until when it is waited for.
type awaited struct {
	seq   int64
	until time.Time
}

func newRevocation(f *feed, tokenID string, position int64) *revocation {
	return &revocation{feed: f, tokenID: tokenID, position: position, waiting: map[*lease]awaited{}, confirmed: map[*lease]bool{}, done: make(chan struct{})}
}

// await has the revocation wait for a verifier.
func (r *revocation) await(l *lease, seq int64, until time.Time) { r.waiting[l] = awaited{seq, until} }

// settled reports whether nobody is waited for. It is called with feed.mu held.
func (r *revocation) settled() bool { return len(r.waiting) == 0 }

// isDone reports the same to whoever does not hold feed.mu.
func (r *revocation) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// about reports whether the revocation is of this token, or of all.
func (r *revocation) about(tokenID string) bool {
	return tokenID == "" || r.tokenID == "" || r.tokenID == tokenID
}

// confirm takes note that a verifier has let go.
func (r *revocation) confirm(l *lease, seq int64) {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if waiting, is := r.waiting[l]; is && seq >= waiting.seq {
		delete(r.waiting, l)
		r.confirmed[l] = true
	}
	r.finish()
}

// expire waits no longer for verifiers whose lease has run out, and returns when the next one does. It is called with
// feed.mu held.
func (r *revocation) expire(now time.Time) (next time.Time) {
	for l, waiting := range r.waiting {
		switch {
		case !waiting.until.After(now):
			delete(r.waiting, l)
			r.confirmed[l] = false
		case next.IsZero() || waiting.until.Before(next):
			next = waiting.until
		}
	}
	r.finish()
	return next
}

func (r *revocation) finish() {
	if r.settled() && !r.isDone() {
		close(r.done)
	}
}

// expireRevocations lets go of the revocations of a feed that are over. It is called with feed.mu held.
func (h *hub) expireRevocations(f *feed, now time.Time) {
	f.revocations = slices.DeleteFunc(f.revocations, func(r *revocation) bool {
		if r.expire(now); !r.settled() {
			return false
		}
		f.settled(r)
		h.release(f)
		return true
	})
}

// expectation is the revocations that a call under way brings about.
type expectation struct {
	positions   map[string]int64 // of what was committed, by user: this node has been told of all that came before it, too
	revocations []*revocation
} // guarded by hub.mu

// expecting makes the change of the call with a change id, and gathers the revocations that it brings about meanwhile.
func expecting[T any](h *hub, changeID string, change func() (T, error)) (*expectation, T, error) {
	x := &expectation{positions: map[string]int64{}}
	h.mu.Lock()
	h.expectations[changeID] = x
	h.mu.Unlock()
	defer func() { // also when it panics
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.expectations, changeID)
	}()
	result, err := change()
	return x, result, err
}

// expected tells the call with a change id, if it is one of this node, what it has brought about.
func (h *hub) expected(changeID string, r *revocation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.expectations[changeID]; x != nil {
		x.revocations = append(x.revocations, r)
	}
}

// committed tells the call that made a change that it is committed, and dispatched when it returns.
func (h *hub) committed(events []models.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.expectations[events[0].ChangeID]; x != nil {
		for _, e := range events {
			x.positions[e.UserID] = max(x.positions[e.UserID], e.Position)
		}
	}
}

// subject is what a change is about: a user's token, or with "" all his tokens. A change may find out itself.
type subject struct{ userID, tokenID string }

// allUsers is the user of a change that may be about everybody's tokens.
const allUsers = "*"

// outstanding returns the revocations of a subject that verifiers have not confirmed yet, whichever call brought them about.
func (h *hub) outstanding(of subject) (found []*revocation) {
	for _, f := range h.feedsOf(of.userID) {
		f.mu.Lock()
		for _, r := range f.revocations {
			if r.about(of.tokenID) && !r.isDone() {
				found = append(found, r)
			}
		}
		f.mu.Unlock()
	}
	return found
}

// feedsOf returns a user's feed if it is here, or those of allUsers.
func (h *hub) feedsOf(userID string) []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[userID]; f != nil {
		return []*feed{f}
	}
	if userID == allUsers {
		return slices.Collect(maps.Values(h.feeds))
	}
	return nil
}

// errStopping cuts a wait for verifiers. The change itself stands.
var errStopping = &models.Error{
	Code:    models.Unavailable,
	Message: "the change is made, but the server stops before every verifier has confirmed it; call again for the receipt",
}

// errOutOfTime cuts it, too, where an answer may not take longer.
var errOutOfTime = &models.Error{
	Code:    models.Unavailable,
	Message: "the change is made, but the time for the answer is over before every verifier has confirmed it; call again for the receipt",
}

// errNotAsked cuts it where the database is away, in which the other nodes would say that they have read of the change.
var errNotAsked = &models.Error{
	Code:    models.Unavailable,
	Message: "the change is made, but the database is not available to tell whether every verifier has confirmed it; call again for the receipt",
}

// cutBy returns what a caller is told of a wait that an error has ended.
func cutBy(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errOutOfTime
	case err == nil, errors.Is(err, errStopping), errors.Is(err, context.Canceled), errors.Is(err, errNotAsked):
		return err
	}
	return fmt.Errorf("%w: %w", errNotAsked, err)
}

// wait returns when no verifier is waited for any more.
func (r *revocation) wait(ctx context.Context, stopping <-chan struct{}) error {
	for {
		r.feed.mu.Lock()
		next := r.expire(time.Now())
		r.feed.mu.Unlock()
		timer := time.NewTimer(time.Until(next))
		select {
		case <-r.done:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-stopping:
			timer.Stop()
			return errStopping
		}
		timer.Stop()
		if r.isDone() {
			return nil
		}
	}
}

// receipt returns when no verifier acts any more on what was before the revocations.
func (h *hub) receipt(ctx context.Context, started time.Time, userID string, position int64, before bool, revocations []*revocation) (Receipt, error) {
	defer h.waiting()()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	others := make(chan elsewhere, 1)
	go func() { others <- h.awaitOthers(ctx, userID, position, before) }() // at the same time: both may take as long as a lease
	confirmed, err := h.awaitOwn(ctx, revocations)
	if err != nil {
		cancel()
	}
	there := <-others
	if err == nil {
		err = there.err
	}
	if err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Verifiers: len(confirmed) + there.verifiers, Confirmed: there.confirmed, ElapsedMs: float64(time.Since(started).Microseconds()) / 1000}
	for _, is := range confirmed {
		if is {
			receipt.Confirmed++
		}
	}
	receipt.Expired = receipt.Verifiers - receipt.Confirmed
	return receipt, nil
}

// awaitOwn returns when no verifier of this node acts any more on what was before the revocations: who had to let go, and whether
// he said that he has.
func (h *hub) awaitOwn(ctx context.Context, revocations []*revocation) (confirmed map[*lease]bool, err error) {
	confirmed = map[*lease]bool{}
	for _, r := range revocations {
		if err := r.wait(ctx, h.stopping); err != nil {
			return nil, err
		}
		r.feed.mu.Lock()
		for l, is := range r.confirmed {
			before, seen := confirmed[l]
			confirmed[l] = is && (before || !seen)
		}
		r.feed.mu.Unlock()
	}
	return confirmed, nil
}

// foundDone reports whether a change was refused for what may be its own doing, when it was made before: the token is gone, or
// has the next version.
func foundDone(err error) bool {
	var refused *models.Error
	return errors.As(err, &refused) && (refused.Code == models.NotFound || refused.Code == models.Conflict && refused.Data["token"] != nil)
}

// settled makes a change that may take something away, and returns when no verifier acts on what was before: neither before
// this change, nor before an earlier one of the same subject that is still on its way. So a call that was cut off can be made
// again and waits the same way, also where it finds that nothing is left to change.
func settled[T any](ctx context.Context, s *Service, c *Call, of *subject, change func() (T, error)) (T, Receipt, error) {
	started := time.Now()
	x, result, err := expecting(s.hub, c.changeID, change)
	if err != nil && !foundDone(err) {
		return result, Receipt{}, err
	}
	// Who finds nothing to change must know of the change that was made before, which may not have been told here yet.
	if len(x.positions) == 0 && !s.hub.look(ctx, s.hub.feedsOf(of.userID)) {
		return result, Receipt{}, models.ErrUnavailable
	}
	position, known := x.positions[of.userID]
	if !known {
		position = s.hub.positionNow(ctx, of.userID)
	}
	s.hub.publishHint(HintWanted, of.userID, position)
	revocations := x.revocations
	for _, r := range s.hub.outstanding(*of) {
		if !slices.Contains(revocations, r) {
			revocations = append(revocations, r)
		}
	}
	if conn := c.door.conn; conn != nil && (len(revocations) > 0 || !s.hub.node.alone.Load()) {
		notice := time.AfterFunc(noticeAfter, func() { conn.out.letGo(c.changeID) })
		defer notice.Stop()
		defer conn.out.makeRoom(c.changeID)()
	}
	receipt, cut := s.hub.receipt(c.patience(ctx), started, of.userID, position, !known, revocations)
	if cut = cutBy(cut); cut != nil { // and not that there is nothing to change any more: that would sound as if it were over
		return result, receipt, cut
	}
	s.metrics.receipts.Observe(receipt.ElapsedMs / 1000)
	return result, receipt, err
}
