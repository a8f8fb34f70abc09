package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server"
)

// startBehind runs a server whose trusted proxies are 127.0.0.2, 10.0.0.0/8 and 2001:db8:1::/48. Other addresses of this
// machine, 127.0.0.1 among them, are not.
func startBehind(t testing.TB, url string) *instance {
	t.Helper()
	trusted, err := models.ParseAddresses([]string{"127.0.0.2", "10.0.0.0/8", "2001:db8:1::/48"})
	if err != nil {
		t.Fatal(err)
	}
	return startConfigured(t, url, models.Options{}, server.Config{Proxies: trusted})
}

// forwardedFor is what a request says of where it has come from.
func forwardedFor(lines ...string) http.Header { return http.Header{"X-Forwarded-For": lines} }

// from sends a request from an address of this machine, and returns its status.
func (i *instance) from(peer, method, path, body, credential string, header http.Header) int {
	i.t.Helper()
	r, err := http.NewRequest(method, i.url+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	response, err := clientAt(i.t, peer).Transport.RoundTrip(r)
	if err != nil {
		i.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestForwardedFor finds the client's address in X-Forwarded-For: a token that is good from there alone is good, and one
// that is good from all others is not.
func TestForwardedFor(t *testing.T) {
	i := startBehind(t, modelstest.SQLite(t))
	const direct, proxy = "127.0.0.1", "127.0.0.2"
	id, secret := i.token("x", 0)
	for _, c := range []struct {
		peer  string
		lines []string
		want  string // "" for none that is known
	}{
		{direct, nil, direct}, {direct, []string{"192.0.2.7"}, direct}, {direct, []string{"192.0.2.7, 127.0.0.2"}, direct}, {direct, []string{"x"}, direct}, {"127.0.0.3", []string{"127.0.0.1"}, "127.0.0.3"},
		{proxy, nil, proxy}, {proxy, []string{""}, proxy}, {proxy, []string{" ", ",", " , ,"}, proxy}, {proxy, []string{"192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"  192.0.2.7\t"}, "192.0.2.7"},
		// What the client has written himself stands left of what the proxy has seen.
		{proxy, []string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"10.1.2.3, 192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"127.0.0.1,198.51.100.1,192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"x, 192.0.2.7"}, "192.0.2.7"},
		{proxy, []string{"198.51.100.1, 10.1.2.3, 192.0.2.7, 10.9.9.9"}, "192.0.2.7"},
		// Proxies behind each other.
		{proxy, []string{"192.0.2.7, 10.0.0.1"}, "192.0.2.7"}, {proxy, []string{"192.0.2.7, 10.0.0.1, 2001:db8:1::5, 10.0.0.2"}, "192.0.2.7"}, {proxy, []string{"198.51.100.1, 192.0.2.7, 10.0.0.1"}, "192.0.2.7"},
		{proxy, []string{"10.0.0.1"}, "10.0.0.1"}, {proxy, []string{"10.0.0.2, 10.0.0.1"}, "10.0.0.2"},
		// Lists split over lines, and empty members.
		{proxy, []string{"192.0.2.7", "10.0.0.1"}, "192.0.2.7"}, {proxy, []string{"198.51.100.1", "192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"198.51.100.1, 192.0.2.7", "", "10.0.0.1,"}, "192.0.2.7"}, {proxy, []string{", ,192.0.2.7,,"}, "192.0.2.7"},
		// The ways to write an address.
		{proxy, []string{"192.0.2.7:4711"}, "192.0.2.7"}, {proxy, []string{"2001:db8::7"}, "2001:db8::7"}, {proxy, []string{"[2001:db8::7]"}, "2001:db8::7"}, {proxy, []string{"[2001:DB8::7]:4711"}, "2001:db8::7"}, {proxy, []string{"192.0.2.7, [2001:db8:1::1]:443"}, "192.0.2.7"},
		{proxy, []string{"::ffff:192.0.2.7"}, "192.0.2.7"}, {proxy, []string{"[::ffff:192.0.2.7]:80"}, "192.0.2.7"}, {proxy, []string{"192.0.2.7, ::ffff:10.0.0.1"}, "192.0.2.7"}, {proxy, []string{"192.0.2.7, 10.0.0.1:80"}, "192.0.2.7"},
		{proxy, []string{"fe80::7%eth0"}, "fe80::7"}, {proxy, []string{"192.0.2.7, 2001:db8:1::1%eth0"}, "192.0.2.7"}, {proxy, []string{"2001:db8::1:80"}, "2001:db8::1:80"},
		// What a proxy has written and nobody can read: not known.
		{proxy, []string{"x"}, ""}, {proxy, []string{"unknown"}, ""}, {proxy, []string{"192.0.2.7, x"}, ""}, {proxy, []string{"192.0.2.7, x, 10.0.0.1"}, ""}, {proxy, []string{"192.0.2.7", "_hidden"}, ""}, {proxy, []string{"192.0.2.7 10.0.0.1"}, ""},
		{proxy, []string{"192.0.2.7;10.0.0.1"}, ""}, {proxy, []string{"192.0.2"}, ""}, {proxy, []string{"192.0.2.07"}, ""}, {proxy, []string{"192.0.2.0/24"}, ""}, {proxy, []string{"0xc0000207"}, ""}, {proxy, []string{`"192.0.2.7"`}, ""}, {proxy, []string{"[192.0.2.7]"}, ""},
		{proxy, []string{"192.0.2.7:"}, ""}, {proxy, []string{"192.0.2.7:99999"}, ""}, {proxy, []string{"2001:db8::7]"}, ""}, {proxy, []string{"[2001:db8::7"}, ""}, {proxy, []string{"for=192.0.2.7"}, ""}, {proxy, []string{"localhost"}, ""},
		{proxy, []string{strings.Repeat("10.0.0.1,", 1000)}, "10.0.0.1"}, {proxy, []string{"192.0.2.7" + strings.Repeat(",", 8000)}, "192.0.2.7"},
	} {
		allow := c.want
		if allow == "" {
			allow = `0.0.0.0/0","::/0`
		}
		i.call("/v1/api-tokens/update", fmt.Sprintf(`[%q,{"allowedIps":["%s"]}]`, id, allow))
		want := 200
		if c.want == "" {
			want = 403
		}
		if got := i.from(c.peer, "GET", "/auth/verify", "", secret, forwardedFor(c.lines...)); got != want {
			t.Errorf("from %s with %.60q it is not %q: %d", c.peer, c.lines, c.want, got)
		}
	}
	// Other headers do not count.
	i.call("/v1/api-tokens/update", fmt.Sprintf(`[%q,{"allowedIps":["192.0.2.7"]}]`, id))
	for _, name := range []string{"Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Original-Forwarded-For", "X_forwarded_for"} {
		if got := i.from(proxy, "GET", "/auth/verify", "", secret, http.Header{name: {"192.0.2.7"}, "Via": {"1.1 x"}}); got != 403 {
			t.Errorf("%s counts: %d", name, got)
		}
	}
}

// TestAddressAtAllDoors: it is the same address at each of them.
func TestAddressAtAllDoors(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := startBehind(t, url)
		_, secret := i.make(`{"allowedIps":["192.0.2.7"],"permissions":{"tokens:verify":true}}`)
		for _, c := range []struct {
			name, peer, forwarded string
			good                  bool
		}{
			{"the client's", "127.0.0.2", "198.51.100.1, 192.0.2.7", true},
			{"spoofed", "127.0.0.1", "192.0.2.7", false},
			{"spoofed through a proxy", "127.0.0.2", "192.0.2.7, 198.51.100.1", false},
			{"not to be read", "127.0.0.2", "192.0.2.7, x", false},
		} {
			header := forwardedFor(c.forwarded)
			header.Set("Content-Type", formType)
			for _, door := range []struct {
				method, path  string
				good, refused int
			}{
				{"POST", "/api/v1/session/read", 200, 401}, {"POST", "/oauth2/introspect", 200, 401}, {"GET", "/auth/verify", 200, 403},
				{"GET", "/api", 426, 401}, // who is known is told to upgrade
			} {
				body := ""
				if door.path == "/oauth2/introspect" {
					body = "token=x"
				}
				want := door.refused
				if c.good {
					want = door.good
				}
				if got := i.from(c.peer, door.method, door.path, body, secret, header); got != want {
					t.Errorf("%s: %s: %d, want %d", c.name, door.path, got, want)
				}
			}
		}
	})
}

// TestAddressOfSessions: sessions tell where they came from, and failed sign-ins count for the client and not for the proxy.
func TestAddressOfSessions(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		i := startBehind(t, url)
		signIn := func(address, password string) int {
			return i.from("127.0.0.2", "POST", "/api/v1/session/sign-in", `["admin","`+password+`"]`, "", forwardedFor(address))
		}
		for address, shown := range map[string]string{"192.0.2.7": "192.0.2.7", "[2001:DB8::7]:99": "2001:db8::7", "::ffff:192.0.2.6": "192.0.2.6", "fe80::7%eth0": "fe80::7", "x": ""} {
			if status := signIn(address, adminPassword); status != 200 {
				t.Fatal(address, status)
			}
			if _, sessions := i.post("/api/v1/sessions/read", i.session, ""); !strings.Contains(sessions, `"address":"`+shown+`"`) {
				t.Errorf("%s is not shown: %s", shown, sessions)
			}
		}
		for n := 0; signIn("192.0.2.8", "wrong") != 429; n++ {
			if n > 20 {
				t.Fatal("nobody stops the guessing")
			}
		}
		if got := signIn("192.0.2.9", "wrong"); got != 401 {
			t.Error("another client of the same proxy:", got)
		}
		if got := signIn("192.0.2.1, 192.0.2.8", "wrong"); got != 429 {
			t.Error("a client that makes up where it comes from:", got)
		}
	})
}
