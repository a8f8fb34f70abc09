package faults

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a network between two programs: a TCP proxy that a test has break.
type wire struct {
	t        testing.TB
	target   string
	listener net.Listener
	hints    bool // what is at the other end is NATS
	running  sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	conns    map[net.Conn]*pair
	refusing bool          // new connections are ended at once
	stalled  [2]bool       // nothing goes towards the target, or back from it
	late     time.Duration // what comes back does so later by this
	commits  int           // so many connections more end at their next COMMIT
	cut      int           // connections that did
	losing   bool          // messages of NATS are lost, or come twice
	messages int           // that have come meanwhile
}

// wires are all that join a node to something of several parts: they break together.
type wires []*wire

func (all wires) stall(ways ...int) {
	for _, w := range all {
		w.stall(ways...)
	}
}

func (all wires) refuse() {
	for _, w := range all {
		w.refuse()
	}
}

func (all wires) slow(by time.Duration) {
	for _, w := range all {
		w.slow(by)
	}
}

func (all wires) cutCommits(n int) {
	for _, w := range all {
		w.cutCommits(n)
	}
}

func (all wires) heal() {
	for _, w := range all {
		w.heal()
	}
}

func (all wires) open() (n int) {
	for _, w := range all {
		n += w.open()
	}
	return n
}

// cuts returns how many connections have ended at their COMMIT.
func (all wires) cuts() (n int) {
	for _, w := range all {
		w.set(func() { n += w.cut })
	}
	return n
}

// pair is what becomes of a connection through the wire.
type pair struct {
	doomed atomic.Bool // it ends with the next answer
	lost   atomic.Bool // nothing arrives any more, and nobody is told
}

// The ways of a wire.
const (
	towards = 0
	back    = 1
)

// newWire returns a network to an address. It ends with the test.
func newWire(t testing.TB, target, host string) *wire {
	t.Helper()
	return start(t, &wire{target: target}, host)
}

// newBus is newWire to a server of NATS.
func newBus(t testing.TB, target, host string) *wire {
	t.Helper()
	return start(t, &wire{target: target, hints: true}, host)
}

func start(t testing.TB, w *wire, host string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	w.t, w.listener, w.conns = t, listener, map[net.Conn]*pair{}
	w.changed = sync.NewCond(&w.mu)
	w.running.Go(w.serve)
	t.Cleanup(func() {
		listener.Close()
		w.heal()
		w.sever()
		w.running.Wait()
	})
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		refusing := w.refusing
		w.mu.Unlock()
		if refusing {
			near.Close()
			continue
		}
		w.running.Go(func() { w.join(near) })
	}
}

// join connects a connection to the target. While nothing goes there it waits, as a SYN does.
func (w *wire) join(near net.Conn) {
	w.await(towards)
	far, err := net.DialTimeout("tcp", w.target, time.Second)
	if err != nil {
		near.Close()
		return
	}
	w.mu.Lock()
	p := &pair{}
	w.conns[near], w.conns[far] = p, p
	w.mu.Unlock()
	end := func() {
		near.Close()
		far.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, near)
		delete(w.conns, far)
	}
	carryBack := w.carryBack
	if w.hints {
		carryBack = w.carryHints
	}
	w.running.Go(func() { defer end(); carryBack(near, far, p) })
	w.running.Go(func() { defer end(); w.carry(far, near, p) })
}

// carry takes what comes from a client to the target. A connection whose COMMIT is chosen ends before that, or before the answer.
func (w *wire) carry(far, near net.Conn, p *pair) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := near.Read(buffer)
		if err != nil {
			return
		}
		w.await(towards)
		if p.lost.Load() {
			continue
		}
		if isCommit(buffer[:n]) {
			taken, arrives := w.takesCommit()
			if taken && !arrives {
				return
			}
			p.doomed.Store(taken)
		}
		if _, err := far.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// carryBack takes what comes from the target to the client.
func (w *wire) carryBack(near, far net.Conn, p *pair) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := far.Read(buffer)
		if err != nil || p.doomed.Load() {
			return
		}
		time.Sleep(w.await(back))
		if p.lost.Load() {
			continue
		}
		if _, err := near.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// carryHints is carryBack for what NATS sends to a node: a message is a line that says how long it is, and that much. Some are lost,
// and some come twice, for as long as that is wrong with the wire.
func (w *wire) carryHints(near, far net.Conn, p *pair) {
	from := bufio.NewReaderSize(far, 32<<10)
	for {
		line, err := from.ReadBytes('\n')
		times := 1
		if fields := bytes.Fields(line); len(fields) > 3 && string(fields[0]) == "MSG" {
			size, _ := strconv.Atoi(string(fields[len(fields)-1]))
			message := append(line, make([]byte, size+len("\r\n"))...)
			if _, err := io.ReadFull(from, message[len(line):]); err != nil {
				return
			}
			line, times = message, w.arrives()
		}
		if err != nil || p.doomed.Load() {
			return
		}
		time.Sleep(w.await(back))
		if p.lost.Load() {
			continue
		}
		for range times {
			if _, err := near.Write(line); err != nil {
				return
			}
		}
	}
}

// arrives returns how many times the next message of NATS arrives.
func (w *wire) arrives() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.losing {
		return 1
	}
	w.messages++
	return w.messages % 3 // one lost, one as it is, one twice: or the bus would be without an effect, or as good as ever
}

// await waits until something goes a way again, and returns how late it is to be.
func (w *wire) await(way int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.stalled[way] {
		w.changed.Wait()
	}
	return w.late
}

// isCommit reports whether what a client of MySQL sends is COMMIT, which stands alone as the client waits for its answer.
func isCommit(data []byte) bool {
	const header, query = 4, 3 // bytes; COM_QUERY
	return len(data) > header+1 && int(binary.LittleEndian.Uint32(data)&0xffffff) == len(data)-header && data[header] == query && string(data[header+1:]) == "COMMIT"
}

// takesCommit reports whether a COMMIT is chosen, and whether it arrives: every other one does.
func (w *wire) takesCommit() (taken, arrives bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.commits == 0 {
		return false, false
	}
	w.commits--
	w.cut++
	return true, w.cut%2 == 1
}

// set changes what is wrong with the wire.
func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
}

// stall has nothing go a way. What is sent waits, as it does in a network that loses it until it comes back.
func (w *wire) stall(ways ...int) {
	w.set(func() {
		for _, way := range ways {
			w.stalled[way] = true
		}
	})
}

// refuse ends all connections, and new ones.
func (w *wire) refuse() {
	w.set(func() { w.refusing = true })
	w.sever()
}

// abandon has the connections that there are hear no more of each other, for good: what is at the other end is gone and has not said
// so, until the wire is good again.
func (w *wire) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.conns {
		p.lost.Store(true)
	}
}

// slow has what comes back do so later.
func (w *wire) slow(by time.Duration) { w.set(func() { w.late = by }) }

// lose has messages of NATS be lost, or come twice.
func (w *wire) lose() { w.set(func() { w.losing = true }) }

// cutCommits ends the connections of the next n COMMITs, before they are answered or before they arrive.
func (w *wire) cutCommits(n int) { w.set(func() { w.commits = n }) }

// heal makes it a good wire again.
func (w *wire) heal() {
	w.mu.Lock()
	for c, p := range w.conns {
		if p.lost.Load() {
			c.Close()
		}
	}
	w.mu.Unlock()
	w.set(func() { w.refusing, w.stalled, w.late, w.commits, w.losing = false, [2]bool{}, 0, 0, false })
}

// sever ends all connections.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

// open returns how many connections there are.
func (w *wire) open() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns) / 2
}
