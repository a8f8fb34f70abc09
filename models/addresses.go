package models

import (
	"database/sql/driver"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// Addresses is a set of IP addresses and of ranges of them. It has one form: in order, each once, the bits behind a prefix
// all zero, no range of one address, and IPv4 as IPv4. So equal sets are equal texts.
type Addresses []netip.Prefix

// maxAddresses is how many addresses and ranges a set has at most: few enough to look through all at each use.
const maxAddresses = 50

// ParseAddresses reads addresses and ranges.
func ParseAddresses(texts []string) (Addresses, error) {
	if len(texts) < 1 || len(texts) > maxAddresses {
		return nil, FormatError(fmt.Sprintf("1 to %d addresses and ranges, or null for any address", maxAddresses))
	}
	set := make(Addresses, len(texts))
	for i, text := range texts {
		var err error
		if set[i], err = parseRange(text); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(set, netip.Prefix.Compare)
	return slices.Compact(set), nil
}

// parseRange reads an address, which is a range of one, or a range. An IPv4-mapped IPv6 address is its IPv4 (RFC 4291,
// section 2.5.5.2): so it is compared, whichever way a peer comes in.
func parseRange(text string) (netip.Prefix, error) {
	wrong := FormatError(fmt.Sprintf("%q is no IPv4 or IPv6 address, nor a range such as 192.0.2.0/24 or 2001:db8::/32", truncate(text, 50)))
	set, err := netip.ParsePrefix(text)
	if !strings.Contains(text, "/") {
		var address netip.Addr
		if address, err = netip.ParseAddr(text); address.Zone() != "" {
			return set, wrong // it means something on one host only
		}
		set = netip.PrefixFrom(address, address.BitLen())
	}
	if err != nil {
		return set, wrong
	}
	if set != set.Masked() {
		return set, FormatError(fmt.Sprintf("%s has bits behind its prefix; write %s, or the address alone", text, set.Masked()))
	}
	if set.Addr().Is4In6() {
		const mapped = 96 // bits of ::ffff:0:0/96; with fewer it would have been refused
		set = netip.PrefixFrom(set.Addr().Unmap(), set.Bits()-mapped)
	}
	return set, nil
}

// Contain reports whether an address is in the set. Where there is no set, all are.
func (a *Addresses) Contain(address netip.Addr) bool {
	address = canonical(address)
	return a == nil || slices.ContainsFunc(*a, func(set netip.Prefix) bool { return set.Contains(address) })
}

// canonical returns the address as Addresses has it.
func canonical(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// within reports whether all of the set lies in ranges of the other one. Where there is no set, all addresses are in it.
func (a *Addresses) within(other *Addresses) bool {
	if other == nil || a == nil {
		return other == nil
	}
	return !slices.ContainsFunc(*a, func(set netip.Prefix) bool {
		return !slices.ContainsFunc(*other, func(wide netip.Prefix) bool {
			return wide.Bits() <= set.Bits() && wide.Contains(set.Addr())
		})
	})
}

// equal reports whether both have the same addresses.
func (a *Addresses) equal(other *Addresses) bool {
	if a == nil || other == nil {
		return a == other
	}
	return slices.Equal(*a, *other)
}

// texts returns the addresses and ranges as they are written.
func (a Addresses) texts() []string {
	texts := make([]string, len(a))
	for i, set := range a {
		if texts[i] = set.String(); set.IsSingleIP() {
			texts[i] = set.Addr().String()
		}
	}
	return texts
}

// MarshalJSON writes an array of texts.
func (a Addresses) MarshalJSON() ([]byte, error) { return json.Marshal(a.texts()) }

// UnmarshalJSON reads an array of texts.
func (a *Addresses) UnmarshalJSON(b []byte) (err error) {
	var texts []string
	if json.Unmarshal(b, &texts) != nil {
		return FormatError(`an array of addresses and ranges, such as ["192.0.2.7","2001:db8::/32"]`)
	}
	*a, err = ParseAddresses(texts)
	return err
}

// Schema is the JSON Schema of Addresses.
func (Addresses) Schema() string {
	return fmt.Sprintf(`{"type":"array","minItems":1,"maxItems":%d,"items":{"type":"string"},"description":"IPv4 and IPv6 addresses, and ranges (CIDR)"}`, maxAddresses)
}

// Value is what is stored: the texts, with commas between them.
func (a Addresses) Value() (driver.Value, error) { return strings.Join(a.texts(), ","), nil }

// Scan reads what Value stores.
func (a *Addresses) Scan(stored any) (err error) {
	text := fmt.Sprint(stored)
	if b, is := stored.([]byte); is {
		text = string(b)
	}
	*a, err = ParseAddresses(strings.Split(text, ","))
	return err
}
