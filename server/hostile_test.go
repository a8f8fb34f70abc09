package server_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// These tests speak to the server over bare TCP, as an attacker does who keeps to no library's manners. After each
// attack another connection must work as if nothing had happened. What they attack is above the database, so that they
// run on SQLite alone.

// The first byte of a frame (RFC 6455, section 5.2): the end of a message, and what it is.
const (
	last         = 0x80
	reserved1    = 0x40
	continuation = 0x0
	text         = 0x1
	binaryFrame  = 0x2
	closeFrame   = 0x8
	ping         = 0x9
	pong         = 0xa
)

// prompt is how long an innocent connection may wait for its answer while another one attacks: far longer than it takes
// on a busy machine, far shorter than any timeout of the server that it could be made to wait for.
const prompt = 3 * time.Second

// wire is a bare TCP connection.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (i *instance) tcp(t testing.TB) *wire {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(i.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) // before the server's, which must not wait for it
	c.SetDeadline(time.Now().Add(time.Minute))
	return &wire{c, t, bufio.NewReader(c)}
}

const handshake = "GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n\r\n"

// upgrade makes a WebSocket by hand. What early holds leaves in the same segment as the request.
func (i *instance) upgrade(t testing.TB, credential string, early ...byte) *wire {
	t.Helper()
	w := i.tcp(t)
	w.put(append(fmt.Appendf(nil, handshake, credential), early...))
	if response := w.response(); response.StatusCode != 101 {
		t.Fatal("upgrade:", response.Status)
	}
	return w
}

