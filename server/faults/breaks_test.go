package faults

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

func concat(all ...[]fault) []fault { return slices.Concat(all...) }

// one returns a node.
func (s *stage) one(random *rand.Rand) *node { return s.nodes[random.IntN(len(s.nodes))] }

// killedWhileWaiting has another node stand still meanwhile, which receipts wait for.
var killedWhileWaiting = fault{"a node killed while receipts wait", "node", time.Second, func(s *stage, random *rand.Rand) func() {
	i := random.IntN(len(s.nodes))
	n, other := s.nodes[i], s.nodes[(i+1)%len(s.nodes)]
	if n != other {
		other.Freeze() // what is asked of the others waits for it
		time.Sleep(500 * time.Millisecond)
	}
	n.end()
	return func() {
		if n != other {
			other.Thaw()
		}
		n.Start()
	}
}}

// nodeFaults are what happens to a process, and between it and its clients.
var nodeFaults = []fault{
	{"a node killed", "node", 300 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.end()
		return n.Start
	}},
	killedWhileWaiting,
	{"a node stopped for two leases", "node", 2 * lease, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.Freeze()
		return n.Thaw
	}},
	{"clients cut off", "front", 500 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.front.refuse()
		return n.front.heal
	}},
	{"clients and a node apart", "front", 2 * lease, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.front.stall(towards, back)
		return n.front.heal
	}},
	{"clients do not hear a node", "front", 2 * lease, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.front.stall(back)
		return n.front.heal
	}},
	{"a node does not hear its clients", "front", 2 * lease, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.front.stall(towards)
		return n.front.heal
	}},
	{"connections half open", "front", 2 * lease, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.front.abandon()
		return n.front.heal
	}},
	{"clients that never read", "clients", time.Second, func(s *stage, random *rand.Rand) func() {
		var all []net.Conn
		for range 5 {
			if c := s.neverReads(s.one(random)); c != nil {
				all = append(all, c)
			}
		}
		return func() {
			for _, c := range all {
				c.Close()
			}
		}
	}},
}

// neverReads opens a WebSocket as the administrator, asks a lot, and reads nothing.
func (s *stage) neverReads(n *node) net.Conn {
	c, err := net.DialTimeout("tcp", n.front.address(), time.Second)
	if err != nil {
		return nil
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n\r\n", s.admin)
	const call = `{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`
	frame := append([]byte{0x81, 0x80 | byte(len(call)), 0, 0, 0, 0}, call...) // masked with zeros
	for range 100 {
		if _, err := c.Write(frame); err != nil {
			break
		}
	}
	return c
}

// databaseKilled ends the database, or a host of it, as a crash would.
var databaseKilled = fault{"the database killed", "database", 300 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
	h := s.host(random)
	h.Kill()
	return h.Start
}}

// databaseFaults are what happens to the database.
var databaseFaults = []fault{
	{"the database stopped", "database", 500 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
		h := s.host(random)
		h.Stop()
		return h.Start
	}},
	databaseKilled,
	{"the database frozen", "database", 2 * lease, func(s *stage, random *rand.Rand) func() {
		h := s.host(random)
		h.Freeze()
		return h.Thaw
	}},
	{"the database read-only", "database", time.Second, func(s *stage, random *rand.Rand) func() {
		db := s.sql[random.IntN(len(s.sql))]
		s.must(db, "SET GLOBAL read_only = 1")
		return func() { s.must(db, "SET GLOBAL read_only = 0") }
	}},
	{"connections killed in the middle of changes", "database", time.Second, func(s *stage, random *rand.Rand) func() {
		db := s.sql[random.IntN(len(s.sql))]
		return s.meanwhile(20*time.Millisecond, func() {
			var ids []int64
			rows, err := db.Query("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0")
			if err != nil {
				return
			}
			defer rows.Close()
			for rows.Next() {
				var id int64
				if rows.Scan(&id) == nil {
					ids = append(ids, id)
				}
			}
			for _, id := range ids {
				_, _ = db.Exec(fmt.Sprintf("KILL %d", id)) // it may be over
			}
		})
	}},
}

func (s *stage) host(random *rand.Rand) host {
	hosts := s.data.hosts()
	return hosts[random.IntN(len(hosts))]
}

