package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// patience is how long anything that must happen may take.
const patience = 30 * time.Second

// client is a WebSocket connection, as cheap as it can be: the load runs on the same cores as what is measured. Frames
// that are sent are gathered until flush. All sides of a benchmark are asked through it.
type client struct {
	net.Conn
	in  *bufio.Reader
	out []byte
}

// dial opens a WebSocket. A bearer may be "".
func dial(addr, path, bearer string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	c.SetDeadline(time.Now().Add(patience))
	request := "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if bearer != "" {
		request += "Authorization: Bearer " + bearer + "\r\n"
	}
	_, err = conn.Write([]byte(request + "\r\n"))
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(c.in, &http.Request{Method: "GET"})
	}
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = errors.New(response.Status)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dialling %s%s: %w", addr, path, err)
	}
	c.SetDeadline(time.Time{})
	return c, nil
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// send gathers a text frame.
func (c *client) send(message []byte) { c.out = appendFrame(c.out, opText, message) }

// appendFrame appends a client's frame (RFC 6455, section 5.2). Its mask is 0: the server does the same work with any.
func appendFrame(b []byte, opcode byte, message []byte) []byte {
	if len(message) < 126 {
		b = append(b, 0x80|opcode, 0x80|byte(len(message)))
	} else {
		b = append(b, 0x80|opcode, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, message...)
}

// flush writes what was gathered.
func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.Write(c.out)
	c.out = c.out[:0]
	return err
}

// header returns the sizes of the next frame, from the bytes that there are.
func (c *client) header(b []byte) (header, size int, ok bool) {
	switch {
	case len(b) < 2:
		return 0, 0, false
	case b[1] < 126:
		return 2, int(b[1]), true
	case len(b) < 4:
		return 0, 0, false
	}
	return 4, int(binary.BigEndian.Uint16(b[2:4])), b[1] == 126
}

// ready reports whether receive would return at once.
func (c *client) ready() bool {
	b, _ := c.in.Peek(min(4, c.in.Buffered()))
	header, size, ok := c.header(b)
	return ok && c.in.Buffered() >= header+size
}

// receive returns the next message, which is valid until the next call.
func (c *client) receive() ([]byte, error) {
	for {
		b, err := c.in.Peek(2)
		if err == nil && b[1] == 126 {
			b, err = c.in.Peek(4)
		}
		if err != nil {
			return nil, err
		}
		opcode := b[0] & 15
		header, size, ok := c.header(b)
		if !ok || b[0]&0x80 == 0 {
			return nil, fmt.Errorf("a frame that nobody asked for: % x", b)
		}
		if b, err = c.in.Peek(header + size); err != nil {
			return nil, err
		}
		c.in.Discard(header + size)
		switch message := b[header:]; opcode {
		case opText:
			return message, nil
		case opPing:
			c.out = appendFrame(c.out, opPong, message)
			if err := c.flush(); err != nil {
				return nil, err
			}
		case opClose:
			return nil, fmt.Errorf("closed by the server: % x %q", message[:min(2, len(message))], message[min(2, len(message)):])
		}
	}
}
