package client

import (
	"math"
	"time"
)

// moment is a time by both clocks of the machine. The steady one may stand still while the machine is suspended, and the one on
// the wall may be put back: what has passed since is the more of what the two say.
type moment struct {
	steady time.Duration // from any beginning
	wall   time.Duration // from 1970
}

// clock returns what reads both clocks at once.
func clock() func() moment {
	begin := time.Now()
	return func() moment {
		now := time.Now()
		return moment{now.Sub(begin), time.Duration(now.UnixNano())}
	}
}

// since returns how much time has passed since an earlier moment.
func (m moment) since(earlier moment) time.Duration {
	return max(m.steady-earlier.steady, m.wall-earlier.wall)
}

// term is how long something counts: a lease, or what is held of a token that ends. The zero value is over.
type term struct {
	from   moment
	length time.Duration
}

// never is the length of what has no end.
const never time.Duration = math.MaxInt64

func (t term) lasts(now moment) bool { return now.since(t.from) < t.length }