func (s *stage) must(db *sql.DB, statement string) {
	s.t.Helper()
	if _, err := db.Exec(statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// meanwhile does something again and again, until what is returned is called.
func (s *stage) meanwhile(every time.Duration, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ; ctx.Err() == nil; pause(ctx, every) {
			f()
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// commitsCut ends connections to the database before a COMMIT arrives, or before it is answered.
var commitsCut = fault{"connections cut at COMMIT", "store", time.Second, func(s *stage, _ *rand.Rand) func() {
	for _, n := range s.nodes {
		n.store.cutCommits(6)
	}
	return s.healStores
}}

// networkFaults are what happens between nodes and their database.
var networkFaults = []fault{
	{"the database slow", "store", 1500 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
		for _, n := range s.nodes {
			n.store.slow(time.Duration(5+random.IntN(40)) * time.Millisecond)
		}
		return s.healStores
	}},
	{"a statement takes two seconds", "store", 5 * time.Second, func(s *stage, random *rand.Rand) func() {
		s.one(random).store.slow(2 * time.Second)
		return s.healStores
	}},
	commitsCut,
	{"a node and the database apart", "store", 2 * lease, func(s *stage, random *rand.Rand) func() {
		s.one(random).store.stall(towards, back)
		return s.healStores
	}},
	{"the database does not hear a node", "store", 2 * lease, func(s *stage, random *rand.Rand) func() {
		s.one(random).store.stall(towards)
		return s.healStores
	}},
	{"a node does not hear the database", "store", 2 * lease, func(s *stage, random *rand.Rand) func() {
		s.one(random).store.stall(back)
		return s.healStores
	}},
	{"a node cut off from the database", "store", 1500 * time.Millisecond, func(s *stage, random *rand.Rand) func() {
		s.one(random).store.refuse()
		return s.healStores
	}},
}

func (s *stage) healStores() {
	for _, n := range s.nodes {
		n.store.heal()
	}
}

// busFaults are what happens to NATS, and on the way there.
var busFaults = []fault{
	{"NATS killed", "bus", time.Second, func(s *stage, _ *rand.Rand) func() {
		s.nats.Kill()
		return s.nats.Start
	}},
	{"NATS frozen", "bus", 1500 * time.Millisecond, func(s *stage, _ *rand.Rand) func() {
		s.nats.Freeze()
		return s.nats.Thaw
	}},
	{"a node and NATS apart", "hints", time.Second, func(s *stage, random *rand.Rand) func() {
		n := s.one(random)
		n.bus.stall(random.IntN(2))
		return n.bus.heal
	}},
	{"hints lost and doubled", "hints", time.Second, func(s *stage, _ *rand.Rand) func() {
		for _, n := range s.nodes {
			n.bus.lose()
		}
		return s.healBuses
	}},
	{"hints late", "hints", time.Second, func(s *stage, random *rand.Rand) func() {
		for _, n := range s.nodes {
			n.bus.slow(time.Duration(random.IntN(600)) * time.Millisecond)
		}
		return s.healBuses
	}},
	{"hints doubled, forged and of the future", "bus", time.Second, forgeHints},
}

func (s *stage) healBuses() {
	for _, n := range s.nodes {
		n.bus.heal()
	}
}

// forgeHints publishes hints again, with other positions, and of users who are not. Where they are published is secret, but not here.
func forgeHints(s *stage, random *rand.Rand) func() {
	conn, err := nats.Connect(s.nats.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	seed := random.Uint64()
	own := map[string]int{} // those that the test has published, and that come back
	kinds := []string{"changed", "wanted", "settled", "nonsense", ""}
	_, err = conn.Subscribe("tokenwire.>", func(m *nats.Msg) { // one call after the other
		if key := m.Subject + string(m.Data); own[key] > 0 {
			own[key]--
			return
		}
		random := rand.New(rand.NewPCG(seed, uint64(len(m.Data))))
		prefix := m.Subject[:strings.LastIndex(m.Subject, ".")+1]
		user, _, _ := strings.Cut(string(m.Data), " ")
		forged := []nats.Msg{*m, {Subject: prefix + kinds[1], Data: []byte(forged() + " 7")}, {Subject: prefix + "settled", Data: m.Data}, {Subject: prefix + "x", Data: []byte("x")}}
		for _, position := range []string{"1", "9223372036854775807", "-1", fmt.Sprint(random.IntN(100))} {
			forged = append(forged, nats.Msg{Subject: prefix + kinds[random.IntN(3)], Data: []byte(user + " " + position)})
		}
		for _, f := range forged {
			own[f.Subject+string(f.Data)]++
			_ = conn.Publish(f.Subject, f.Data)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return conn.Close
}
