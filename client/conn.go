package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"
	strict "github.com/go-json-experiment/json"
	"github.com/sourcegraph/jsonrpc2"
)

// Bounds of a connection.
const (
	maxUnderWay  = 32               // calls without an answer; beyond that the server stops reading
	maxFrame     = 64 << 10         // bytes of a message that is sent; the server closes on more, which would cost every call
	maxMessage   = 16 << 20         // bytes of a message that is received: beyond any that the server makes
	maxQueue     = 1024             // messages that wait to be written, most of them cancellations and confirmations
	writeTimeout = 10 * time.Second // for one message: a peer that takes nothing for so long is gone
	silence      = 40 * time.Second // two heartbeats of 15 s lost and some: the connection is dead, whatever TCP says
)

// errNotSent is a call that found its connection ended: it can go over the next one.
var errNotSent = errors.New("tokenwire: the connection ended before the call was sent")

// protocolError is a message that the server should not have sent. A change may have been in it: only starting again from
// the last position is sure to have it.
type protocolError struct{ what string }

// Error says what it was.
func (e *protocolError) Error() string { return "tokenwire: the server sent " + e.what }

// conn is one WebSocket and the calls under way on it. One goroutine reads, in serve, and one writes.
type conn struct {
	ws     *websocket.Conn
	notify func(method string, params json.RawMessage) error // called by the reader, in order
	abort  context.CancelFunc                                // ends it at once
	places chan struct{}                                     // one taken for each call under way
	gone   chan struct{}                                     // closed when it has ended

	mu      sync.Mutex
	ended   bool
	lastID  uint64
	pending map[uint64]chan<- reply // whoever takes a call out of it answers it
	queue   [][]byte                // messages to be written
	wake    chan struct{}           // has room for one: there is something in queue
}

type reply struct {
	result json.RawMessage
	err    error
}

func newConn(ws *websocket.Conn) *conn {
	ws.SetReadLimit(maxMessage)
	return &conn{
		ws: ws, abort: func() {}, places: make(chan struct{}, maxUnderWay), gone: make(chan struct{}),
		pending: map[uint64]chan<- reply{}, wake: make(chan struct{}, 1),
	}
}

// serve reads and writes until the connection ends, and returns why. What still waits for an answer is left to end.
func (k *conn) serve(ctx context.Context) error {
	var writer sync.WaitGroup
	writer.Go(func() { k.write(ctx) })
	err := k.read(ctx)
	k.abort()
	k.ws.CloseNow()
	writer.Wait()
	return err
}

func (k *conn) read(ctx context.Context) error {
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		kind, data, err := k.ws.Read(wait)
		cancel()
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			return &protocolError{"a binary message"}
		}
		if err := k.receive(data); err != nil {
			return err
		}
	}
}

// receive handles one message: an answer or a notification.
func (k *conn) receive(data []byte) error {
	var message struct {
		ID     *uint64         `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
		Result json.RawMessage `json:"result"`
		Error  *jsonrpc2.Error `json:"error"`
	}
	if err := strict.Unmarshal(data, &message); err != nil {
		return &protocolError{"what is not JSON-RPC"} // the error would show what was in it
	}
	switch {
	case message.Method != "":
		return k.notify(message.Method, message.Params)
	case message.ID != nil && message.Error != nil:
		k.answer(*message.ID, reply{err: errorOf(message.Error)})
	case message.ID != nil:
		k.answer(*message.ID, reply{result: message.Result})
	}
	return nil
}

// answer gives a call its reply. One whose caller has gone is nobody's.
func (k *conn) answer(id uint64, r reply) {
	if waiting := k.take(id); waiting != nil {
		waiting <- r
	}
}

func (k *conn) take(id uint64) chan<- reply {
	k.mu.Lock()
	defer k.mu.Unlock()
	waiting := k.pending[id]
	delete(k.pending, id)
	return waiting
}

// write writes what is queued, in order, until ctx ends. What cannot be written ends the connection.
func (k *conn) write(ctx context.Context) {
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		k.mu.Lock()
		batch := k.queue
		k.queue = nil
		k.mu.Unlock()
		for _, data := range batch {
			limited, cancel := context.WithTimeout(ctx, writeTimeout)
			err := k.ws.Write(limited, websocket.MessageText, data)
			cancel()
			if err != nil {
				k.abort()
				return
			}
		}
	}
}

// enqueue puts a message into the queue and never waits, so that the reader may call it: a reader that waited for the
// writer, and so for the server, could make both wait for ever. It is called with mu held.
func (k *conn) enqueue(data []byte) error {
	if k.ended {
		return errNotSent
	}
	if len(k.queue) >= maxQueue {
		k.abort() // the server takes nothing any more
		return errNotSent
	}
	k.queue = append(k.queue, data)
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// tell sends a notification, whose params are marshalled.
func (k *conn) tell(method string, params any) {
	data, err := encode(jsonrpc2.Request{Method: method, Notif: true}, params)
	if err != nil {
		k.abort()
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.enqueue(data) // a connection that has ended needs to be told nothing
}

// call makes a call over this very connection. It waits for a place among those under way.
func (k *conn) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	select {
	case k.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.gone:
		return nil, errNotSent
	}
	defer func() { <-k.places }()
	id, answered, err := k.send(method, params)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-answered:
		return r.result, r.err
	case <-ctx.Done():
	}
	if k.take(id) == nil { // the answer came at the same moment
		r := <-answered
		return r.result, r.err
	}
	k.tell("$/cancelRequest", map[string]uint64{"id": id})
	return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
}

// send puts a call into the queue, in the order of its id.
func (k *conn) send(method string, params any) (uint64, <-chan reply, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lastID++
	data, err := encode(jsonrpc2.Request{Method: method, ID: jsonrpc2.ID{Num: k.lastID}}, params)
	if err != nil {
		return 0, nil, err
	}
	if err := k.enqueue(data); err != nil {
		return 0, nil, err
	}
	answered := make(chan reply, 1)
	k.pending[k.lastID] = answered
	return k.lastID, answered, nil
}

// end fails what still waits for an answer, and whatever comes after.
func (k *conn) end() {
	k.mu.Lock()
	k.ended = true
	lost := k.pending
	k.pending = nil
	k.mu.Unlock()
	close(k.gone)
	for _, waiting := range lost {
		waiting <- reply{err: ErrOutcomeUnknown}
	}
}

// encode writes a request. Params are an array, an object or nothing.
func encode(r jsonrpc2.Request, params any) ([]byte, error) {
	if params != nil {
		text, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		switch text[0] {
		case '[', '{':
			r.Params = (*json.RawMessage)(&text)
		case 'n':
		default:
			return nil, errors.New("tokenwire: params are a slice or array by position, or a struct or map by name")
		}
	}
	data, err := json.Marshal(&r)
	if err == nil && len(data) > maxFrame {
		err = ErrTooLarge
	}
	return data, err
}
