package server

import (
	"net/http"
	"net/netip"
	"strings"
)

// client returns the address of whoever sends a request, or the zero value where that cannot be told: no token with allowed
// addresses is good from there.
//
// It is the peer's, unless the peer is a trusted proxy. In X-Forwarded-For each proxy on the way writes at the end whom it
// has heard from. So the list is read from its end: the first address that is no trusted proxy's is the client's, and what
// stands before it is what the client has written himself. Where a proxy has written what is no address, nothing is known.
func (s *Server) client(r *http.Request) netip.Addr {
	address := peer(r.RemoteAddr)
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- { // several lines are one list (RFC 9110, section 5.3)
		for before, last := "", lines[i]; last != ""; last = before {
			before, last = cutLast(last)
			if last == "" { // RFC 9110, section 5.6.1.2
				continue
			}
			if !s.Proxies.Contain(address) {
				return address
			}
			address = peer(last)
		}
	}
	return address
}

// cutLast takes the last member off a list.
func cutLast(list string) (before, last string) {
	comma := strings.LastIndexByte(list, ',')
	return list[:max(comma, 0)], strings.Trim(list[comma+1:], " \t")
}

// peer reads an address, with a port or without one. Its zone means something on one host only and is left out, and an
// IPv4-mapped IPv6 address is its IPv4: so who comes from one address has one, whichever way he comes in.
func peer(text string) netip.Addr {
	if strings.HasSuffix(text, "]") {
		text += ":0"
	}
	with, err := netip.ParseAddrPort(text)
	address := with.Addr()
	if err != nil {
		address, _ = netip.ParseAddr(text)
	}
	return address.Unmap().WithZone("")
}

// address returns the same as client as a text, "" where it cannot be told.
func (s *Server) address(r *http.Request) string {
	address := s.client(r)
	if !address.IsValid() {
		return ""
	}
	return address.String()
}
