package models

import (
	"encoding/base64"
	"hash/crc32"
	"math/big"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

var credentialForm = regexp.MustCompile(`^(tw[st])_([0-9A-Za-z]{20})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})$`)

// wellFormed judges a credential in other ways than parseCredential does: its form by a pattern, its checksum by reading
// the number instead of writing it.
func wellFormed(s string) bool {
	m := credentialForm.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	sum := big.NewInt(0)
	for _, c := range m[4] {
		digit := c - '0'
		switch {
		case c >= 'a':
			digit = c - 'a' + 36
		case c >= 'A':
			digit = c - 'A' + 10
		}
		sum.Add(sum.Mul(sum, big.NewInt(62)), big.NewInt(int64(digit)))
	}
	return sum.Cmp(big.NewInt(int64(crc32.ChecksumIEEE([]byte(s[:len(s)-7]))))) == 0
}

// FuzzCredential parses what is minted, what is minted and mended by half, and anything else: exactly the former is
// accepted. fix says that the checksum be made right.
func FuzzCredential(f *testing.F) {
	minted := mintCredential(prefixToken, newID(time.UnixMilli(1))).Reveal()
	session := mintCredential(prefixSession, newID(time.Now())).Reveal()
	other := "0" // another digit than the one there, so that all is in form but the checksum
	if minted[30] == '0' {
		other = "1"
	}
	for _, seed := range []string{"", "twt_", minted[:30] + other + minted[31:], minted, session, minted[:len(minted)-1], minted + "0", "twx" + minted[3:], minted[:24] + "-" + minted[25:], minted[:20] + "ü" + minted[22:], minted[:24] + "\n" + minted[25:]} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, s string, fix bool) {
		if fix && len(s) == credentialSize {
			s = s[:credentialSize-checksumDigits] + checksum(s[:credentialSize-checksumDigits-1])
		}
		kind, id, ok := parseCredential(s)
		if ok != wellFormed(s) {
			t.Fatalf("%q: accepted is %v", s, ok)
		}
		if ok && (s[:4] == prefixToken) != (kind == KindToken) || ok && s[4:4+idLength] != id {
			t.Fatalf("%q: %s %s", s, kind, id)
		}
		for _, prefix := range []string{prefixToken, prefixSession} { // whatever the moment, what is minted is accepted
			made := mintCredential(prefix, newID(time.UnixMilli(int64(len(s))))).Reveal()
			if _, _, ok := parseCredential(made); !ok || !wellFormed(made) {
				t.Fatalf("%q was minted and is refused", made)
			}
		}
	})
}

// FuzzPosition: what is accepted is what String writes, and the other way round.
func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"", "1-AAAAAAAAAAAA", "01-AAAAAAAAAAAA", "+1-AAAAAAAAAAAA", "0-AAAAAAAAAAAA", "-1-AAAAAAAAAAAA", "9223372036854775807-zzzzzzzzzzzz", "9223372036854775808-AAAAAAAAAAAA", "1-AAAAAAAAAAAA-", "1--AAAAAAAAAAA", "1 -AAAAAAAAAAAA", "1"} {
		f.Add(seed, int64(len(seed)))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		p, err := ParsePosition(s)
		if err == nil && (p.String() != s || p.Number < 1 || len(p.ChangeID) != idRandom) {
			t.Fatalf("%q is read as %q", s, p)
		}
		made := Position{n, NewChangeID()}
		back, err := ParsePosition(made.String())
		if (err == nil) != (n >= 1) || err == nil && back != made {
			t.Fatalf("%v comes back as %v, %v", made, back, err)
		}
	})
}

// FuzzCursor: whatever a client sends as after is refused, or is as many values as the order has columns, each text or a
// number; what was made comes back.
func FuzzCursor(f *testing.F) {
	order, err := totalOrder(OrderBy{{"name", false}, {"lastUsedAt", true}}, tokenColumns)
	if err != nil {
		f.Fatal(err)
	}
	used := Time(1)
	made := makeCursor(order, tokenColumns, &Token{ID: "x", NameFolded: "ü\"\\", LastUsedAt: &used})
	raw, _ := base64.RawURLEncoding.DecodeString(made)
	for _, seed := range []string{string(raw), `{"o":"","v":[]}`, `{"o":` + strconv.Quote(order.key()) + `,"v":[null,{},1.5]}`, `{"o":` + strconv.Quote(order.key()) + `,"v":["",9223372036854775807,"x"]}`, `[]`, ``} {
		f.Add(seed, false, "name", int64(0))
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)), true, "ü", int64(-1))
	}
	f.Fuzz(func(t *testing.T, s string, encoded bool, name string, number int64) {
		if !encoded {
			s = base64.RawURLEncoding.EncodeToString([]byte(s))
		}
		values, err := parseCursor(s, order)
		if (err == nil) != (len(values) == len(order)) {
			t.Fatalf("%q: %v, %v", s, values, err)
		}
		for _, v := range values {
			switch v.(type) {
			case string, int64:
			default:
				t.Fatalf("%q: a value is %T", s, v)
			}
		}
		if !utf8.ValidString(name) || !utf8.ValidString(s) {
			return // no row has such texts
		}
		at := Time(number)
		back, err := parseCursor(makeCursor(order, tokenColumns, &Token{ID: s, NameFolded: name, LastUsedAt: &at}), order)
		if err != nil || back[0] != name || back[1] != number || back[2] != s {
			t.Fatalf("%q, %d come back as %v, %v", name, number, back, err)
		}
	})
}

// FuzzAddresses reads any text as an address or range. What is accepted has one form: written and stored it comes back as
// it is. Another parser, of package net, agrees with what it holds.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"192.0.2.7", "192.0.2.0/24", "192.0.2.1/24", "::ffff:192.0.2.0/120", "::ffff:0:0/95", "2001:DB8::/32", "fe80::1%eth0", "::/0", "0.0.0.0/0", "1.2.3.4/", "/", "::1/129", "01.2.3.4", ""} {
		f.Add(seed, []byte{192, 0, 2, 7})
		f.Add(seed, netip.MustParseAddr("2001:db8::1").AsSlice())
	}
	f.Fuzz(func(t *testing.T, text string, peer []byte) {
		set, err := ParseAddresses([]string{text})
		if err != nil {
			if _, is := err.(FormatError); !is || !utf8.ValidString(err.Error()) && utf8.ValidString(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseAddresses(set.texts())
		if err != nil || !again.equal(&set) || len(set) != 1 {
			t.Fatalf("%q is %q, which is read as %q, %v", text, set.texts(), again.texts(), err)
		}
		stored, err := set.Value()
		var scanned Addresses
		if err != nil || scanned.Scan([]byte(stored.(string))) != nil || !scanned.equal(&set) || !set.within(&scanned) {
			t.Fatalf("%q is stored as %q and comes back as %q, %v", text, stored, scanned.texts(), err)
		}
		_, other, err := net.ParseCIDR(text)
		if err != nil {
			ip := net.ParseIP(text)
			if ip == nil {
				t.Fatalf("%q is accepted, and is no address", text)
			}
			other = &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))}
		}
		address, ok := netip.AddrFromSlice(peer)
		if ok && set.Contain(address) != (other.Contains(peer) && (address.Unmap().Is4() == set[0].Addr().Is4())) {
			t.Fatalf("%q holds %s: %v", text, address, set.Contain(address))
		}
	})
}
