package faults

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// moment is a step of a token's history: of a change the moment from which what it makes is seen, or that from which only that is;
// or a verification, if there is no change.
type moment struct {
	change  *change
	settles bool
	door    string
}

// made is what may be seen of a token, and the change that made it so.
type made struct {
	standing
	by *change
}

// tokenModel is what may be seen of a token, in the order in which it was made so. Until a change is settled what was before it
// may be seen as well.
func tokenModel(t *token) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return []made{{standing: t.first}} },
		Step: func(state, input, output any) (bool, any) {
			all, m := state.([]made), input.(moment)
			if m.change == nil {
				return slices.ContainsFunc(all, func(s made) bool { return s.sight() == output }), all
			}
			if !m.settles {
				return true, append(slices.Clip(all), made{m.change.after(all[len(all)-1].standing, t), m.change})
			}
			i := slices.IndexFunc(all, func(s made) bool { return s.by == m.change })
			if i < 0 { // not made yet; or settled by what came after it
				return slices.ContainsFunc(all, func(s made) bool { return s.by != nil && s.by.began > m.change.began }), all
			}
			return true, all[i:]
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]made), b.([]made)) },
	}
}

// operations returns the history of a token as one class of doors saw it.
func (o *owner) operations(t *token, of class) (all []porcupine.Operation) {
	for _, c := range o.changes {
		if !c.happened && c.answered == never || c.token != t && c.token != nil && c.made != t {
			continue
		}
		known := earliest(c.answered, c.seen)
		settled := earliest(c.answered, later(c.seen, of.bound()))
		all = append(all,
			porcupine.Operation{Input: moment{change: c}, Call: c.began, Return: known},
			porcupine.Operation{Input: moment{change: c, settles: true}, Call: c.began, Return: max(known, settled)})
	}
	for _, l := range t.looks {
		if l.class == of {
			all = append(all, porcupine.Operation{Input: moment{door: l.door}, Output: l.said, Call: l.began, Return: l.ended})
		}
	}
	return all
}

// earliest returns the first of two times, or the end of time if there is none.
func earliest(a, b int64) int64 {
	switch {
	case a == never && b == never:
		return math.MaxInt64
	case a == never || b != never && b < a:
		return b
	}
	return a
}

func later(at int64, by time.Duration) int64 {
	if at == never {
		return never
	}
	return at + int64(by)
}

// checkTime bounds the check of one token's history, which takes milliseconds.
const checkTime = 20 * time.Second

// judgeLooks is the first oracle: whether verifications saw what they had to. Oracles that say what happened come before it.
func (o *owner) judgeLooks() (faults []string) {
	for _, t := range o.tokens {
		for of := range classes {
			operations := o.operations(t, of)
			switch porcupine.CheckOperationsTimeout(tokenModel(t), operations, checkTime) {
			case porcupine.Illegal:
				faults = append(faults, fmt.Sprintf("verification: of token %s of %s:\n%s", t.id, o.name, story(t, operations)))
			case porcupine.Unknown:
				faults = append(faults, fmt.Sprintf("verification: of token %s of %s, %d operations, nothing can be told", t.id, o.name, len(operations)))
			}
		}
	}
	return faults
}

// story tells the operations up to the first with which a history cannot be.
func story(t *token, operations []porcupine.Operation) (text string) {
	slices.SortFunc(operations, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	n := 1
	for ; n < len(operations); n++ {
		prefix := slices.Clone(operations[:n])
		for _, o := range operations[n:] {
			if o.Input.(moment).change != nil && o.Call <= operations[n-1].Return {
				o.Return = math.MaxInt64
				prefix = append(prefix, o)
			}
		}
		if porcupine.CheckOperationsTimeout(tokenModel(t), prefix, checkTime) == porcupine.Illegal {
			break
		}
	}
	for _, o := range operations[max(0, n-12):n] {
		m := o.Input.(moment)
		what := fmt.Sprint(m.door, " says ", o.Output)
		if m.change != nil {
			what = fmt.Sprintf("%s %v %d, settled: %v", m.change.kind, m.change.on, m.change.bits, m.settles)
		}
		text += fmt.Sprintf("%14v to %14v %s\n", time.Duration(o.Call), time.Duration(o.Return), what)
	}
	return text
}
