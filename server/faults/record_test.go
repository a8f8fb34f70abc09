package faults

import (
	"slices"
	"sync"
	"time"
)

// scopes are the permissions of the test, by bit.
var scopes = []string{"repo:read", "repo:write"}

const allScopes = 1<<2 - 1

func scopesOf(permissions []string) (bits uint8) {
	for n, id := range scopes {
		if slices.Contains(permissions, id) {
			bits |= 1 << n
		}
	}
	return bits
}

func grantsOf(bits uint8) map[string]bool {
	grants := map[string]bool{}
	for n, id := range scopes {
		grants[id] = bits&(1<<n) != 0
	}
	return grants
}

// clock gives the times of a record, in nanoseconds since it began; never 0.
type clock struct{ began time.Time }

func (c clock) now() int64 { return int64(time.Since(c.began)) + 1 }

// The kinds of changes.
type kind string

const (
	created    kind = "create"
	enabled    kind = "set-enabled"
	granted    kind = "set-permissions"
	rotated    kind = "rotate"
	deleted    kind = "delete"
	ownerOn    kind = "/v1/users/set-enabled"
	ownerGiven kind = "/v1/users/set-permissions"
	ownerGone  kind = "/v1/users/delete"
)

// never is a time that has not come.
const never = 0

// change is one that was asked for, as often as it took to be answered. An owner's changes are asked for one after the other.
type change struct {
	kind     kind
	token    *token // nil for one of the owner himself
	made     *token // by created and rotated, if that was answered
	name     string // of what is created
	on       bool
	bits     uint8
	version  int64 // that the token has by it; 0 for one of the owner
	began    int64
	answered int64 // when it was answered with success; never if it was not
	tries    int   // that were not refused: at least one of them may have come into effect
	told     int64 // version that the answer tells
	lost     []try // that were not answered

	happened bool  // it is in the database; an oracle finds out
	seen     int64 // when a follower heard of it; an oracle finds out
}

// try is one attempt at a change.
type try struct {
	node         *node
	began, ended int64
}

// standing is what is so of a secret.
type standing struct {
	created, deleted, off, ownerOff bool
	permissions, held               uint8
}

// sight is what a verification says.
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

// after returns what is so of a token's secret after a change.
func (c *change) after(s standing, of *token) standing {
	switch {
	case c.made == of:
		s.created = true
	case c.kind == ownerOn:
		s.ownerOff = !c.on
	case c.kind == ownerGiven:
		s.held = c.bits
	case c.kind == ownerGone:
		s.deleted = true
	case c.token != of:
	case c.kind == enabled:
		s.off = !c.on
	case c.kind == granted:
		s.permissions = c.bits
	case c.kind == deleted || c.kind == rotated:
		s.deleted = true
	}
	return s
}

// class says who answers a verification, and so for how long without a receipt.
type class int

const (
	byNode     class = iota // from what it has read
	byVerifier              // from what it was given
	classes
)

// bound is how long after a change an answer may be from before it, where there is no receipt: a node's until it has looked or
// answers no more, a verifier's as long again as the lease that such a node may have given it last.
func (c class) bound() time.Duration {
	if c == byVerifier {
		return nodeLease + lease
	}
	return nodeLease
}

// look is a verification that was answered.
type look struct {
	class        class
	door         string
	began, ended int64
	said         sight
}

// token is a secret. Rotation makes another one of the same id.
type token struct {
	id, secret string
	first      standing // before it is made, as its owner is then
	looks      []look
}

// owner is a user, and all that was done to him and seen of him.
type owner struct {
	name, id, session string

	mu        sync.Mutex
	tokens    []*token
	changes   []*change
	followers []*follower
	odd       []string // answers that nobody promises
	doubtful  bool     // a change was not answered at first: it may come late, so that no other one follows
	shut      bool     // he is switched off, and stays so: his followers hear nothing more
	gone      bool     // he is deleted
}

// look adds a verification.
func (o *owner) look(t *token, l look) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t.looks = append(t.looks, l)
}

// standing returns what is so of a token by all changes.
func (o *owner) standing(t *token) standing {
	s := t.first
	for _, c := range o.changes {
		s = c.after(s, t)
	}
	return s
}
