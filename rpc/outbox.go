package rpc

import (
	"slices"
	"strconv"
	"sync"
)

// Bounds of a connection.
const (
	maxUnderWay      = 32      // requests read and not yet answered; beyond that the server stops reading
	maxWaiting       = 256     // more of them, that wait for verifiers and for nothing else
	maxNotifications = 1024    // that wait to be written; more is a client that cannot keep up
	maxBacklog       = 1 << 20 // bytes of them
	keptEntries      = 64      // entries of room that an idle queue keeps
	keptBuffer       = 4 << 10 // bytes of a reply's buffer that is used again
)

// entry is something to write: a reply, a notification, or the close frame that ends it all.
type entry struct {
	data    []byte
	buffer  *[]byte // where data came from, to be used again; nil for what is shared
	answers int     // requests that are no longer under way once it is written
	push    bool    // a notification: its size counts
	cause   string  // the change that it tells of
	code    int     // a close frame if not 0
	reason  string
}

// outbox is what a connection has to write, in order. Any goroutine may add to it; one at a time writes. A notification
// that tells of a change under way by this same connection waits, and what comes after it too, until the reply to that
// call is in.
type outbox struct {
	transport Transport
	metrics   *metrics

	mu       sync.Mutex
	changed  sync.Cond
	queue    []entry
	held     []entry
	spare    []entry // the queue's other half while one is being written
	changes  []ownChange
	underWay int
	waiting  int // of those under way, what takes no room
	pushes   int
	backlog  int
	writing  bool
	ending   bool   // a close frame is on its way: no more requests
	closed   bool   // nothing is written any more
	final    *entry // the close frame that goes out when no request is under way
}

func (o *outbox) init(t Transport, m *metrics) {
	o.transport, o.metrics = t, m
	o.changed.L = &o.mu
}

// begin takes n requests under way that will get one reply, waiting for room. It reports false when there will be no more
// requests. It is called by the reader only, which writes what it can before it waits.
func (o *outbox) begin(changeID string, n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.underWay-o.waiting+n > maxUnderWay && !o.ending && !o.closed {
		if !o.writing && len(o.queue) > 0 {
			o.write()
		} else {
			o.changed.Wait()
		}
	}
	if o.ending || o.closed {
		return false
	}
	o.underWay += n
	if changeID != "" {
		o.changes = append(o.changes, ownChange{id: changeID, requests: n})
	}
	return true
}

// reply puts the answer to n requests into the queue, and lets go what waited for it. There is no data for notifications.
// The goroutine of a call has nothing else to do any more and writes; that of the reader first reads what there is.
func (o *outbox) reply(changeID string, n int, data []byte, buffer *[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(data) == 0 {
		o.answered(n)
	} else {
		o.queue = append(o.queue, entry{data: data, buffer: buffer, answers: n})
	}
	if changeID == "" {
		return // answered from memory: the reader writes when it has read what there is
	}
	o.unhold(changeID)
	if !o.writing {
		o.write()
	}
}

// answered counts requests that are no longer under way.
func (o *outbox) answered(n int) {
	if n == 0 {
		return
	}
	o.underWay -= n
	if o.underWay == 0 && o.final != nil {
		o.queue = append(o.queue, *o.final)
		o.final = nil
		o.wake()
	}
	o.changed.Signal()
}

// push adds a notification that tells of a change, and never waits. A connection that has too many of them is closed.
func (o *outbox) push(data []byte, cause string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.closed {
		return
	}
	if o.pushes >= maxNotifications || o.backlog+len(data) > maxBacklog {
		o.tooSlow()
	} else {
		o.pushes++
		o.backlog += len(data)
		o.add(entry{data: data, push: true, cause: cause})
	}
	o.wake()
}

// tooSlow closes on a client that cannot keep up.
func (o *outbox) tooSlow() {
	o.drop()
	o.queue = append(o.queue, entry{code: CloseTooSlow, reason: reasonTooSlow})
	o.ending = true
	o.changed.Broadcast()
}

// urgent adds a notification that nothing puts off, not even a call of this same connection under way, which may be waiting
// for the answer to it. Its number is not limited, only its size, as one change may bring about many.
func (o *outbox) urgent(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.closed {
		return
	}
	if o.backlog+len(data) > maxBacklog {
		o.tooSlow()
	} else {
		o.pushes++
		o.backlog += len(data)
		o.queue = append(o.queue, entry{data: data, push: true})
	}
	o.wake()
}

// first adds the message that comes before all others, which nothing drops.
func (o *outbox) first(data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, entry{data: data})
	o.wake()
}

