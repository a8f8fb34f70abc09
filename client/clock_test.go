package client

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// walls is a clock on the wall that a test puts forward and back, or has go on while the steady one stands still, as on a machine
// that is suspended.
type walls struct{ ahead atomic.Int64 }

func (w *walls) put(by time.Duration) { w.ahead.Add(int64(by)) }

// clock reads the bubble's.
func (w *walls) clock() func() moment {
	both := clock()
	return func() moment {
		now := both()
		now.wall += time.Duration(w.ahead.Load())
		return now
	}
}

// onWall calls a test with a verifier that counts by walls.
func onWall(t *testing.T, o VerifierOptions, f func(*testing.T, *stage, *Verifier, *walls)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, w := newStage(t), &walls{}
		o.clock = w.clock()
		f(t, s, s.verifier(o), w)
	})
}

// heldStill reports whether a token that is good is answered for from memory.
func heldStill(t *testing.T, v *Verifier, token string) bool {
	t.Helper()
	before := v.Stats().Asked
	if d := verdict(t, v, token); !d.Active || d.Stale {
		t.Fatalf("%+v", d)
	}
	return v.Stats().Asked == before
}

// Both clocks go on, and are read at once.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := clock()
		before := read()
		time.Sleep(time.Second)
		now := read()
		if now.steady-before.steady != time.Second || now.wall-before.wall != time.Second || int64(now.wall) != time.Now().UnixNano() {
			t.Errorf("%+v after %+v", now, before)
		}
	})
}

// A lease is over when either clock says so. Where the one on the wall is put back, the steady one counts.
func TestLeaseByBothClocks(t *testing.T) {
	for name, c := range map[string]struct {
		passed, wall time.Duration // by both clocks; what that on the wall goes on by itself
		held         bool
	}{
		"suspended for less than the lease":  {0, defaultLease - 1, true},
		"suspended for the lease":            {0, defaultLease, false},
		"suspended, and awake":               {time.Second, defaultLease - time.Second, false},
		"put forward":                        {0, 10 * time.Minute, false},
		"put back":                           {defaultLease - 1, -10 * time.Minute, true},
		"put back, at the end of the lease":  {defaultLease, -10 * time.Minute, false},
		"neither, and at the end of a lease": {defaultLease, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			onWall(t, VerifierOptions{}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
				token := s.mint("t1", nil)
				verdict(t, v, token)
				s.on(methodBeat, func(*line, *request) any { return silent{} }) // nothing but its own clocks tells it
				w.put(c.wall)
				time.Sleep(c.passed)
				if leased := v.Stats().Leased; leased != c.held {
					t.Errorf("leased: %v", leased)
				}
				if held := heldStill(t, v, token); held != c.held {
					t.Errorf("answered from memory: %v", held)
				}
			})
		})
	}
}

// A lease that was renewed counts by what the clock on the wall said then, and not by what it had said before it was put back.
func TestSuspendedAfterPutBack(t *testing.T) {
	onWall(t, VerifierOptions{}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
		token := s.mint("t1", nil)
		verdict(t, v, token)
		w.put(-10 * time.Minute)
		time.Sleep(defaultLease)
		if !heldStill(t, v, token) {
			t.Error("the lease was not renewed")
		}
		s.on(methodBeat, func(*line, *request) any { return silent{} })
		w.put(defaultLease)
		if heldStill(t, v, token) {
			t.Error("it answers from memory though the machine was suspended")
		}
	})
}

// A lease that was found to be over stays so until a beat is answered, whatever becomes of the clock.
func TestLeaseStaysOver(t *testing.T) {
	onWall(t, VerifierOptions{}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
		token := s.mint("t1", nil)
		verdict(t, v, token)
		w.put(10 * time.Minute)
		if heldStill(t, v, token) {
			t.Error("it answers from memory though the clock was put forward")
		}
		w.put(-10 * time.Minute)
		if heldStill(t, v, token) {
			t.Error("it answers from memory again")
		}
		time.Sleep(defaultLease / beatsPerLease)
		synctest.Wait()
		if !heldStill(t, v, token) {
			t.Error("the next beat did not renew the lease")
		}
	})
}

