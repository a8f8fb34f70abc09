package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of a connection's bytes.
const (
	readBuffer    = 4 << 10          // bytes that a connection reads at a time: calls of 150 bytes that come 16 at once are read, and answered, at once. An idle one keeps it
	libraryBuffer = 256              // bytes that the library writes at a time: pongs and goodbyes
	maxGathered   = 64 << 10         // bytes gathered before they are written
	writeTimeout  = 10 * time.Second // for a peer to take what is written
	messageTime   = 30 * time.Second // for a message that has begun to come to its end
	maxUnfinished = 512 << 10        // bytes between two ends of messages: 64 KiB in fragments of one byte
	floodWindow   = time.Minute      // after which bytes that were pings, say, are forgotten
	sendBuffer    = 128 << 10        // bytes that the kernel may hold for a peer that does not read
	closeTimeout  = 5 * time.Second  // for a peer that was told to go, to go
	maxAfterClose = 1 << 20          // bytes read of one that was cut off in a message: what was on its way
)

var errFlood = errors.New("too much that is no message")

// gatherer is the net.Conn under a WebSocket. Our frames are gathered and leave in one write; those of the library, pongs
// and the answer to a goodbye, leave at once, after what was gathered before them. It also holds the bounds that the
// library has not.
type gatherer struct {
	net.Conn
	early []byte // what had been read before the upgrade

	// The reader's.
	idle       func() // writes what there is to write, before a read waits
	inMessage  bool
	deadline   bool
	flooded    bool
	unfinished int
	since      time.Time

	mu       sync.Mutex
	gathered *[]byte
	bounded  time.Time // when the deadline of writing was set
	ended    bool      // a close frame is out: nothing may follow it
}

// gatherings are buffers for what is gathered: an idle connection has none.
var gatherings = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// Read reads once everything is written that there was to write.
func (g *gatherer) Read(p []byte) (int, error) {
	if g.flooded {
		return 0, errFlood
	}
	if len(g.early) > 0 {
		n := copy(p, g.early)
		g.early = g.early[n:]
		return n, nil
	}
	if g.idle != nil {
		g.idle()
	}
	if g.inMessage != g.deadline {
		g.setDeadline()
	}
	n, err := g.Conn.Read(p)
	if g.unfinished += n; g.unfinished > maxUnfinished {
		if now := time.Now(); now.Sub(g.since) > floodWindow {
			g.unfinished, g.since = 0, now
		} else {
			g.flooded = true
		}
	}
	return n, err
}

// setDeadline bounds the reading of a message. An end that is set stays.
func (g *gatherer) setDeadline() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = g.inMessage
	end := time.Time{}
	if g.inMessage {
		end = time.Now().Add(messageTime)
	}
	if !g.ended {
		g.Conn.SetReadDeadline(end)
	}
}

// message notes that a message has come to its end.
func (g *gatherer) message() {
	g.inMessage = false
	g.unfinished = 0
}

// The opcodes of the frames that we write (RFC 6455, section 5.2).
const (
	opText  = 1
	opClose = 8
)

// appendFrame appends a whole frame as a server sends it: in one piece and without a mask (RFC 6455, section 5.2).
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	const fin = 0x80
	switch n := len(payload); {
	case n < 126:
		b = append(b, fin|opcode, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, fin|opcode, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, fin|opcode, 127), uint64(n))
	}
	return append(b, payload...)
}

// gather takes a frame for the next flush.
func (g *gatherer) gather(opcode byte, payload []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return nil
	}
	if g.gathered == nil {
		g.gathered = gatherings.Get().(*[]byte)
	}
	*g.gathered = appendFrame(*g.gathered, opcode, payload)
	if len(*g.gathered) >= maxGathered {
		return g.flush()
	}
	return nil
}

func (g *gatherer) flushAll() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flush()
}

// Write sends a frame of the library's, which it hands over in one piece.
func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return len(p), nil
	}
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.send(p)
}

func (g *gatherer) flush() error {
	if g.gathered == nil {
		return nil
	}
	b := g.gathered
	g.gathered = nil
	_, err := g.send(*b)
	if cap(*b) <= maxGathered {
		*b = (*b)[:0]
		gatherings.Put(b)
	}
	return err
}

// send writes, with a deadline that is set anew when it is a second old: that costs a tenth of a small write.
func (g *gatherer) send(p []byte) (int, error) {
	if now := time.Now(); now.Sub(g.bounded) > time.Second {
		g.bounded = now
		g.Conn.SetWriteDeadline(now.Add(writeTimeout))
	}
	return g.Conn.Write(p)
}

// end writes a last frame after what is gathered, and gives the peer some time to read it and go. A connection that was
// closed at once would lose the frame wherever the peer's bytes still wait to be read.
func (g *gatherer) end(frame []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return nil
	}
	g.ended = true
	err := g.flush()
	if err == nil && frame != nil {
		_, err = g.send(frame)
	}
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	g.Conn.SetReadDeadline(time.Now().Add(closeTimeout))
	return err
}

// drain reads what is on its way from a peer that cannot be understood any more.
func (g *gatherer) drain() { io.CopyN(io.Discard, g.Conn, maxAfterClose) }

// Close is the WebSocket library's, after the peer's goodbye: the answer to that may be among what is gathered.
func (g *gatherer) Close() error {
	g.flushAll()
	return g.Conn.Close()
}

// hijacker is a ResponseWriter whose Hijack gives a gatherer with small buffers.
type hijacker struct {
	http.ResponseWriter
	t *transport
}

// Hijack takes the connection over.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	limitUnsent(conn)
	g := &gatherer{Conn: conn}
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n)
		g.early = append(g.early, early...)
	}
	h.t.conn = g
	return g, bufio.NewReadWriter(bufio.NewReaderSize(g, readBuffer), bufio.NewWriterSize(g, libraryBuffer)), nil
}

// limitUnsent bounds what the kernel holds for a peer that is slow or gone.
func limitUnsent(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer)
		setUserTimeout(tcp)
	}
}
