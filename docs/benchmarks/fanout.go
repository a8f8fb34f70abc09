package main

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// watchers is a flag.
var watchers int64

const (
	unwatched = 16 // changes at most that not all watchers have been told of yet: with more, slow ones are closed, on both sides
)

// audience is watchers of one server, and what makes it tell them something.
type audience struct {
	clients   []*client
	mark      []byte // what every delivery has once, in its message or line
	publish   func() error
	count     atomic.Int64
	published int64
	credits   chan struct{} // one for each change that may be made now
	failed    chan error
}

// fanout compares deliveries of one change to many watchers.
func fanout(o *options) error {
	if err := raiseFiles(4*uint64(watchers) + 1000); err != nil {
		return err
	}
	ours, size, err := watchTokenwire(o, o.tree)
	if err != nil {
		return err
	}
	var theirs *audience
	if o.against != "" {
		theirs, _, err = watchTokenwire(o, o.against)
	} else {
		theirs, err = watchCentrifuge(size)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d watchers, notifications of %d bytes\n", watchers, size)
	var figures []*figure
	for _, window := range []int{1, unwatched} {
		f := &figure{name: fmt.Sprintf("one change to %d connections, %d changes under way", watchers, window), unit: "deliveries/s", goal: ">= 1.0"}
		figures = append(figures, f)
		err = inTurns(o.rounds, f,
			func() (float64, error) { return theirs.rate(window, o.period) },
			func() (float64, error) { return ours.rate(window, o.period) })
		if err != nil {
			return err
		}
	}
	print(figures...)
	return nil
}

// watchTokenwire starts a Tokenwire with watchers, all of one user, and returns the size of a notification too.
func watchTokenwire(o *options, tree string) (*audience, int, error) {
	t, err := startTokenwire(o, tree, "")
	if err != nil {
		return nil, 0, err
	}
	publisher, err := t.connect(t.session)
	if err != nil {
		return nil, 0, err
	}
	tokens, err := newTokens(t, publisher)
	if err != nil {
		return nil, 0, err
	}
	a := newAudience(`"/v1/api-tokens/enabled-changed"`)
	a.publish = func() error {
		publisher.send(tokens.next())
		return publisher.flush()
	}
	size, err := firstNotification(a, publisher, tokens)
	if err != nil {
		return nil, 0, err
	}
	go a.discard(publisher, tokens)
	return a, size, a.connect(func() (*client, error) { return t.connect(t.session) })
}

// tokens are switched in turns, each only when the last change of it is answered: calls may overtake each other.
type tokens struct {
	ids     []string
	enabled []bool
	free    chan int
}

func newTokens(t *tokenwire, c *client) (*tokens, error) {
	all := &tokens{free: make(chan int, 2*unwatched)}
	for i := range 2 * unwatched {
		id, err := t.token(t.session, fmt.Sprint("token ", i))
		if err == nil {
			_, err = c.receive() // created
		}
		if err != nil {
			return nil, err
		}
		all.ids, all.enabled = append(all.ids, id), append(all.enabled, true)
		all.free <- i
	}
	return all, nil
}

// next returns a request that switches a token. Its id is the token's index.
func (t *tokens) next() []byte {
	i := <-t.free
	t.enabled[i] = !t.enabled[i]
	return setEnabledRequest(i, t.ids[i], t.enabled[i])
}

func setEnabledRequest(id int, token string, enabled bool) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":"/v1/api-tokens/set-enabled","params":["%s",%t]}`, id, token, enabled)
}

// answered takes a message and frees the token if it is a reply.
func (t *tokens) answered(message []byte) error {
	var i int
	if n, _ := fmt.Sscanf(string(message[:min(64, len(message))]), `{"jsonrpc":"2.0","id":%d,"result":`, &i); n == 1 {
		t.free <- i
	} else if !bytes.Contains(message, []byte(`"method":`)) {
		return fmt.Errorf("a change was refused: %s", message)
	}
	return nil
}

// firstNotification makes a change and returns the size of the notification that it brings.
func firstNotification(a *audience, publisher *client, t *tokens) (int, error) {
	if err := a.publish(); err != nil {
		return 0, err
	}
	for {
		message, err := publisher.receive()
		if err == nil {
			err = t.answered(message)
		}
		if err != nil || bytes.Contains(message, a.mark) { // after the reply
			return len(message), err
		}
	}
}

// discard reads what the publisher gets.
func (a *audience) discard(c *client, t *tokens) {
	for {
		message, err := c.receive()
		if err == nil {
			err = t.answered(message)
		}
		if err != nil {
			a.fail(err)
			return
		}
	}
}

func watchCentrifuge(size int) (*audience, error) {
	p, err := reference("reference-centrifuge", "-size", fmt.Sprint(size-centrifugeOverhead))
	if err != nil {
		return nil, err
	}
	a := newAudience(`"pub":{`)
	a.publish = func() error {
		_, err := p.stdin.Write([]byte{'p'})
		return err
	}
	return a, a.connect(func() (*client, error) { return connectCentrifuge(p.addr) })
}

func newAudience(mark string) *audience {
	return &audience{mark: []byte(mark), credits: make(chan struct{}, unwatched), failed: make(chan error, 1)}
}

// connect opens the watchers' connections and has them read.
func (a *audience) connect(dial func() (*client, error)) error {
	var mu sync.Mutex
	_, err := connectMany(int(watchers), func() (*client, error) {
		c, err := dial()
		mu.Lock()
		defer mu.Unlock()
		a.clients = append(a.clients, c)
		return c, err
	})
	if err != nil {
		return err
	}
	for _, c := range a.clients {
		go a.watch(c)
	}
	time.Sleep(settle) // centrifuge answers just before the last one is subscribed
	return nil
}

// watch counts deliveries. Each time that another change may have come to all there is a credit for a further one.
// Centrifuge puts several into one message, a line each.
func (a *audience) watch(c *client) {
	for {
		n := 0
		for more := true; more; more = c.ready() {
			message, err := c.receive()
			if err != nil {
				a.fail(err)
				return
			}
			n += bytes.Count(message, a.mark)
		}
		for range n {
			if a.count.Add(1)%watchers == 0 {
				a.credits <- struct{}{}
			}
		}
	}
}

func (a *audience) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// rate has changes made for a while, as fast as the watchers get them, at most window that not all have, and returns the
// deliveries a second.
func (a *audience) rate(window int, period time.Duration) (float64, error) {
	for range window {
		a.credits <- struct{}{}
	}
	end := time.After(period + period/10)
	var from int64
	var started time.Time
	going := time.After(period / 10)
	for {
		select {
		case <-a.credits:
			a.published++
			if err := a.publish(); err != nil {
				return 0, err
			}
		case <-going:
			from, started = a.count.Load(), time.Now()
		case err := <-a.failed:
			return 0, err
		case <-end:
			n, took := a.count.Load()-from, time.Since(started)
			return float64(n) / took.Seconds(), a.quiet(window)
		}
	}
}

// quiet waits until every watcher has been told of every change.
func (a *audience) quiet(window int) error {
	end := time.After(patience)
	for range window {
		select {
		case <-a.credits:
		case err := <-a.failed:
			return err
		case <-end:
			return fmt.Errorf("deliveries with %s are missing: %d of %d", a.mark, a.count.Load(), a.published*watchers)
		}
	}
	return nil
}