// A beat that was under way while the machine was suspended renews nothing, and the next one follows at once.
func TestSuspendedBeat(t *testing.T) {
	onWall(t, VerifierOptions{}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
		token := s.mint("t1", nil)
		verdict(t, v, token)
		answered := false
		s.on(methodBeat, func(*line, *request) any {
			if answered {
				return silent{}
			}
			answered = true
			w.put(defaultLease)
			return map[string]any{"lease": defaultLease.Seconds(), "seq": 0}
		})
		before := len(s.of(methodBeat))
		time.Sleep(defaultLease / beatsPerLease)
		synctest.Wait()
		if heldStill(t, v, token) {
			t.Error("it answers from memory by a beat from before")
		}
		if beats := len(s.of(methodBeat)) - before; beats != 2 {
			t.Errorf("%d beats", beats)
		}
	})
}

// Nor does a token last beyond its end by either clock.
func TestExpiryByBothClocks(t *testing.T) {
	const life = 2 * time.Second
	for name, c := range map[string]struct {
		passed, wall time.Duration
		held         bool
	}{
		"suspended":                          {0, life, false},
		"suspended for less":                 {0, life - 1, true},
		"put forward":                        {0, 10 * time.Minute, false},
		"put back":                           {life - 1, -10 * time.Minute, true},
		"put back, at the end of the token":  {life, -10 * time.Minute, false},
		"neither, and at the end of a token": {life, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			onWall(t, VerifierOptions{Lease: maxLease}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
				token := s.mint("t1", map[string]any{"expiresInMs": life.Milliseconds()})
				verdict(t, v, token)
				w.put(c.wall)
				time.Sleep(c.passed)
				s.mu.Lock()
				s.tokens[digestOf(token)]["expiresInMs"] = maxLease.Milliseconds() // it was prolonged, say
				s.mu.Unlock()
				if held := heldStill(t, v, token); held != c.held {
					t.Errorf("answered from memory: %v", held)
				}
			})
		})
	}
}

// And neither does what is stale, beyond Grace or the token's end.
func TestGraceByBothClocks(t *testing.T) {
	const grace, life = time.Minute, 30 * time.Second
	for name, c := range map[string]struct {
		passed, wall time.Duration
		lasts        bool // of a token without an end
		short        bool // of one that ends
	}{
		"suspended within the grace":      {0, defaultLease + grace - 1, true, false},
		"suspended beyond the grace":      {0, defaultLease + grace, false, false},
		"put forward":                     {0, 10 * time.Minute, false, false},
		"put back":                        {life - time.Second, -10 * time.Minute, true, true},
		"put back, past the token's end":  {life, -10 * time.Minute, true, false},
		"put back, at the end of it all":  {defaultLease + grace, -10 * time.Minute, false, false},
		"suspended past the token's end":  {0, life, true, false},
		"suspended up to the token's end": {0, life - time.Second, true, true},
		"neither, within lease and grace": {defaultLease + grace - time.Second, 0, true, false},
		"neither, beyond lease and grace": {defaultLease + grace, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			onWall(t, VerifierOptions{Grace: grace}, func(t *testing.T, s *stage, v *Verifier, w *walls) {
				token, short := s.mint("t1", nil), s.mint("t2", map[string]any{"expiresInMs": life.Milliseconds()})
				verdict(t, v, token)
				verdict(t, v, short)
				s.refuse(http.StatusServiceUnavailable)
				s.last().cut()
				synctest.Wait()
				w.put(c.wall)
				time.Sleep(c.passed)
				for token, lasts := range map[string]bool{token: c.lasts, short: c.short} {
					if d, err := v.Verify(t.Context(), token); d.Active != lasts || d.Stale != lasts || (err == nil) != lasts {
						t.Errorf("%.10s: %+v, %v", token, d, err)
					}
				}
			})
		})
	}
}
