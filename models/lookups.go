package models

import "sync/atomic"

// maxLookups is how many credentials are looked up at once, or wait for it. A thousand verifiers that start together, and
// each ask about a first token, are fewer. More would wait for seconds, and each would hold a caller who is better told so.
const maxLookups = 2000

// lookups are those under way: everybody may ask whether some text is a credential, and for what is not known in memory the
// database is read.
type lookups struct{ underWay atomic.Int64 }

// begin takes one more under way until done is called, or reports false where there are too many.
func (l *lookups) begin() bool {
	if l.underWay.Add(1) > maxLookups {
		l.done()
		return false
	}
	return true
}

func (l *lookups) done() { l.underWay.Add(-1) }
