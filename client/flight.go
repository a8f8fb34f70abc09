package client

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	strict "github.com/go-json-experiment/json"
)

const (
	// askTimeout bounds a flight, whoever waits for it.
	askTimeout = 5 * time.Second
	// maxFlights bounds those under way and those that wait: beyond that the server is not keeping up.
	maxFlights = 10_000
	// maxAttempts is how often one flight asks for a token that changes again and again.
	maxAttempts = 5
)

var (
	errBusy     = errors.New("too many tokens wait to be verified")
	errRestless = errors.New("the token changes faster than it can be asked for")
)

// flight is one question to the server, for everybody who wants to know of one token. It does not end with whoever began it.
type flight struct {
	sentAt uint64        // the number of its last request among all; 0 before that. Guarded by Verifier.mu until done
	done   chan struct{} // closed when the rest is there

	decision Decision
	kept     bool // it is in the cache, or was
	err      error
}

// ask asks the server. An answer counts only for those who were there before it was sent for, as what it says may be over
// since; whoever came later looks at what is held when it is there, and otherwise asks in the next flight, together with all
// who came that late.
func (v *Verifier) ask(ctx context.Context, id digest) (Decision, error) {
	v.mu.Lock()
	came := v.sends
	for {
		if e := v.held(id); e != nil {
			v.mu.Unlock()
			return e.decision, nil
		}
		f, began, err := v.join(id)
		v.mu.Unlock()
		if err != nil {
			return Decision{}, unavailable(err)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Decision{}, unavailable(ctx.Err())
		}
		switch {
		case f.err != nil, began:
			return f.decision, f.err
		case f.decision.Active && !f.kept: // good for one question, and that was another one's
			return v.askAlone(ctx, id)
		case f.sentAt > came:
			return f.decision, nil
		}
		v.mu.Lock()
	}
}

// join returns the flight for a token, and whether it begins with this. It is called with mu held.
func (v *Verifier) join(id digest) (*flight, bool, error) {
	if f := v.flights[id]; f != nil {
		return f, false, nil
	}
	if v.closed {
		return nil, false, ErrClosed
	}
	if len(v.flights) >= maxFlights {
		return nil, false, errBusy
	}
	f := &flight{done: make(chan struct{})}
	v.flights[id] = f
	v.work.Go(func() {
		ctx, cancel := context.WithTimeout(v.ctx, askTimeout)
		defer cancel()
		v.fly(ctx, id, f)
		v.mu.Lock()
		delete(v.flights, id)
		v.mu.Unlock()
		close(f.done)
	})
	return f, true, nil
}

// askAlone asks for one caller.
func (v *Verifier) askAlone(ctx context.Context, id digest) (Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	f := &flight{}
	v.fly(ctx, id, f)
	return f.decision, f.err
}

// fly asks until there is an answer that is not out of date.
func (v *Verifier) fly(ctx context.Context, id digest, f *flight) {
	for range maxAttempts {
		s := v.session.Load()
		if s == nil {
			f.err = unavailable(v.client.why())
			return
		}
		select {
		case s.places <- struct{}{}:
		case <-s.conn.gone:
			f.err = unavailable(v.client.why())
			return
		case <-ctx.Done():
			f.err = unavailable(ctx.Err())
			return
		}
		v.mu.Lock()
		v.sends++
		v.stats.Asked++
		s.asking++
		f.sentAt = v.sends
		v.mu.Unlock()
		sent := v.options.clock()
		a, err := s.verify(ctx, id)
		<-s.places
		if v.land(s, id, f, sent, a, err) {
			return
		}
	}
	f.err = unavailable(errRestless)
}

// verify sends one request.
func (s *session) verify(ctx context.Context, id digest) (*answer, error) {
	type options struct {
		Hold bool `json:"hold"`
	}
	text, err := s.conn.call(ctx, methodVerify, struct {
		Digest  string  `json:"digest"`
		Options options `json:"options"`
	}{id.String(), options{true}})
	if err != nil {
		return nil, err
	}
	a := &answer{}
	if err := strict.Unmarshal(text, a); err != nil {
		return nil, &protocolError{"an answer that cannot be read"}
	}
	return a, nil
}

// land takes in the answer to what was sent, and reports false where it is out of date. What came over a connection that has
// ended meanwhile still counts for who asked, and is not kept.
func (v *Verifier) land(s *session, id digest, f *flight, sent moment, a *answer, err error) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer s.asked()
	if err == nil && s.outOfDate(a) {
		return false
	}
	if err == nil {
		f.decision, err = a.decision()
	}
	if err != nil {
		f.err = refusal(err)
		return true
	}
	s.cache.remove(s.cache.get(id)) // this is newer, whatever it says
	if v.previous != nil {
		v.previous.cache.remove(v.previous.cache.get(id))
	}
	if a.Active && a.Held && v.session.Load() == s {
		e := &entry{digest: id, decision: f.decision, life: term{sent, a.life()}}
		e.decision.entry = e
		if len(s.cache.ring) >= v.options.Size {
			v.stats.Evicted++
		}
		s.cache.put(e)
		f.kept = true
	}
	return true
}

// life returns how long the token of an answer is good, counted from before the request was sent.
func (a *answer) life() time.Duration {
	const years = float64(time.Hour/time.Millisecond) * 24 * 365 * 50 // and more are as good as never, and would overflow
	if a.ExpiresInMs == nil || *a.ExpiresInMs > years {
		return never
	}
	return time.Duration(*a.ExpiresInMs * float64(time.Millisecond))
}

// refusal is the error for whoever asked: over the rate limit, or no answer.
func refusal(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != codeTooMany {
		return unavailable(err)
	}
	var data struct {
		RetryAfterMs float64 `json:"retryAfterMs"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.RetryAfterMs < 0 {
		return unavailable(err)
	}
	return &RateLimited{time.Duration(data.RetryAfterMs * float64(time.Millisecond))}
}

func isUnavailable(err error) bool { return errors.Is(err, ErrUnavailable) }
