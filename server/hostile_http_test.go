package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestHTTPAbuse sends what no client sends and looks at the status, and that what follows on the same connection is
// not taken for a request of its own.
func TestHTTPAbuse(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	const smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	post := "POST /api HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		request string
		want    int // 0 for any refusal
	}{
		"two lengths":                 {post + "Content-Length: 0\r\nContent-Length: 34\r\n\r\n" + smuggled, 400},
		"length of +1":                {post + "Content-Length: +1\r\n\r\nx", 400},
		"negative length":             {post + "Content-Length: -1\r\n\r\n", 400},
		"list of lengths":             {post + "Content-Length: 0, 34\r\n\r\n" + smuggled, 400},
		"unknown coding":              {post + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled, 501},
		"two codings":                 {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0},
		"space before the colon":      {post + "Content-Length : 0\r\n\r\n", 400},
		"folded header":               {post + "X: a\r\n Content-Length: 5\r\n\r\n", 200},
		"NUL in a header":             {post + "X: a\x00b\r\nContent-Length: 0\r\n\r\n", 400},
		"CR in a header":              {post + "X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", 400},
		"no host":                     {"GET /healthz HTTP/1.1\r\n\r\n", 400},
		"a header of 32 KiB":          {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", 431},
		"a path of 32 KiB":            {"GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		"a body of 1 GiB":             {post + "Content-Length: 1073741824\r\n\r\n" + strings.Repeat(" ", 70<<10), 413},
		"a chunk of 2^64":             {post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
		"another protocol":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		"garbage":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n", 0},
		"an upgrade without a key":    {"GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer " + i.session + "\r\n\r\n", 400},
		"an upgrade without a bearer": {strings.Replace(strings.ReplaceAll(handshake, "\r\n\r\n", "\r\n"), "Authorization: Bearer %s\r\n", "", 1) + "\r\n", 401},
		"a bearer in the URL":         {"GET /api?token=" + i.session + "&access_token=" + i.session + strings.TrimPrefix(strings.Replace(handshake, "Authorization: Bearer %s\r\n", "", 1), "GET /api"), 401},
		"an upgrade by POST":          {"POST /api HTTP/1.1\r\nContent-Length: 0" + strings.TrimPrefix(fmt.Sprintf(handshake, i.session), "GET /api HTTP/1.1"), 200},
		"a path up":                   {"POST /api/../metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := i.tcp(t)
			go w.Write([]byte(c.request))
			w.SetReadDeadline(time.Now().Add(patience))
			response, err := http.ReadResponse(w.r, nil)
			if err != nil {
				return // cut without a word is fine too
			}
			if status := response.StatusCode; c.want != 0 && status != c.want || c.want == 0 && status < 300 {
				t.Error(response.Status)
			}
			body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
			for _, secret := range []string{i.session, "goroutine", ".go:"} {
				if strings.Contains(string(body), secret) || strings.Contains(fmt.Sprint(response.Header), secret) {
					t.Errorf("the answer shows %q", secret)
				}
			}
			response.Body.Close()
			if !strings.Contains(c.request, smuggled) {
				return
			}
			if second, err := http.ReadResponse(w.r, nil); err == nil && second.StatusCode == 200 {
				t.Error("what was smuggled was answered")
			}
		})
	}
	innocent.works()
}

// TestLengthAndCoding: where a request has both, the coding alone may count (RFC 9112, section 6.3), in one way for all.
func TestLengthAndCoding(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	w := i.tcp(t)
	w.put([]byte("POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"0\r\n\r\nGET /openrpc.json HTTP/1.1\r\nHost: x\r\n\r\n"))
	response := w.response()
	if response.StatusCode == 400 {
		return
	}
	body, _ := io.ReadAll(response.Body)
	if !strings.Contains(string(body), "-32700") {
		t.Errorf("the length counted, not the coding: %s %s", response.Status, body)
	}
}

// TestHalfOpen: handshakes that never end are cut off after the header's 10 s, and meanwhile cost nobody anything.
func TestHalfOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 10 s that a header is given")
	}
	t.Parallel()
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	hello := fmt.Sprintf(handshake, i.session)
	var half []*wire
	for n := range 200 {
		w := i.tcp(t)
		w.put([]byte(hello[:1+n%(len(hello)-1)]))
		half = append(half, w)
	}
	innocent.works()
	begun := time.Now()
	for _, w := range half {
		w.SetReadDeadline(begun.Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, w); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a half-open handshake is still there after", time.Since(begun))
		}
	}
	innocent.works()
}
