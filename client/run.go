package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Bounds of connecting.
const (
	connectTimeout = 15 * time.Second
	backoffBase    = 250 * time.Millisecond
	backoffCap     = 30 * time.Second // and the most of Retry-After
	settled        = 10 * time.Second // a connection that lived this long was a good one: back-off starts again
	mendPause      = time.Second      // at least this after the protocol was broken: the same may happen again

	// verifierBackoffCap is shorter, as a service refuses everybody until its Verifier is back. A crowd of them that comes at once
	// is let in bit by bit by the server, which tells the others when to come again.
	verifierBackoffCap = 5 * time.Second
)

// closeEnded is the close code for a credential that has ended.
const closeEnded = 4401

// Notifications that the client itself acts on.
const (
	methodReady     = "/v1/session/ready"
	methodHeartbeat = "/v1/session/heartbeat"
	methodEnded     = "/v1/session/ended"
)

// run connects, again and again, until ctx or the credential ends.
func (c *Client) run(ctx context.Context) {
	defer close(c.stopped)
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := c.connect(ctx)
		ended, isEnd := errors.AsType[*EndedError](err)
		wrong, isWrong := errors.AsType[*wrongAddressError](err)
		switch {
		case ctx.Err() != nil:
			c.finish(ErrClosed)
			return
		case isEnd:
			c.finish(ended)
			return
		case isWrong && !c.known: // later it is more likely that what stands before the server is being changed
			c.finish(wrong)
			return
		}
		if time.Since(began) > settled {
			attempt = 0
		}
		pause := pauseBefore(attempt, err, c.backoffCap)
		c.log.Warn("tokenwire: not connected", "cause", err, "again", pause)
		c.set(func() { c.cause = err })
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// pauseBefore returns how long to wait before the next attempt: back-off with full jitter, as a thousand clients of one dead
// server must not return as one. It is no longer than longest, but where the server asks for more.
func pauseBefore(attempt int, err error, longest time.Duration) time.Duration {
	var floor time.Duration
	_, broken := errors.AsType[*protocolError](err)
	switch websocket.CloseStatus(err) {
	case websocket.StatusUnsupportedData, websocket.StatusInvalidFramePayloadData, websocket.StatusPolicyViolation, websocket.StatusMessageTooBig:
		broken = true
	}
	if broken {
		floor = mendPause
	}
	if refused, is := errors.AsType[*refusedError](err); is {
		floor = refused.after
	}
	const doublings = 10 // reach the cap, and do not overflow
	ceiling := max(min(longest, backoffBase<<min(attempt, doublings)), 2*floor)
	return floor + rand.N(ceiling-floor)
}

// finish says why nothing more can be called, and lets go of everything.
func (c *Client) finish(why error) {
	c.log.Error("tokenwire: ended, and does not connect again", "cause", why)
	c.set(func() {
		c.over = why
		for s := range c.streams {
			c.drop(s, why)
		}
	})
	c.stop()
}

// connect makes a connection, serves it until it ends, and returns why.
func (c *Client) connect(ctx context.Context) error {
	ws, err := c.dial(ctx)
	if err != nil {
		return err
	}
	k := newConn(ws)
	ctx, k.abort = context.WithCancel(ctx)
	defer k.abort()
	var ended string
	isReady := false
	k.notify = func(method string, params json.RawMessage) error {
		e, err := eventOf(method, params)
		if err != nil {
			return err
		}
		switch {
		case method == methodEnded:
			ended = e.reason
		case method == methodReady && !isReady:
			isReady, c.known = true, true
			if c.observer != nil {
				c.observer.connected(k)
			}
			c.publish(e)
			c.set(func() { c.conn, c.cause = k, nil })
			c.log.Info("tokenwire: connected")
			return nil
		case !isReady:
			return &protocolError{"something before " + methodReady}
		}
		if c.observer != nil {
			if err := c.observer.notified(k, method, params); err != nil {
				return err
			}
		}
		c.publish(e)
		return nil
	}
	err = k.serve(ctx)
	c.set(func() { c.conn, c.cause = nil, err })
	if isReady && c.observer != nil {
		c.observer.disconnected(k)
	}
	k.end()
	if ended != "" || websocket.CloseStatus(err) == closeEnded {
		return &EndedError{cmp.Or(ended, "ended")}
	}
	return err
}

// dial makes the WebSocket. A credential that is not good is an *EndedError, and what cannot be Tokenwire a *wrongAddressError.
func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	u := *c.url
	if since := c.Position(); since != "" {
		query := u.Query()
		query.Set("since", since)
		u.RawQuery = query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: c.http,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token.Reveal()}},
	})
	if err != nil && response != nil {
		switch status := response.StatusCode; {
		case status == http.StatusUnauthorized:
			return nil, &EndedError{"unauthorized"}
		case isLasting(status):
			return nil, &wrongAddressError{response.Status, u.Path}
		}
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // RFC 9110, section 10.2.3; nobody here sends a date
		return nil, &refusedError{response.Status, time.Duration(min(max(seconds, 0), int(backoffCap/time.Second))) * time.Second}
	}
	return ws, err
}

// isLasting reports whether a server that does not open the WebSocket with such a status would do the same at the next attempt:
// it has something else at this path, or something before it does not let WebSockets through.
func isLasting(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4 || status/100 == 2
}
