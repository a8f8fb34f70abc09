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
	Active    bool // it is good; everything below is empty where it is not
	Stale     bool // from before the server went away: only with Grace
	TokenID   string
	UserID    string
	Username  string
	ExpiresAt time.Time // zero: it does not expire

	permissions []string       // in order
	addresses   []netip.Prefix // nil: anywhere
	entry       *entry         // that it is from, where its use is counted; nil where it was asked for
}

// Has reports whether the token is good for a permission.
func (d Decision) Has(permission string) bool {
	_, found := slices.BinarySearch(d.permissions, permission)
	return found
}

// From reports whether the token is good from an address.
func (d Decision) From(address netip.Addr) bool {
	if !d.Active || d.addresses == nil {
		return d.Active
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(d.addresses, func(set netip.Prefix) bool { return set.Contains(address) })
}

// Permissions returns what the token is good for, in order.
func (d Decision) Permissions() []string { return slices.Clone(d.permissions) }

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
	d := Decision{
		Active: true, TokenID: a.TokenID, UserID: a.UserID, Username: a.Username, ExpiresAt: a.ExpiresAt,
		permissions: slices.Sorted(slices.Values(a.Permissions)),
	}
	if a.TokenID == "" || a.UserID == "" {
		return Decision{}, &protocolError{"an answer that names no token"}
	}
	if a.AllowedIPs == nil {
		return d, nil
	}
	d.addresses = make([]netip.Prefix, len(a.AllowedIPs))
	for i, text := range a.AllowedIPs {
		var err error
		if d.addresses[i], err = parseRange(text); err != nil {
			return Decision{}, err
		}
	}
	return d, nil
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
