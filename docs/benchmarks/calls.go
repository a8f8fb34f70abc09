package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const callers = 16 // connections

// caller is a connection with so many requests under way, always.
type caller struct {
	*client
	request []byte // its id is the digits at its end but one
	reply   int    // the size of a reply
	count   atomic.Int64
}

// firstID has as many digits as every id after it, so that all frames are of one size.
const firstID = 100_000_000

func sessionRead(id int) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"/v1/session/read","id":%d}`, id)
}

// calls compares /v1/session/read with the echo, 16 and 1 under way.
func calls(o *options) error {
	ours, err := startTokenwire(o, o.tree, "")
	if err != nil {
		return err
	}
	session := ours.session
	size, err := replySize(ours, sessionRead(firstID))
	if err != nil {
		return err
	}
	theirs, path, theirSession := (*process)(nil), fmt.Sprintf("/?reply=%d", size), ""
	if o.against != "" {
		other, err := startTokenwire(o, o.against, "")
		if err != nil {
			return err
		}
		theirs, path, theirSession = other.process, "/api", other.session
	} else if theirs, err = reference("reference-echo"); err != nil {
		return err
	}
	fmt.Printf("requests of %d bytes, replies of %d\n", len(sessionRead(firstID)), size)
	reference, err := dialCallers(theirs.addr, path, theirSession, sessionRead(firstID), size)
	if err != nil {
		return err
	}
	tokenwire, err := dialCallers(ours.addr, "/api", session, sessionRead(firstID), size)
	if err != nil {
		return err
	}
	var figures []*figure
	for _, underWay := range []int{16, 1} {
		f := &figure{name: fmt.Sprintf("session/read, %d x %d", callers, underWay), unit: "calls/s", goal: map[int]string{16: ">= 1.0", 1: ">= 0.6"}[underWay]}
		figures = append(figures, f)
		err := inTurns(o.rounds, f,
			func() (float64, error) { return rate(reference, underWay, o.period) },
			func() (float64, error) { return rate(tokenwire, underWay, o.period) })
		if err != nil {
			return err
		}
	}
	print(figures...)
	return nil
}

// replySize asks once and returns how large the reply was.
func replySize(t *tokenwire, request []byte) (int, error) {
	c, err := t.connect(t.session)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.send(request)
	if err := c.flush(); err != nil {
		return 0, err
	}
	reply, err := c.receive()
	return len(reply), err
}

// dialCallers connects callers who send a request, whose id is the digits at its end but one.
func dialCallers(addr, path, bearer string, request []byte, reply int) ([]*caller, error) {
	var all []*caller
	for range callers {
		c, err := dial(addr, path, bearer)
		if err != nil {
			return nil, err
		}
		if bearer != "" {
			if _, err := c.receive(); err != nil { // ready
				return nil, err
			}
		}
		all = append(all, &caller{client: c, request: bytes.Clone(request), reply: reply})
	}
	return all, nil
}

// rate lets callers call for a while and returns the replies a second.
func rate(all []*caller, underWay int, period time.Duration) (float64, error) {
	var runs []func(stop *atomic.Bool) error
	for _, c := range all {
		c.count.Store(0)
		c.SetDeadline(time.Now().Add(period + patience))
		runs = append(runs, func(stop *atomic.Bool) error { return c.run(underWay, stop) })
	}
	return during(period, runs, func() (n int64) {
		for _, c := range all {
			n += c.count.Load()
		}
		return n
	})
}

// during runs all of them for a while and returns by how much the total grows in a second.
func during(period time.Duration, runs []func(stop *atomic.Bool) error, total func() int64) (float64, error) {
	var stop atomic.Bool
	var running sync.WaitGroup
	failed := make(chan error, len(runs))
	for _, run := range runs {
		running.Go(func() { failed <- run(&stop) })
	}
	time.Sleep(period / 10) // to get going
	from, started := total(), time.Now()
	time.Sleep(period)
	n, took := total()-from, time.Since(started)
	stop.Store(true)
	running.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	return float64(n) / took.Seconds(), err
}

// run asks again for each reply, all replies that have come in being answered in one write, and returns when stop is set
// and every request is answered.
func (c *caller) run(underWay int, stop *atomic.Bool) error {
	id := firstID
	ask := func() {
		strconv.AppendInt(c.request[:len(c.request)-10], int64(id), 10)
		id++
		c.send(c.request)
	}
	for range underWay {
		ask()
	}
	for waiting := underWay; waiting > 0; {
		if err := c.flush(); err != nil {
			return err
		}
		for more := true; more && waiting > 0; more = c.ready() {
			reply, err := c.receive()
			if err != nil {
				return err
			}
			if len(reply) != c.reply {
				if isHeartbeat(reply) {
					continue
				}
				return fmt.Errorf("a reply of %d bytes, not %d: %s", len(reply), c.reply, reply)
			}
			c.count.Add(1)
			if waiting--; !stop.Load() {
				waiting++
				ask()
			}
		}
	}
	return nil
}