// full reports whether so much waits that the one who adds should wait too, if he can.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pushes > maxNotifications/2 || o.backlog > maxBacklog/2
}

// end adds a last notification and the close frame. Nothing comes after them.
func (o *outbox) end(data []byte, cause string, code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.closed {
		return
	}
	o.ending = true
	if o.own(cause) < 0 { // somebody else's doing: nothing under way puts it off
		o.queue = append(o.queue, o.held...)
		o.held = nil
	}
	if data != nil {
		o.add(entry{data: data, cause: cause})
	}
	o.add(entry{code: code, reason: reason, cause: cause})
	o.changed.Broadcast()
	o.wake()
}

// finish takes no more requests, and closes when those under way are answered.
func (o *outbox) finish(code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.closed {
		return
	}
	o.ending = true
	o.final = &entry{code: code, reason: reason}
	o.underWay++ // so that answered sees it also where nothing is under way
	o.answered(1)
	o.changed.Broadcast()
}

func (o *outbox) add(e entry) {
	if len(o.held) > 0 || o.waits(e) {
		o.held = append(o.held, e)
	} else {
		o.queue = append(o.queue, e)
	}
}

// drop forgets the notifications that wait. Replies stay.
func (o *outbox) drop() {
	o.queue = slices.DeleteFunc(o.queue, func(e entry) bool { return e.push })
	o.held = nil
	o.pushes, o.backlog = 0, 0
}

// wake starts a writer if there is none. An idle connection has no goroutine for writing.
func (o *outbox) wake() {
	if !o.writing && !o.closed && len(o.queue) > 0 {
		o.writing = true
		go func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.writeAll()
		}()
	}
}

// drain writes what there is on the caller's goroutine, unless another one is writing.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing {
		o.write()
	}
}

// settle writes what there is and returns when it is written. It is for the goroutine that reads, which is the only one
// that ever waits here.
func (o *outbox) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && (o.writing || len(o.queue) > 0) {
		if o.writing {
			o.changed.Wait()
		} else {
			o.write()
		}
	}
}

func (o *outbox) write() {
	o.writing = true
	o.writeAll()
}

// writeAll writes until the queue is empty, gathering what is there into one write. It is called with mu held and
// writing set, and lets go of mu while it writes.
func (o *outbox) writeAll() {
	for len(o.queue) > 0 && !o.closed {
		batch := o.queue
		o.queue, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		ok := o.send(batch)
		o.mu.Lock()
		o.sent(batch)
		if !ok {
			o.closed = true
			o.changed.Broadcast()
		}
	}
	o.writing = false
	o.changed.Signal()
}

// send writes entries and reports whether more may follow.
func (o *outbox) send(batch []entry) bool {
	for i := range batch {
		e := &batch[i]
		if e.code != 0 {
			o.metrics.closed.WithLabelValues(strconv.Itoa(e.code)).Inc()
			o.transport.Close(e.code, e.reason)
			return false
		}
		if o.transport.Write(e.data) != nil {
			o.transport.Abort()
			return false
		}
	}
	if o.transport.Flush() != nil {
		o.transport.Abort()
		return false
	}
	return true
}

func (o *outbox) sent(batch []entry) {
	answers := 0
	for i := range batch {
		e := &batch[i]
		answers += e.answers
		if e.push {
			o.pushes--
			o.backlog -= len(e.data)
		}
		if e.buffer != nil && cap(e.data) <= keptBuffer {
			*e.buffer = e.data[:0]
			buffers.Put(e.buffer)
		}
		*e = entry{}
	}
	if cap(batch) <= keptEntries {
		o.spare = batch[:0]
	}
	o.pushes, o.backlog = max(o.pushes, 0), max(o.backlog, 0) // what drop had forgotten while it was being written
	o.answered(answers)
}

// close ends all writing and returns when no goroutine of this outbox is left.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.mu.Unlock()
	o.transport.Abort() // without the lock, which a publisher may be waiting for
	o.mu.Lock()
	for o.writing {
		o.changed.Wait()
	}
}
