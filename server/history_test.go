package server_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// standing is what is so of a token.
type standing struct {
	created, deleted, off, ownerOff bool
	permissions, held               uint8 // as bits: of the token, and of its owner
}

// sight is what a verification says of a token.
type sight struct {
	active      bool
	permissions uint8
}

func (s standing) sight() sight {
	if !s.created || s.deleted || s.off || s.ownerOff {
		return sight{}
	}
	return sight{true, s.permissions & s.held}
}

// edit is what a change makes of a standing; it reports false where the change could not have been answered as it was.
type edit func(s standing) (standing, bool)

// history is what was done to tokens, and what verifications said of them. It is linearizable where the verdicts are those
// of tokens that change like this: while a change is under way both what was before it and what comes after it may be
// seen, in any order; when it is answered, what was before it is seen no more. That is what a receipt promises. A change
// whose outcome is not known may come into effect at any time, for ever, and promises nothing.
type history struct {
	began time.Time

	mu      sync.Mutex
	ids     int
	tokens  map[string]*recorded
	owners  map[string][]porcupine.Operation // changes of users, which concern all their tokens
	total   int
	changes int
}

// recorded is the history of one token.
type recorded struct {
	owner      string
	held       uint8 // what its owner holds when the history begins
	operations []porcupine.Operation
	unknown    int // changes whose outcome is not known
}

func newHistory() *history {
	return &history{began: time.Now(), tokens: map[string]*recorded{}, owners: map[string][]porcupine.Operation{}}
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// introduce makes a token known, before it is created.
func (h *history) introduce(token, owner string, held uint8) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token] = &recorded{owner: owner, held: held}
}

// fate is how a change ended for whoever asked for it.
type fate int

const (
	fateDone    fate = iota // it is in effect, and nothing of before is
	fateRefused             // it never comes into effect
	fateUnknown
)

// moment is a step of the history: a verification if it has no id, or the moment from which what a change has made is
// seen, or that from which only that is.
type moment struct {
	what string
	id   int
	edit edit // nil for the second moment of a change
}

// change records a change of a token that begins now. What is returned is called when it has ended.
func (h *history) change(token, what string, edit edit) func(fate) {
	began := h.now()
	return func(o fate) {
		h.mu.Lock()
		defer h.mu.Unlock()
		r := h.tokens[token]
		if o == fateUnknown {
			r.unknown++
		}
		r.operations = append(r.operations, h.moments(began, what, edit, o)...)
	}
}

// changeOwner records a change of a user in the same way.
func (h *history) changeOwner(owner, what string, edit edit) func(fate) {
	began := h.now()
	return func(o fate) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.owners[owner] = append(h.owners[owner], h.moments(began, what, edit, o)...)
	}
}

func (h *history) moments(began int64, what string, edit edit, o fate) []porcupine.Operation {
	h.ids++
	h.total++
	h.changes++
	first := porcupine.Operation{Input: moment{what, h.ids, edit}, Call: began, Return: h.now()}
	second := porcupine.Operation{Input: moment{what, h.ids, nil}, Call: began, Return: first.Return}
	switch o {
	case fateRefused:
		return nil
	case fateUnknown:
		first.Return = math.MaxInt64
		return []porcupine.Operation{first}
	}
	return []porcupine.Operation{first, second}
}

// verified records what a verification said that began at a time and ends now.
func (h *history) verified(token string, began int64, said sight) {
	ended := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total++
	r := h.tokens[token]
	r.operations = append(r.operations, porcupine.Operation{Input: moment{what: "verify"}, Output: said, Call: began, Return: ended})
}

// size returns how many operations were recorded, how many of them are changes, and of a token how many and how many
// with an unknown outcome.
func (h *history) size(token string) (total, changes, ofToken, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.tokens[token]
	if r == nil {
		return h.total, h.changes, 0, 0
	}
	return h.total, h.changes, len(r.operations), r.unknown
}

// visible is a state of the model: what may be seen of a token, in the order in which it was made so, and the changes under way.
type visible struct {
	standings []made
	underWay  []int
}

// made is a standing and the change that made it.
type made struct {
	standing
	by int
}

func (v visible) last() standing { return v.standings[len(v.standings)-1].standing }

// step returns the state after a moment, and whether it can come after this one.
func (v visible) step(m moment, said any) (bool, visible) {
	switch at := slices.Index(v.underWay, m.id); {
	case m.id == 0:
		return slices.ContainsFunc(v.standings, func(s made) bool { return s.sight() == said }), v
	case m.edit != nil:
		next, possible := m.edit(v.last())
		underWay := append(slices.Clip(v.underWay), m.id)
		slices.Sort(underWay)
		return possible, visible{append(slices.Clip(v.standings), made{next, m.id}), underWay}
	case at < 0:
		return false, v
	default:
		standings := v.standings
		if i := slices.IndexFunc(standings, func(s made) bool { return s.by == m.id }); i > 0 {
			standings = standings[i:]
		}
		return true, visible{standings, slices.Delete(slices.Clone(v.underWay), at, at+1)}
	}
}

