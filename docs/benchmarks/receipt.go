package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	verifiers     = 100
	receiptTrials = 200 // of one measurement: their 99th percentile
)

// crowd is verifiers of a Tokenwire, of one node or several, that hold the facts of one token.
type crowd struct {
	t       *tokenwire
	admin   *client
	clients []*client
	tokenID string
	token   string
	replies chan error // what the verifiers have read, one for each answer to them
}

// receipt compares a set-enabled that waits for 100 verifiers with asking these 100 connections something and waiting for all
// answers.
func receipt(o *options) error {
	t, err := startTokenwire(o, o.tree, "")
	if err != nil {
		return err
	}
	c, err := gather([]*tokenwire{t}, verifiers)
	if err != nil {
		return err
	}
	f := &figure{name: fmt.Sprintf("receipt of %d verifiers, p99 of %d", verifiers, receiptTrials), unit: "ms", goal: "<= 3"}
	err = inTurns(o.rounds, f, func() (float64, error) { return p99(c.roundTrip) }, func() (float64, error) { return p99(c.revoke) })
	if err == nil {
		print(f)
	}
	return err
}

// gather connects so many verifiers, as many to each of the nodes.
func gather(nodes []*tokenwire, n int) (*crowd, error) {
	t := nodes[0]
	c := &crowd{t: t, replies: make(chan error, 2*n)}
	var token struct{ ID, Token string }
	if err := t.call(t.session, "/v1/api-tokens/create", &token, "held"); err != nil {
		return nil, err
	}
	var service struct{ Token string }
	if err := t.call(t.session, "/v1/api-tokens/create", &service, "verifier", map[string]any{"permissions": map[string]bool{"tokens:verify": true}}); err != nil {
		return nil, err
	}
	c.tokenID, c.token = token.ID, token.Token
	var err error
	if c.admin, err = t.connect(t.session); err != nil {
		return nil, err
	}
	for i := range n {
		v, err := nodes[i%len(nodes)].connect(service.Token)
		if err != nil {
			return nil, err
		}
		c.clients = append(c.clients, v)
		go c.verify(v)
	}
	return c, c.all(`{"jsonrpc":"2.0","id":1,"method":"/v1/verifier/beat","params":[{"lease":60}]}`)
}

// verify does what a verifier does: it confirms what it is told of, and notes every answer.
func (c *crowd) verify(v *client) {
	confirm := []byte(nil)
	for seq := 1; ; {
		message, err := v.receive()
		switch {
		case err != nil:
			c.replies <- err
			return
		case bytes.Contains(message[:min(64, len(message))], []byte(`"/v1/verifier/changed"`)):
			confirm = fmt.Appendf(confirm[:0], `{"jsonrpc":"2.0","method":"/v1/verifier/confirm","params":[%d]}`, seq)
			seq++
			v.send(confirm)
			if err := v.flush(); err != nil {
				c.replies <- err
			}
		case bytes.Contains(message, []byte(`"error"`)):
			c.replies <- fmt.Errorf("a verifier was answered %s", message)
		case bytes.Contains(message[:min(64, len(message))], []byte(`"id":1`)):
			c.replies <- nil
		}
	}
}

// all sends every verifier a request and waits for all answers.
func (c *crowd) all(request string) error {
	for _, v := range c.clients {
		v.send([]byte(request))
		if err := v.flush(); err != nil {
			return err
		}
	}
	for range c.clients {
		if err := <-c.replies; err != nil {
			return err
		}
	}
	return nil
}

func p99(trial func() (time.Duration, error)) (float64, error) { return p99Of(receiptTrials, trial) }

func p99Of(trials int, trial func() (time.Duration, error)) (float64, error) {
	var took []time.Duration
	for range trials {
		d, err := trial()
		if err != nil {
			return 0, err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took[len(took)*99/100].Seconds() * 1000, nil
}

// roundTrip asks all connections something that is answered from memory.
func (c *crowd) roundTrip() (time.Duration, error) {
	started := time.Now()
	err := c.all(`{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}`)
	return time.Since(started), err
}

// revoke has all verifiers take the token, and switches it off.
func (c *crowd) revoke() (time.Duration, error) {
	if _, _, err := c.setEnabled(true); err != nil {
		return 0, err
	}
	if err := c.all(`{"jsonrpc":"2.0","id":1,"method":"/v1/verifier/beat","params":[{"lease":60}]}`); err != nil {
		return 0, err
	}
	if err := c.all(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"/v1/verifier/verify","params":["%s",{"hold":true}]}`, c.token)); err != nil {
		return 0, err
	}
	took, confirmed, err := c.setEnabled(false)
	if err == nil && confirmed != len(c.clients) {
		err = fmt.Errorf("%d verifiers have confirmed, not %d", confirmed, len(c.clients))
	}
	return took, err
}

func (c *crowd) setEnabled(on bool) (took time.Duration, confirmed int, err error) {
	started := time.Now()
	c.admin.send(setEnabledRequest(1, c.tokenID, on))
	if err := c.admin.flush(); err != nil {
		return 0, 0, err
	}
	for {
		message, err := c.admin.receive()
		if err != nil {
			return 0, 0, err
		}
		var reply struct {
			ID     int
			Result struct{ Receipt struct{ Confirmed int } }
		}
		if err := json.Unmarshal(message, &reply); err != nil || reply.ID == 1 {
			return time.Since(started), reply.Result.Receipt.Confirmed, err
		}
	}
}
