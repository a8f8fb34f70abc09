package server_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/server/servertest"
)

// balancer is a proxy before several nodes, as simple as one can be: each connection goes to the next node whose /readyz says so.
type balancer struct {
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	nodes []*servertest.Program
	ready map[*servertest.Program]bool
	next  int
	conns map[net.Conn]struct{}
}

// readyEvery is how often the balancer asks a node whether it is ready.
const readyEvery = 50 * time.Millisecond

// balance runs a balancer until the test ends.
func balance(t *testing.T, nodes ...*servertest.Program) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: listener, nodes: nodes, ready: map[*servertest.Program]bool{}, conns: map[net.Conn]struct{}{}}
	stop := make(chan struct{})
	for _, n := range nodes {
		b.work.Go(func() {
			for {
				is := n.Ready() == 200
				b.mu.Lock()
				b.ready[n] = is
				b.mu.Unlock()
				select {
				case <-time.After(readyEvery):
				case <-stop:
					return
				}
			}
		})
	}
	b.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.work.Go(func() { b.carry(conn) })
		}
	})
	t.Cleanup(func() {
		close(stop)
		listener.Close()
		b.mu.Lock()
		for conn := range b.conns {
			conn.Close()
		}
		b.mu.Unlock()
		b.work.Wait()
	})
	return b
}

// url is where it is, for clients.
func (b *balancer) url() string { return "ws://" + b.listener.Addr().String() + "/api" }

// choose returns the address of the next node that is ready, or "".
func (b *balancer) choose() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.nodes {
		b.next = (b.next + 1) % len(b.nodes)
		if n := b.nodes[b.next]; b.ready[n] {
			return strings.TrimPrefix(n.URL(), "http://")
		}
	}
	return ""
}

// carry carries bytes between a client and a node until either has gone.
func (b *balancer) carry(conn net.Conn) {
	defer b.keep(conn)()
	address := b.choose()
	if address == "" {
		return
	}
	node, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer b.keep(node)()
	done := make(chan struct{}, 2)
	for from, to := range map[net.Conn]net.Conn{conn: node, node: conn} {
		go func() {
			io.Copy(to, from)
			to.(*net.TCPConn).CloseWrite()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

func (b *balancer) keep(conn net.Conn) (drop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[conn] = struct{}{}
	return func() {
		conn.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.conns, conn)
	}
}
