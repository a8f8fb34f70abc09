package client

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Decision is what is known of a token. The zero value is of one that is no good.
type Decision struct {
	Active   bool // it is good, from where From says; everything below is empty where it is not
	Stale    bool // from before the server went away: only with Grace
	TokenID  string
	UserID   string
	Username string

	bounds *bounds // nil where it is not active
	entry  *entry  // that it is from, where its use is counted; nil where it was asked for
}

// bounds are what a token is good for. They are shared, and never changed.
type bounds struct {
	permissions []string       // in order
	addresses   []netip.Prefix // nil: anywhere
	expiresAt   time.Time
}

// Has reports whether the token is good for a permission.
func (d Decision) Has(permission string) bool {
	if d.bounds == nil {
		return false
	}
	_, found := slices.BinarySearch(d.bounds.permissions, permission)
	return found
}

// From reports whether the token is good from an address.
func (d Decision) From(address netip.Addr) bool {
	if d.bounds == nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return !d.isBound() || slices.ContainsFunc(d.bounds.addresses, func(set netip.Prefix) bool { return set.Contains(address) })
}

// isBound reports whether the token is good from some addresses only.
func (d Decision) isBound() bool { return d.bounds != nil && d.bounds.addresses != nil }

// Permissions returns what the token is good for, in order.
func (d Decision) Permissions() []string {
	if d.bounds == nil {
		return nil
	}
	return slices.Clone(d.bounds.permissions)
}

// ExpiresAt returns when the token ends, by the server's clock; zero if it does not.
func (d Decision) ExpiresAt() time.Time {
	if d.bounds == nil {
		return time.Time{}
	}
	return d.bounds.expiresAt
}

type decisionKey struct{}

// FromContext returns the Decision that Require let a request in by, or a zero one.
func FromContext(ctx context.Context) Decision {
	d, _ := ctx.Value(decisionKey{}).(Decision)
	return d
}

// answer is what the server says of a token.
type answer struct {
	Active      bool      `json:"active"`
	TokenID     string    `json:"tokenId"`
	UserID      string    `json:"userId"`
	Username    string    `json:"username"`
	Permissions []string  `json:"permissions"`
	ExpiresAt   time.Time `json:"expiresAt"`
	AllowedIPs  []string  `json:"allowedIps"`
	ExpiresInMs *float64  `json:"expiresInMs"`
	Held        bool      `json:"held"`
	Seq         uint64    `json:"seq"`
}

// decision reads an answer. What cannot be read is an error, and never a wider right.
func (a *answer) decision() (Decision, error) {
	if !a.Active {
		return Decision{}, nil
	}
	if a.TokenID == "" || a.UserID == "" {
		return Decision{}, &protocolError{"an answer that names no token"}
	}
	b := &bounds{permissions: slices.Sorted(slices.Values(a.Permissions)), expiresAt: a.ExpiresAt}
	if a.AllowedIPs != nil {
		b.addresses = make([]netip.Prefix, len(a.AllowedIPs))
	}
	for i, text := range a.AllowedIPs {
		var err error
		if b.addresses[i], err = parseRange(text); err != nil {
			return Decision{}, err
		}
	}
	return Decision{Active: true, TokenID: a.TokenID, UserID: a.UserID, Username: a.Username, bounds: b}, nil
}

// parseRange reads an address or a range in the form that the server writes.
func parseRange(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("an address of the answer: %w", err)
	}
	return address.Prefix(address.BitLen())
}