func (w *wire) put(b []byte) {
	w.t.Helper()
	if _, err := w.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// response reads the answer to a request, without its body.
func (w *wire) response() *http.Response {
	w.t.Helper()
	response, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return response
}

// header is a frame's header, which claims a payload of length bytes masked with zeros, in the form of 64 bits.
func header(first byte, length uint64) []byte {
	b := []byte{first, 0x80 | 127}
	b = binary.BigEndian.AppendUint64(b, length)
	return append(b, 0, 0, 0, 0)
}

// frame is a masked frame, its length in the shortest form.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// frame reads a frame. The server does not mask and does not fragment.
func (w *wire) frame() (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(w.r, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	var extended [8]byte
	switch size {
	case 126:
		_, err = io.ReadFull(w.r, extended[6:])
		size = binary.BigEndian.Uint64(extended[:])
	case 127:
		_, err = io.ReadFull(w.r, extended[:])
		size = binary.BigEndian.Uint64(extended[:])
	}
	if err == nil {
		payload = make([]byte, size)
		_, err = io.ReadFull(w.r, payload)
	}
	return head[0] &^ last, payload, err
}

// message returns the next message that is no heartbeat.
func (w *wire) message() string {
	w.t.Helper()
	for {
		opcode, payload, err := w.frame()
		if err != nil {
			w.t.Fatal(err)
		}
		if opcode == text && !strings.Contains(string(payload), "/v1/session/heartbeat") {
			return string(payload)
		}
	}
}

// cut is what end returns for a connection that ended without a close frame.
const cut = 0

// end reads until the connection ends and returns the code of the close frame, or cut.
func (w *wire) end() int {
	w.t.Helper()
	for {
		opcode, payload, err := w.frame()
		if e, ok := err.(net.Error); ok && e.Timeout() {
			w.t.Error("the connection does not end")
		}
		if err != nil {
			return cut
		}
		if opcode == closeFrame && len(payload) >= 2 {
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

// works fails the test unless the connection is answered promptly, a change included.
func (c *conn) works() {
	c.t.Helper()
	begun := time.Now()
	const id = `"it works"`
	c.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"/v1/api-tokens/create","params":["innocent"]}`)
	for !strings.HasPrefix(c.next(), `{"jsonrpc":"2.0","id":`+id+`,"result":{"id":`) {
	}
	if took := time.Since(begun); took > prompt {
		c.t.Error("another connection waited for", took)
	}
}

func call(id int, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

// TestBrokenFrames has one peer break the protocol of WebSocket in every way, and looks how it is sent off.
func TestBrokenFrames(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	innocent := i.dial(i.session, "")
	const read = `{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}`
	protocolError := []int{1002, cut}
	for name, c := range map[string]struct {
		sent []byte
		want []int
	}{
		"unmasked":                     {[]byte{last | text, 2, '{', '}'}, protocolError},
		"negative length":              {header(last|text, 1<<63|5), protocolError},
		"all ones":                     {header(last|text, 1<<64-1), protocolError},
		"reserved bit 1":               {frame(last|reserved1|text, read), protocolError},
		"reserved bit 2":               {frame(last|0x20|text, read), protocolError},
		"reserved bit 3":               {frame(last|0x10|text, read), protocolError},
		"reserved opcode 3":            {frame(last|3, read), protocolError},
		"reserved opcode b":            {frame(last|0xb, ""), protocolError},
		"fragmented ping":              {frame(ping, "x"), protocolError},
		"fragmented close":             {frame(closeFrame, "\x03\xe8"), protocolError},
		"ping of 126 bytes":            {frame(last|ping, strings.Repeat("x", 126)), protocolError},
		"ping that claims 2^62 bytes":  {header(last|ping, 1<<62), protocolError},
		"continuation of nothing":      {frame(last|continuation, read), protocolError},
		"message inside a message":     {slices.Concat(frame(text, "{"), frame(last|text, read)), protocolError},
		"close code 1005":              {frame(last|closeFrame, "\x03\xed"), protocolError},
		"close code 1006":              {frame(last|closeFrame, "\x03\xee"), protocolError},
		"close code 999":               {frame(last|closeFrame, "\x03\xe7"), protocolError},
		"close code of one byte":       {frame(last|closeFrame, "\x03"), protocolError},
		"close, and more after it":     {slices.Concat(frame(last|closeFrame, "\x03\xe8"), frame(last|text, read)), []int{1000, cut}},
		"empty close":                  {frame(last|closeFrame, ""), []int{1000, 1005, cut}},
		"binary":                       {frame(last|binaryFrame, read), []int{1003}},
		"binary that claims 2^62":      {header(last|binaryFrame, 1<<62), []int{1003}},
		"invalid UTF-8":                {frame(last|text, "{\"\xff\":1}"), []int{1007}},
		"surrogates in UTF-8":          {frame(last|text, "\"\xed\xa0\x80\""), []int{1007}},
		"overlong UTF-8":               {frame(last|text, "\"\xc0\xaf\""), []int{1007}},
		"UTF-8 cut off":                {slices.Concat(frame(text, "\"\xe2\x82"), frame(last|continuation, "\"")), []int{1007}},
		"64 KiB and a byte":            {frame(last|text, strings.Repeat(" ", 64<<10+1)), []int{1009}},
		"1 MiB":                        {frame(last|text, strings.Repeat(" ", 1<<20)), []int{1009, cut}},
		"64 KiB and a byte, in pieces": {slices.Concat(frame(text, strings.Repeat(" ", 64<<10)), frame(last|continuation, " ")), []int{1009}},
		"HTTP instead of WebSocket":    {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), protocolError},
		"zeros":                        {make([]byte, 1000), protocolError},
	} {
		t.Run(name, func(t *testing.T) {
			w := i.upgrade(t, i.session)
			go w.Write(c.sent) // the server need not take it all
			w.SetReadDeadline(time.Now().Add(patience))
			if code := w.end(); !slices.Contains(c.want, code) {
				t.Errorf("closed with %d, want one of %d", code, c.want)
			}
		})
	}
	innocent.works()
}

// TestLargestMessage: 64 KiB is a good message, whichever way it comes, with pings in between.
func TestLargestMessage(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	w := i.upgrade(t, i.session)
	w.message()
	message := call(1, "/v1/session/read", "[]")
	message += strings.Repeat(" ", 64<<10-len(message))
	const good = `{"jsonrpc":"2.0","id":1,"result":{"user"`

	w.put(frame(last|text, message))
	if answer := w.message(); !strings.HasPrefix(answer, good) {
		t.Error("in one frame:", answer)
	}
	var pieces []byte
	for n := range len(message) {
		first := byte(continuation)
		if n == 0 {
			first = text
		}
		if n == len(message)-1 {
			first |= last
		}
		pieces = append(pieces, frame(first, message[n:n+1])...)
		if n == 1000 {
			pieces = append(pieces, frame(last|ping, "still there?")...)
		}
	}
	go w.Write(pieces)
	if answer := w.message(); !strings.HasPrefix(answer, good) {
		t.Error("in frames of one byte:", answer)
	}
}

// TestEarlyFrames: what a client sends right behind its handshake, in the same segment, counts.
func TestEarlyFrames(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	w := i.upgrade(t, i.session, slices.Concat(frame(last|text, call(1, "/v1/session/read", "[]")), frame(last|ping, "x"))...)
	w.message() // ready
	if answer := w.message(); !strings.HasPrefix(answer, `{"jsonrpc":"2.0","id":1,"result":`) {
		t.Error(answer)
	}
	for name, early := range map[string]string{
		"garbage": strings.Repeat("\xff", 100), "a request": "POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "zeros": "\x00\x00",
	} {
		if code := i.upgrade(t, i.session, []byte(early)...).end(); code != cut && code != 1002 {
			t.Errorf("%s: closed with %d", name, code)
		}
	}
	i.dial(i.session, "").works()
}

// TestNonsense sends messages that are well framed and mean nothing. Each is answered with an error and the connection
// stays open.
func TestNonsense(t *testing.T) {
	i := start(t, modelstest.SQLite(t))
	c := i.dial(i.session, "")
	c.next()
	deep := func(n int, open, close string) string { return strings.Repeat(open, n) + strings.Repeat(close, n) }
	for name, message := range map[string]string{
		"deep arrays":           deep(32<<10, "[", "]"),
		"deep objects":          deep(10<<10, `{"a":`, "}"),
		"deep and open":         strings.Repeat("[", 64<<10),
		"deep params":           call(1, "/v1/api-tokens/read", "["+deep(1000, "[", "]")+"]"),
		"deep options":          call(1, "/v1/api-tokens/read", `{"options":{"where":`+deep(30, `{"name":`, "}")+`}}`),
		"closing brackets":      strings.Repeat("]", 1000),
		"a response":            `{"jsonrpc":"2.0","id":1,"result":{}}`,
		"an error":              `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`,
		"responses":             `[` + strings.Repeat(`{"jsonrpc":"2.0","id":1,"result":{}},`, 99) + `{"jsonrpc":"2.0","id":1,"result":{}}]`,
		"a batch of 101":        `[` + strings.Repeat(`1,`, 100) + `1]`,
		"a batch of a batch":    `[[{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}]]`,
		"a number of 60 KiB":    `{"jsonrpc":"2.0","id":1,"method":"/v1/api-tokens/read","params":[{"limit":` + strings.Repeat("9", 60<<10) + `}]}`,
		"an exponent":           call(1, "/v1/api-tokens/read", `[{"limit":1e999999999}]`),
		"a method of 60 KiB":    `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("/", 60<<10) + `"}`,
		"a param of 60 KiB":     call(1, "/v1/api-tokens/delete", `{"`+strings.Repeat("x", 60<<10)+`":1}`),
		"lone surrogates":       call(1, "/v1/api-tokens/create", `["\ud800"]`),
		"NUL":                   call(1, "/v1/api-tokens/create", `["\u0000"]`),
		"an unknown method":     call(1, "../../etc/passwd", "[]"),
		"a notification's name": call(1, "/v1/session/ended", "[]"),
		"an internal event":     call(1, "$/user-ended", "[]"),
	} {
		c.send(message)
		if answer := c.next(); !strings.Contains(answer, `"error":{"code":-3`) {
			t.Errorf("%s: %.200s", name, answer)
		} else if len(answer) > 20<<10 {
			t.Errorf("%s: an error of %d bytes", name, len(answer))
		}
	}
	c.works()
}