// model returns porcupine's model of a token whose owner holds permissions when it begins.
func model(held uint8) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return visible{standings: []made{{standing: standing{held: held}}}} },
		Step: func(state, input, output any) (bool, any) {
			return state.(visible).step(input.(moment), output)
		},
		Equal: func(a, b any) bool {
			x, y := a.(visible), b.(visible)
			return slices.Equal(x.standings, y.standings) && slices.Equal(x.underWay, y.underWay)
		},
	}
}

// checkTime bounds the check of one token's history, which takes milliseconds unless many outcomes are unknown.
const checkTime = time.Minute

// check fails the test for every token whose history is not linearizable, and says where it ceases to be.
func (h *history) check(t testing.TB) {
	t.Helper()
	for _, fault := range h.faults() {
		t.Error(fault)
	}
}

func (h *history) faults() (faults []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, r := range h.tokens {
		operations := slices.Concat(h.owners[r.owner], r.operations)
		switch porcupine.CheckOperationsTimeout(model(r.held), operations, checkTime) {
		case porcupine.Illegal:
			faults = append(faults, fmt.Sprintf("of token %s:\n%s", name, firstFault(model(r.held), operations)))
		case porcupine.Unknown:
			faults = append(faults, fmt.Sprintf("the history of token %s, %d operations, %d of them with an unknown outcome, cannot be told in %v", name, len(operations), r.unknown, checkTime))
		}
	}
	return faults
}

// firstFault returns the operations up to the one with which a history is no longer linearizable.
func firstFault(m porcupine.Model, operations []porcupine.Operation) string {
	slices.SortFunc(operations, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	upTo := func(n int) []porcupine.Operation {
		prefix := slices.Clone(operations[:n])
		for _, later := range operations[n:] {
			if in := later.Input.(moment); in.edit != nil && later.Call <= operations[n-1].Return { // under way
				later.Return = math.MaxInt64
				prefix = append(prefix, later)
			}
		}
		return prefix
	}
	n := len(operations)
	for low, high := 1, n; low <= high; {
		if middle := (low + high) / 2; porcupine.CheckOperationsTimeout(m, upTo(middle), checkTime) == porcupine.Illegal {
			n, high = middle, middle-1
		} else {
			low = middle + 1
		}
	}
	var b strings.Builder
	for _, o := range operations[max(0, n-15):min(n, len(operations))] {
		in := o.Input.(moment)
		fmt.Fprintf(&b, "%12v to %12v %s %v\n", time.Duration(o.Call), time.Duration(o.Return), in.what, o.Output)
	}
	return b.String()
}

// TestHistory: the model sees what it is there for.
func TestHistory(t *testing.T) {
	create := func(s standing) (standing, bool) { s.created = true; return s, true }
	off := func(s standing) (standing, bool) { s.off = true; return s, true }
	gone := func(s standing) (standing, bool) { return s, s.deleted }
	const good = "good"
	type events = []string
	for name, c := range map[string]struct {
		events events
		fault  bool
	}{
		"good before":                {events{"verify", "good", "off+", "off-"}, false},
		"bad while it is under way":  {events{"off+", "verify", "bad", "off-"}, false},
		"good while it is under way": {events{"off+", "verify", "good", "off-"}, false},
		"both, in any order":         {events{"off+", "verify", "bad", "verify", "good", "off-"}, false},
		"good after it":              {events{"off+", "off-", "verify", "good"}, true},
		"bad after it":               {events{"off+", "off-", "verify", "bad"}, false},
		"begun before its end":       {events{"off+", "verify", "off-", "good"}, false},
		"good after an unknown one":  {events{"off+", "off?", "verify", "bad", "verify", "good"}, false},
		"and after the same again":   {events{"off+", "off?", "off+", "off-", "verify", "good"}, true},
		"good after a refused one":   {events{"off+", "off!", "verify", "good"}, false},
		"bad after a refused one":    {events{"off+", "off!", "verify", "bad"}, true},
		"404 of what is there":       {events{"gone+", "gone-"}, true},
	} {
		h := newHistory()
		h.introduce("x", "ada", 1)
		h.change("x", "create", create)(fateDone)
		var change func(fate)
		began := int64(0)
		for _, e := range c.events {
			time.Sleep(time.Microsecond) // no two at one time
			switch e {
			case "verify":
				began = h.now()
			case good, "bad":
				h.verified("x", began, sight{active: e == good})
			case "off+":
				change = h.change("x", "off", off)
			case "gone+":
				change = h.change("x", "gone", gone)
			case "off-", "gone-":
				change(fateDone)
			case "off?":
				change(fateUnknown)
			case "off!":
				change(fateRefused)
			}
		}
		if faults := h.faults(); (len(faults) > 0) != c.fault {
			t.Errorf("%s: %v gives %v", name, c.events, faults)
		}
	}
}
