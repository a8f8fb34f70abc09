package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// serveBare is the bare server: net/http with a handler that does nothing, and so answers 200.
func serveBare() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	return http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// proxyConn is a connection to an HTTP server, as a proxy keeps it: one request under way, always.
type proxyConn struct {
	net.Conn
	in      *bufio.Reader
	request []byte
	count   atomic.Int64
}

// auth compares GET /auth/verify, of a good token that the server knows, with the bare server. Both are asked the same.
func auth(o *options) error {
	ours, err := startTokenwire(o, o.tree, "")
	if err != nil {
		return err
	}
	var token struct{ Token string }
	if err := ours.call(ours.session, "/v1/api-tokens/create", &token, "proxied", map[string]any{"permissions": map[string]bool{"tokens:manage": true}}); err != nil {
		return err
	}
	theirs, err := reference("reference-bare")
	if err != nil {
		return err
	}
	request := fmt.Appendf(nil, "GET /auth/verify?permission=tokens:manage HTTP/1.1\r\nHost: tokenwire\r\nAuthorization: Bearer %s\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n", token.Token)
	var sides [2][]*proxyConn
	for i, p := range []*process{theirs, ours.process} {
		if sides[i], err = dialProxies(p.addr, request); err != nil {
			return err
		}
	}
	f := &figure{name: fmt.Sprintf("auth/verify, %d x 1", callers), unit: "requests/s", goal: ">= 0.7"}
	err = inTurns(o.rounds, f,
		func() (float64, error) { return proxyRate(sides[0], o.period) },
		func() (float64, error) { return proxyRate(sides[1], o.period) })
	if err != nil {
		return err
	}
	print(f)
	return nil
}

func dialProxies(addr string, request []byte) (all []*proxyConn, err error) {
	for range callers {
		conn, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return nil, err
		}
		all = append(all, &proxyConn{Conn: conn, in: bufio.NewReader(conn), request: request})
	}
	return all, nil
}

func proxyRate(all []*proxyConn, period time.Duration) (float64, error) {
	var runs []func(stop *atomic.Bool) error
	for _, c := range all {
		c.count.Store(0)
		c.SetDeadline(time.Now().Add(period + patience))
		runs = append(runs, c.run)
	}
	return during(period, runs, func() (n int64) {
		for _, c := range all {
			n += c.count.Load()
		}
		return n
	})
}

// run asks again for each answer, until stop is set.
func (c *proxyConn) run(stop *atomic.Bool) error {
	for !stop.Load() {
		if _, err := c.Write(c.request); err != nil {
			return err
		}
		if err := c.answered(); err != nil {
			return err
		}
		c.count.Add(1)
	}
	return nil
}

// answered reads an answer, which must be 200 and empty.
func (c *proxyConn) answered() error {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("%q", status)
	}
	for empty := false; ; {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			if !empty {
				return fmt.Errorf("an answer with a body")
			}
			return nil
		}
		empty = empty || string(line) == "Content-Length: 0\r\n"
	}
}
