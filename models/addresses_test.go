package models

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAddressesHaveOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":                         "192.0.2.7",
		"192.0.2.7/32":                      "192.0.2.7",
		"192.0.2.0/24":                      "192.0.2.0/24",
		"0.0.0.0/0":                         "0.0.0.0/0",
		"::/0":                              "::/0",
		"2001:DB8:0:0::1":                   "2001:db8::1",
		"2001:db8::1/128":                   "2001:db8::1",
		"2001:0db8::/32":                    "2001:db8::/32",
		"::ffff:192.0.2.7":                  "192.0.2.7",
		"::ffff:c000:207":                   "192.0.2.7",
		"::ffff:192.0.2.0/120":              "192.0.2.0/24",
		"::ffff:0:0/96":                     "0.0.0.0/0",
		"::ffff:0:0/128":                    "0.0.0.0",
		"b::,a::,10.0.0.0/8,9.0.0.1,a::/16": "9.0.0.1,10.0.0.0/8,a::/16,a::,b::",
		"10.0.0.0/8,10.0.0.0/9,10.0.0.0,10.0.0.0": "10.0.0.0/8,10.0.0.0/9,10.0.0.0",
	} {
		set, err := ParseAddresses(strings.Split(text, ","))
		if got := strings.Join(set.texts(), ","); err != nil || got != want {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", " ", "192.0.2.7 ", "192.0.2", "192.0.2.07", "192.0.2.256", "192.0.2.0/33", "192.0.2.0/", "/24", "192.0.2.0/024", "192.0.2.0/-1", "192.0.2.1/24", "192.0.2.0/24/24",
		"fe80::1%eth0", "fe80::%eth0/64", "2001:db8::1/32", "::ffff:0:0/95", "::ffff:192.0.2.1/120", "[::1]", "::1:80:", "localhost", "127.0.0.1:80", "192.0.2.0-192.0.2.9", "192.0.2.*", "٣.0.0.1",
	} {
		if set, err := ParseAddresses([]string{"192.0.2.7", text}); err == nil {
			t.Errorf("%q is read as %q", text, set.texts())
		}
	}
	many := func(n int) (texts []string) {
		for i := range n {
			texts = append(texts, fmt.Sprintf("ffff:ffff:ffff:ffff:ffff:ffff:ffff:%x/126", 0xfff0-4*i))
		}
		return texts
	}
	for n, want := range map[int]bool{0: false, 1: true, maxAddresses: true, maxAddresses + 1: false} {
		set, err := ParseAddresses(many(n))
		if (err == nil) != want {
			t.Errorf("%d addresses: %v", n, err)
		}
		if stored, _ := set.Value(); len(stored.(string)) > 2400 {
			t.Errorf("%d addresses take %d bytes", n, len(stored.(string)))
		}
	}
	if _, err := ParseAddresses(slices.Repeat([]string{"::1"}, maxAddresses+1)); err == nil {
		t.Error("one address may come as often as one likes")
	}
}

func addresses(t testing.TB, texts string) *Addresses {
	t.Helper()
	if texts == "null" {
		return nil
	}
	set, err := ParseAddresses(strings.Split(texts, ","))
	if err != nil {
		t.Fatal(err)
	}
	return &set
}

func TestAddressesContain(t *testing.T) {
	for _, c := range []struct {
		set, address string
		want         bool
	}{
		{"192.0.2.0/24", "192.0.2.255", true}, {"192.0.2.0/24", "192.0.3.0", false}, {"192.0.2.0/24", "::ffff:192.0.2.1", true}, {"::ffff:192.0.2.1", "192.0.2.1", true},
		{"0.0.0.0/0", "255.255.255.255", true}, {"0.0.0.0/0", "::1", false}, {"::/0", "::1", true}, {"::/0", "192.0.2.1", false}, {"::/0", "::ffff:192.0.2.1", false},
		{"2001:db8::/32", "2001:db8:ffff::", true}, {"fe80::/10", "fe80::1%eth0", true}, {"::1", "::1", true}, {"::1", "127.0.0.1", false}, {"10.0.0.1,::1", "::1", true}, {"null", "::1", true},
	} {
		if got := addresses(t, c.set).Contain(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s in %s: %v", c.address, c.set, got)
		}
	}
	if addresses(t, "0.0.0.0/0,::/0").Contain(netip.Addr{}) || !addresses(t, "null").Contain(netip.Addr{}) {
		t.Error("an address that is not known is in a set, or not in all of them")
	}
}

func TestBoundsBeyondOthers(t *testing.T) {
	early, late := Time(1), Time(2)
	rate := func(requests, window int64) *RateLimit { return &RateLimit{requests, window} }
	for i, c := range []struct {
		b, limit bounds
		want     string
	}{
		{bounds{}, bounds{}, "[]"},
		{bounds{&early, addresses(t, "::1"), rate(1, 1)}, bounds{}, "[]"},
		{bounds{}, bounds{&early, addresses(t, "::1"), rate(1, 1)}, "[expiresAt allowedIps rateLimit]"},
		{bounds{expiresAt: &late}, bounds{expiresAt: &late}, "[]"},
		{bounds{expiresAt: &late}, bounds{expiresAt: &early}, "[expiresAt]"},
		{bounds{expiresAt: &early}, bounds{expiresAt: &late}, "[]"},
		{bounds{rateLimit: rate(10, 60)}, bounds{rateLimit: rate(10, 60)}, "[]"},
		{bounds{rateLimit: rate(11, 60)}, bounds{rateLimit: rate(10, 60)}, "[rateLimit]"},
		{bounds{rateLimit: rate(10, 59)}, bounds{rateLimit: rate(10, 60)}, "[rateLimit]"},
		{bounds{rateLimit: rate(11, 6000)}, bounds{rateLimit: rate(10, 60)}, "[rateLimit]"}, // more at once
		{bounds{rateLimit: rate(9, 61)}, bounds{rateLimit: rate(10, 60)}, "[]"},
		{bounds{allowedIPs: addresses(t, "10.0.0.0/8")}, bounds{allowedIPs: addresses(t, "10.0.0.0/8")}, "[]"},
		{bounds{allowedIPs: addresses(t, "10.0.0.0/8")}, bounds{allowedIPs: addresses(t, "10.0.0.0/9")}, "[allowedIps]"},
		{bounds{allowedIPs: addresses(t, "10.1.2.3,10.0.0.0/9")}, bounds{allowedIPs: addresses(t, "10.0.0.0/8,::1")}, "[]"},
		{bounds{allowedIPs: addresses(t, "10.1.2.3,::2")}, bounds{allowedIPs: addresses(t, "10.0.0.0/8,::1")}, "[allowedIps]"},
		{bounds{allowedIPs: addresses(t, "::ffff:10.0.0.0/104")}, bounds{allowedIPs: addresses(t, "10.0.0.0/8")}, "[]"},
		{bounds{allowedIPs: addresses(t, "0.0.0.0/0")}, bounds{allowedIPs: addresses(t, "::/0")}, "[allowedIps]"},
	} {
		if got := fmt.Sprint(c.b.beyond(c.limit)); got != c.want {
			t.Errorf("%d: beyond in %s, want %s", i, got, c.want)
		}
	}
}
