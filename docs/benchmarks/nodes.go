package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

var nodesTogether = 3 // a flag

const (
	manyTrials = 100       // of a receipt of so many verifiers
	manyTokens = "1000000" // that a user may have: so many that the benchmark does not come to an end
)

// nodes compares several nodes on one MariaDB, joined by NATS, with one: how many changes they commit, how soon a change on one
// is with a connection on another, and how long a receipt takes.
func nodes(o *options) error {
	m, err := startMariaDB(o)
	if err != nil {
		return err
	}
	bus, err := startNATS()
	if err != nil {
		return err
	}
	var figures []*figure
	for _, measure := range []func(*options, *mariaDB, string) ([]*figure, error){commitsOfNodes, latencyOfNodes, receiptsOfNodes} {
		more, err := measure(o, m, bus)
		if err != nil {
			return err
		}
		figures = append(figures, more...)
	}
	print(figures...)
	return costs(m)
}

// startNodes starts nodes on a new database.
func startNodes(o *options, m *mariaDB, name string, n int, bus string) ([]*tokenwire, error) {
	if _, err := m.root.Exec("CREATE DATABASE " + name); err != nil {
		return nil, err
	}
	var all []*tokenwire
	for range n {
		t, err := startTokenwire(o, o.tree, "mysql://root@"+m.addr+"/"+name, "--nats", "nats://"+bus, "--tokens-per-user", manyTokens)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func endNodes(all []*tokenwire) {
	for _, t := range all {
		t.kill()
	}
}

// commitsOfNodes has many users change something, through all nodes and through one: by create, which waits for nobody, and by
// set-enabled, which waits until the other nodes have acted on it.
func commitsOfNodes(o *options, m *mariaDB, bus string) (figures []*figure, err error) {
	var sides [2][]*setter
	for i, n := range []int{1, nodesTogether} {
		all, err := startNodes(o, m, fmt.Sprint("commits_", n), n, bus)
		if err != nil {
			return nil, err
		}
		defer endNodes(all)
		if sides[i], err = newSetters(all[0], "caller"); err != nil {
			return nil, err
		}
		for j, s := range sides[i] {
			if s.client, err = all[j%n].connect(s.session); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range []struct {
		name string
		call func(*setter) error
	}{{"create", (*setter).create}, {"set-enabled", (*setter).call}} {
		f := &figure{name: fmt.Sprintf("%s, %d callers, %d nodes to 1", c.name, setters, nodesTogether), unit: "calls/s"}
		figures = append(figures, f)
		through := func(all []*setter) func() (float64, error) {
			return func() (float64, error) {
				for _, s := range all {
					s.client.SetDeadline(time.Now().Add(o.period + patience))
				}
				return closedLoop(len(all), o.period, func(i int) error { return c.call(all[i]) })
			}
		}
		if err := inTurns(o.rounds, f, through(sides[0]), through(sides[1])); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// create makes a token and waits for the reply.
func (s *setter) create() error {
	s.client.send([]byte(`{"jsonrpc":"2.0","id":1,"method":"/v1/api-tokens/create","params":["a token"]}`))
	if err := s.client.flush(); err != nil {
		return err
	}
	_, err := s.client.await(`{"jsonrpc":"2.0","id":1,`)
	return err
}

// await returns the next message that begins so. It must be no error.
func (c *client) await(begin string) ([]byte, error) {
	for {
		message, err := c.receive()
		if err != nil || bytes.HasPrefix(message, []byte(begin)) && !bytes.Contains(message, []byte(`"error":`)) {
			return message, err
		}
		if strings.Contains(string(message), `"error":{`) {
			return nil, fmt.Errorf("refused: %s", message)
		}
	}
}

// latencyOfNodes compares the time from a call on one node to its notification on another with that of the same call on a node
// alone, and of a round trip through NATS after it.
func latencyOfNodes(o *options, m *mariaDB, bus string) ([]*figure, error) {
	alone, err := startNodes(o, m, "latency_1", 1, bus)
	if err != nil {
		return nil, err
	}
	defer endNodes(alone)
	all, err := startNodes(o, m, "latency", nodesTogether, bus)
	if err != nil {
		return nil, err
	}
	defer endNodes(all)
	bare, err := openBareNATS(bus)
	if err != nil {
		return nil, err
	}
	var clients [3]*client // of the node alone, of the first, of the last
	for i, t := range []*tokenwire{alone[0], all[0], all[nodesTogether-1]} {
		session := all[0].session
		if i == 0 {
			session = t.session
		}
		if clients[i], err = t.connect(session); err != nil {
			return nil, err
		}
		clients[i].SetDeadline(time.Now().Add(time.Hour))
	}
	f := &figure{name: fmt.Sprintf("a change on another node, p99 of %d", receiptTrials), unit: "ms", goal: "<= 3"}
	err = inTurns(o.rounds, f,
		func() (float64, error) {
			return p99(func() (time.Duration, error) {
				started := time.Now()
				if err := (&setter{client: clients[0]}).create(); err != nil {
					return 0, err
				}
				err := bare.roundTrip()
				return time.Since(started), err
			})
		},
		func() (float64, error) {
			return p99(func() (time.Duration, error) {
				heard := make(chan error, 1)
				started := time.Now()
				go func() {
					_, err := clients[2].await(`{"jsonrpc":"2.0","method":"/v1/api-tokens/created"`)
					heard <- err
				}()
				if err := (&setter{client: clients[1]}).create(); err != nil {
					return 0, err
				}
				err := <-heard
				return time.Since(started), err
			})
		})
	return []*figure{f}, err
}

// receiptsOfNodes compares receipts of 300 verifiers: on three nodes, and on one.
func receiptsOfNodes(o *options, m *mariaDB, bus string) ([]*figure, error) {
	var sides [2]*crowd
	for i, n := range []int{1, nodesTogether} {
		all, err := startNodes(o, m, fmt.Sprint("receipts_", n), n, bus)
		if err != nil {
			return nil, err
		}
		defer endNodes(all)
		if sides[i], err = gather(all, nodesTogether*verifiers); err != nil {
			return nil, err
		}
	}
	f := &figure{name: fmt.Sprintf("receipt of %d verifiers, %d nodes to 1, p99 of %d", nodesTogether*verifiers, nodesTogether, manyTrials), unit: "ms", goal: "<= 3"}
	err := inTurns(o.rounds, f,
		func() (float64, error) { return p99Of(manyTrials, sides[0].revoke) },
		func() (float64, error) { return p99Of(manyTrials, sides[1].revoke) })
	return []*figure{f}, err
}

const (
	sweepUsers   = 2000 // that a sweep asks about in one query (groupSize in rpc/lookout.go)
	sweepFeeds   = 200_000
	sweepQueries = 200
)

// costs prints what docs/scaling reckons with beside the figures: the room of a token and of an event in the database, and the time of
// a sweep's query.
func costs(m *mariaDB) error {
	for _, table := range []string{"api_tokens", "events"} {
		var rows, bytes float64
		if _, err := m.root.Exec("ANALYZE TABLE commits_1." + table); err != nil {
			return err
		}
		err := m.root.QueryRow("SELECT (SELECT COUNT(*) FROM commits_1."+table+"), data_length + index_length FROM information_schema.tables WHERE table_schema = 'commits_1' AND table_name = ?", table).Scan(&rows, &bytes)
		if err != nil {
			return err
		}
		fmt.Printf("a row of %s takes %.0f bytes with its indexes (of %.0f)\n", table, bytes/rows, rows)
	}
	if _, err := m.root.Exec("CREATE TABLE commits_1.many LIKE commits_1.feeds"); err != nil {
		return err
	}
	if _, err := m.root.Exec("INSERT INTO commits_1.many (user_id, position, change_id) SELECT LPAD(seq, 20, '0'), seq, '' FROM commits_1.seq_1_to_" + fmt.Sprint(sweepFeeds)); err != nil {
		return err
	}
	var took []time.Duration
	for range sweepQueries {
		ids := make([]string, sweepUsers)
		for i := range ids {
			ids[i] = fmt.Sprintf("'%020d'", 1+rand.IntN(sweepFeeds))
		}
		query := "SELECT COUNT(*), COALESCE(SUM(position), 0) FROM commits_1.many WHERE user_id IN (" + strings.Join(ids, ",") + ")"
		started := time.Now()
		var feeds, sum int64
		if err := m.root.QueryRow(query).Scan(&feeds, &sum); err != nil {
			return err
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	fmt.Printf("a sweep's query of %d users takes %v\n", sweepUsers, took[len(took)/2])
	return nil
}
