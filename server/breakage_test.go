package server_test

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// breakage makes a step of a change fail.
type breakage struct {
	name string
	arm  func()
	// disarm mends what arm broke, and returns what has failed by it, or "".
	disarm func() (failed string)
}

// sqliteBreakages are of each table that changes write to one, and one of COMMIT.
func sqliteBreakages(t *testing.T, databaseURL string) []breakage {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+models.DatabaseFile(databaseURL)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE TABLE fault_parents (id INTEGER PRIMARY KEY)")
	exec("CREATE TABLE fault_children (id INTEGER REFERENCES fault_parents (id) DEFERRABLE INITIALLY DEFERRED)")
	all := []breakage{}
	add := func(name, event, what string) {
		all = append(all, breakage{name, func() { exec("CREATE TRIGGER fault " + event + " BEGIN " + what + "; END") }, func() string {
			exec("DROP TRIGGER fault")
			return name
		}})
	}
	for _, table := range []string{"api_tokens", "api_token_permissions", "user_permissions", "users", "sessions", "permissions", "events", "feeds", "meta"} {
		for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
			add(verb+" "+table, "BEFORE "+verb+" ON "+table, "SELECT RAISE(ABORT, 'a fault of the test')")
		}
	}
	add("COMMIT", "AFTER INSERT ON events", "INSERT INTO fault_children VALUES (1)")
	return all
}

// mysqlProxy is between a store and its MySQL server. It cuts a connection at one statement of a change, or has answers take
// their time.
type mysqlProxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup
	late     time.Duration // up to so much answers come later

	mu         sync.Mutex
	armed      bool
	left       int    // statements that still go through
	unanswered bool   // the statement still reaches the server, and its answer is lost
	failed     string // the statement that did not go through
	conns      map[net.Conn]bool
}

// newMySQLProxy returns a proxy and the URL of the database behind it.
func newMySQLProxy(t *testing.T, databaseURL string, late time.Duration) (*mysqlProxy, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &mysqlProxy{target: u.Host, listener: listener, late: late, conns: map[net.Conn]bool{}}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

func (p *mysqlProxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		muted := &mute{late: p.late}
		end := func() {
			client.Close()
			server.Close()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, client)
			delete(p.conns, server)
		}
		p.running.Go(func() { defer end(); io.Copy(muted.writer(client), server) })
		p.running.Go(func() { defer end(); p.statements(client, server, muted) })
	}
}

// mute has a connection's answers come late, and ends it with the next one.
type mute struct {
	late time.Duration
	mu   sync.Mutex
	on   bool
}

func (m *mute) set() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = true
}

func (m *mute) writer(w io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		m.mu.Lock()
		on := m.on
		m.mu.Unlock()
		if on {
			return 0, io.ErrClosedPipe
		}
		if m.late > 0 {
			time.Sleep(rand.N(m.late))
		}
		return w.Write(b)
	})
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// statements passes on what a client sends, packet by packet, until one of them is to be lost.
func (p *mysqlProxy) statements(client, server net.Conn, muted *mute) {
	const query, execute = 3, 23 // COM_QUERY, COM_STMT_EXECUTE
	change := false
	for {
		header := make([]byte, 4)
		if _, err := io.ReadFull(client, header); err != nil {
			return
		}
		size := binary.LittleEndian.Uint32(header) & 0xffffff
		packet := append(header, make([]byte, size)...)
		if _, err := io.ReadFull(client, packet[4:]); err != nil {
			return
		}
		command, text := byte(0), ""
		if packet[3] == 0 && size > 0 { // the first packet of a command
			command = packet[4]
		}
		switch command {
		case query:
			text = string(packet[5:])
			change = change || text == "START TRANSACTION"
		case execute:
			text = fmt.Sprintf("prepared statement %d", binary.LittleEndian.Uint32(packet[5:]))
		}
		if text != "" && change {
			lost, unanswered := p.loses(text)
			switch {
			case lost && text == "COMMIT": // who knows
				return
			case lost:
				change = change && text != "START TRANSACTION"
				if _, err := client.Write(lostPacket(packet[3] + 1)); err != nil {
					return
				}
				continue
			}
			if unanswered {
				muted.set()
			}
		}
		if text == "COMMIT" || text == "ROLLBACK" {
			change = false
		}
		if _, err := server.Write(packet); err != nil {
			return
		}
	}
}

// lostPacket is the answer to a statement that failed for a reason that trying again does not mend.
func lostPacket(number byte) []byte {
	payload := append([]byte{0xff, 0x51, 0x04}, "#HY000lost"...) // ERR, ER_UNKNOWN_ERROR
	return append([]byte{byte(len(payload)), 0, 0, number}, payload...)
}

// loses counts a statement, and reports whether it is the one that does not arrive, or is not answered.
func (p *mysqlProxy) loses(statement string) (lost, unanswered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return false, false
	}
	if p.left > 0 {
		p.left--
		return false, false
	}
	p.armed, p.failed = false, statement
	return !p.unanswered, p.unanswered
}

// breakage loses a statement of the next change, counted from 0, or its answer.
func (p *mysqlProxy) breakage(n int, unanswered bool) breakage {
	set := func(armed bool) (failed string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		failed = p.failed
		p.armed, p.left, p.unanswered, p.failed = armed, n, unanswered, ""
		return failed
	}
	return breakage{fmt.Sprint("statement ", n), func() { set(true) }, func() string { return set(false) }}
}
