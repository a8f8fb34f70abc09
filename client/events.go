package client

import (
	"context"
	"encoding/json"
	"iter"

	strict "github.com/go-json-experiment/json"
)

// maxWaiting is how many events wait for one reader, as many as the server lets wait for one connection.
const maxWaiting = 1024

// Event is a notification. docs/protocol.md has their methods and params.
type Event struct {
	Method string // such as /v1/api-tokens/enabled-changed, or /v1/session/ready of a new connection
	Params json.RawMessage
	// Position is where the feed stands with this event: Options.Since goes on after it.
	Position string
	// Reset says that what came before Position can no longer be told: read the state anew.
	Reset bool

	reason string
}

// Decode reads the params as encoding/json does.
func (e Event) Decode(params any) error { return json.Unmarshal(e.Params, params) }

func eventOf(method string, params json.RawMessage) (Event, error) {
	var known struct {
		Position string `json:"position"`
		Reset    bool   `json:"reset"`
		Reason   string `json:"reason"`
	}
	if len(params) > 0 && params[0] == '{' {
		if err := strict.Unmarshal(params, &known); err != nil {
			return Event{}, &protocolError{"a notification that cannot be read"}
		}
	}
	return Event{method, params, known.Position, known.Reset, known.Reason}, nil
}

// stream is what one iterator has yet to be given.
type stream struct {
	events chan Event // closed when no more come
	err    error      // why; written before that
}

// Events returns the events from now on, or with Options.Since and at the first call from there on. It can be ranged over
// once, and ends with an error: ctx's, ErrTooSlow, an *EndedError or ErrClosed.
//
//	for event, err := range c.Events(ctx) {
//		if err != nil { … }
//		if event.Reset { … } // read the state anew
//	}
//
// Events are kept from the moment of the call, so that whoever then reads the state and then ranges over them misses none.
// Heartbeats are not among them.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	c.mu.Lock()
	s := c.since
	c.since = nil
	if s == nil {
		s = c.subscribe()
	}
	c.mu.Unlock()
	unsubscribe := func(why error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drop(s, why)
	}
	stop := context.AfterFunc(ctx, func() { unsubscribe(ctx.Err()) })
	return func(yield func(Event, error) bool) {
		defer stop()
		defer unsubscribe(ErrClosed)
		for event := range s.events {
			if !yield(event, nil) {
				return
			}
		}
		yield(Event{}, s.err)
	}
}

// subscribe is called with mu held, or before anybody else knows of c.
func (c *Client) subscribe() *stream {
	s := &stream{events: make(chan Event, maxWaiting)}
	if c.over != nil {
		s.err = c.over
		close(s.events)
		return s
	}
	c.streams[s] = struct{}{}
	return s
}

// drop ends a stream, if it has not ended yet. It is called with mu held.
func (c *Client) drop(s *stream, why error) {
	if _, ok := c.streams[s]; !ok {
		return
	}
	delete(c.streams, s)
	s.err = why
	close(s.events)
}

// publish gives an event to all streams and never waits for one. The position moves with it.
func (c *Client) publish(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Position != "" {
		c.position = e.Position
	}
	if e.Method == methodHeartbeat {
		return
	}
	for s := range c.streams {
		select {
		case s.events <- e:
		default:
			c.drop(s, ErrTooSlow)
		}
	}
}
