package models

import (
	"crypto/rand"
	"time"
)

// base62 is in the order of its bytes, so that ids sort as their times do.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	idTime   = 8  // base62 digits of milliseconds: enough until the year 8888
	idRandom = 12 // base62 digits of chance: 71 bits beside others of the same millisecond
	idLength = idTime + idRandom
)

// newID returns an identifier that no other node makes. Ids of later milliseconds sort after earlier ones, which keeps
// inserts at the end of a primary key; nothing may rely on it, since clocks differ.
func newID(now time.Time) string {
	id := make([]byte, idLength)
	ms := now.UnixMilli()
	for i := idTime - 1; i >= 0; i-- {
		id[i] = base62[ms%62]
		ms /= 62
	}
	randomBase62(id[idTime:])
	return string(id)
}

// NewChangeID returns the identifier of a change: 12 random base62 digits. It is the second half of a [Position].
func NewChangeID() string {
	id := make([]byte, idRandom)
	randomBase62(id)
	return string(id)
}

// randomBase62 fills p with digits that are all equally likely: a byte of 248 (4 × 62) or more is drawn again.
func randomBase62(p []byte) {
	var pool [2 * idRandom]byte
	for i := 0; i < len(p); {
		rand.Read(pool[:])
		for _, b := range pool {
			if b < 4*62 && i < len(p) {
				p[i] = base62[b%62]
				i++
			}
		}
	}
}

// isBase62 reports whether s consists of n base62 digits.
func isBase62(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
