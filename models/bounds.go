package models

import (
	"fmt"
	"slices"
)

// RateLimit is how often something may happen: so many times in so many seconds.
type RateLimit struct {
	Requests int64 `json:"requests" minimum:"1" maximum:"1000000" doc:"how many at most, 1 to 1,000,000"`
	Window   int64 `json:"window" minimum:"1" maximum:"86400" doc:"in how many seconds, 1 to 86,400"`
}

// Bounds of a rate limit.
const (
	maxRequests = 1_000_000
	maxWindow   = 86_400 // a day, in seconds
)

// bounds are what a token is good for beside its permissions: until when, from where, and how often. What is nil bounds
// nothing.
type bounds struct {
	expiresAt  *Time
	allowedIPs *Addresses
	rateLimit  *RateLimit
}

// check refuses values that no token can have. param is where they come from.
func (b bounds) check(param string, now Time) error {
	switch rate := b.rateLimit; {
	case b.expiresAt != nil && *b.expiresAt <= now:
		return invalid(param+".expiresAt", "expiresAt must be in the future")
	case rate == nil:
		return nil
	case rate.Requests < 1 || rate.Requests > maxRequests:
		return invalid(param+".rateLimit.requests", fmt.Sprintf("requests is 1 to %d", maxRequests))
	case rate.Window < 1 || rate.Window > maxWindow:
		return invalid(param+".rateLimit.window", fmt.Sprintf("window is 1 to %d seconds", maxWindow))
	}
	return nil
}

// The members that bound a token, in messages and data.
const (
	memberExpiresAt  = "expiresAt"
	memberAllowedIPs = "allowedIps"
	memberRateLimit  = "rateLimit"
)

// beyond returns in which members the bounds are wider than others: good for longer, from more places, more often.
func (b bounds) beyond(limit bounds) (members []string) {
	if end := limit.expiresAt; end != nil && (b.expiresAt == nil || *b.expiresAt > *end) {
		members = append(members, memberExpiresAt)
	}
	if !b.allowedIPs.within(limit.allowedIPs) {
		members = append(members, memberAllowedIPs)
	}
	// Not by the quotient: 86,400 in a day are more at once than 1 in a second.
	if rate := limit.rateLimit; rate != nil && (b.rateLimit == nil || b.rateLimit.Requests > rate.Requests || b.rateLimit.Window < rate.Window) {
		members = append(members, memberRateLimit)
	}
	return members
}

// equal reports whether both bound the same.
func (b bounds) equal(other bounds) bool {
	return same(b.expiresAt, other.expiresAt) && b.allowedIPs.equal(other.allowedIPs) && same(b.rateLimit, other.rateLimit)
}

// same reports whether both are nil, or have equal values.
func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// bounds returns those of the token as they are stored.
func (t *Token) bounds() bounds { return bounds{t.ExpiresAt, t.AllowedIPs, t.storedRate()} }

// setBounds gives the token others.
func (t *Token) setBounds(b bounds) {
	t.ExpiresAt, t.AllowedIPs, t.RateLimit = b.expiresAt, b.allowedIPs, b.rateLimit
	t.RateRequests, t.RateWindow = nil, nil
	if b.rateLimit != nil {
		t.RateRequests, t.RateWindow = &b.rateLimit.Requests, &b.rateLimit.Window
	}
}

func (t *Token) storedRate() *RateLimit { return rateLimitOf(t.RateRequests, t.RateWindow) }

// rateLimitOf returns a rate limit as it is stored.
func rateLimitOf(requests, window *int64) *RateLimit {
	if requests == nil || window == nil {
		return nil
	}
	return &RateLimit{*requests, *window}
}

// own returns the bounds of the credential that makes the change, whose row is held so that they stand. A session has none.
func (c *change) own() (bounds, error) {
	if c.by.Identity == nil || c.by.Credential.Kind != KindToken {
		return bounds{}, nil
	}
	var token Token
	found := c.Raw("SELECT * FROM api_tokens WHERE id = ? AND user_id = ?"+c.forUpdate(), c.by.Credential.ID, c.by.UserID).Scan(&token)
	if found.Error != nil {
		return bounds{}, found.Error
	}
	own, replaced := token.bounds(), token.SecretNumber != c.by.SecretNumber
	switch {
	case found.RowsAffected == 0 || replaced && token.PreviousUntil == nil:
		return bounds{}, ErrUnauthorized
	case replaced && (own.expiresAt == nil || *own.expiresAt > *token.PreviousUntil): // he ends with his secret
		own.expiresAt = token.PreviousUntil
	}
	return own, nil
}

// A token gives nothing that goes beyond itself: else one that was stolen could free itself of its end, its addresses and
// its rate by a token that it makes, or by what it gives to another one. To take away is always allowed.

// inherit returns the bounds of a token that the caller makes: what was asked for, and else the caller's own.
func (c *change) inherit(asked bounds) (bounds, error) {
	own, err := c.own()
	if err != nil {
		return asked, err
	}
	if asked.expiresAt == nil {
		asked.expiresAt = own.expiresAt
	}
	if asked.allowedIPs == nil {
		asked.allowedIPs = own.allowedIPs
	}
	if asked.rateLimit == nil {
		asked.rateLimit = own.rateLimit
	}
	if members := asked.beyond(own); len(members) > 0 {
		return asked, beyondItself("options.", members[0])
	}
	return asked, nil
}

// mayWiden refuses to make a token's bounds wider than the caller's own.
func (c *change) mayWiden(from, to bounds) error {
	wider := to.beyond(from)
	if len(wider) == 0 {
		return nil
	}
	own, err := c.own()
	if err != nil {
		return err
	}
	for _, member := range to.beyond(own) {
		if slices.Contains(wider, member) {
			return beyondItself("changes.", member)
		}
	}
	return nil
}

// mayServe refuses to give anything to a token that is good for more than the caller is.
func (c *change) mayServe(token *Token) error {
	own, err := c.own()
	if err != nil {
		return err
	}
	if members := token.bounds().beyond(own); len(members) > 0 {
		return &Error{Forbidden, fmt.Sprintf("an API token gives nothing to one that goes beyond itself: the other one's %s is wider than its own", members[0]), map[string]any{"param": "tokenId"}}
	}
	return nil
}

// beyondItself is the refusal of a token that would make one that is good for more than it is itself.
func beyondItself(at, member string) error {
	rule := map[string]string{
		memberExpiresAt:  "is not later than its own",
		memberAllowedIPs: "has no addresses beyond its own",
		memberRateLimit:  "has not more requests, nor a shorter window, than its own",
	}[member]
	return &Error{Forbidden, fmt.Sprintf("an API token gives nothing that goes beyond itself: %s %s", member, rule), map[string]any{"param": at + member}}
}
