package faults

import (
	"fmt"

	"github.com/tokenwire/tokenwire/models"
)

// judgeFollowers is the second oracle: whether everybody who followed the owner heard each event once, in order, and nothing else.
func (o *owner) judgeFollowers(events []models.Event) (faults []string) {
	for n, f := range o.followers {
		for _, fault := range f.judge(events, o.shut) {
			faults = append(faults, fmt.Sprintf("events: follower %d of %s: %s", n, o.name, fault))
		}
	}
	return faults
}

// judge holds what a follower heard against the feed, up to the end; or for one who was shut out, up to where that was.
func (f *follower) judge(events []models.Event, shut bool) (faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := func(format string, args ...any) {
		if len(faults) < 5 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	from, err := models.ParsePosition(f.first)
	if err != nil {
		fault("began at %q", f.first)
	}
	if f.resets > 0 {
		fault("was told %d times that its place in the feed is lost", f.resets)
	}
	if !f.finished && !shut {
		fault("never heard of the end")
	}
	places, want := map[string]int{}, []string{}
	for i := range events {
		if e := &events[i]; e.Position > from.Number && !e.Internal() {
			raw := string(e.Notification())
			places[raw] = len(want)
			want = append(want, raw)
		}
	}
	next := 0
	times := map[string]int{}
	for _, n := range f.got {
		place, is := places[n.raw]
		times[n.raw]++
		switch {
		case !is:
			fault("not of this feed: %.300s", n.raw)
		case times[n.raw] > 1:
			fault("came again: %.300s", n.raw)
		case place < next:
			fault("came late: %.300s", n.raw)
		case place > next:
			fault("never came, or late: %.300s", want[next])
		}
		if is {
			next = max(next, place+1)
		}
	}
	return faults
}
