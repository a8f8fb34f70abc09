package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Options are what a Client is made of.
type Options struct {
	URL   string // wss://…/api; ws:, https: and http: as well. It must hold no credential
	Token Secret // an API token or a session
	Since string // a Position to start after: what came later is told by the first Events

	HTTPClient *http.Client // for TLS and proxies; its redirects are not followed
	Log        *slog.Logger // of connections; nothing by default
}

// Client is one authenticated WebSocket, which it makes again when it breaks.
type Client struct {
	url      *url.URL
	token    Secret
	http     *http.Client
	log      *slog.Logger
	observer observer

	backoffCap time.Duration
	known      bool // it has been connected once. Of run

	stop    context.CancelFunc
	stopped chan struct{} // closed when nothing is left

	mu       sync.Mutex
	conn     *conn         // the one that is live, or nil
	cause    error         // of there being none; nil before the first attempt has failed
	over     error         // why nothing more can be called, or nil
	changed  chan struct{} // closed, and made anew, when one of those above changes
	position string
	streams  map[*stream]struct{}
	since    *stream // waits for the first Events
}

// observer is told of each connection, by the goroutine that reads it, so that whatever it is told has happened in that
// order.
type observer interface {
	connected(k *conn)
	notified(k *conn, method string, params json.RawMessage) error
	disconnected(k *conn) // before any call fails for it
}

// Dial connects, and returns when that is done. It tries again, with growing pauses, until ctx ends; that has no meaning for
// the Client afterwards. A credential that is not good is an *EndedError at once, and a URL that leads to something else than
// Tokenwire, which answers 404, say, an error at once.
func Dial(ctx context.Context, o Options) (*Client, error) {
	c, err := open(o, nil, backoffCap)
	if err != nil {
		return nil, err
	}
	if _, err := c.live(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// open returns a client that connects on its own, with pauses of up to longest.
func open(o Options, w observer, longest time.Duration) (*Client, error) {
	u, err := endpoint(o.URL)
	if err != nil {
		return nil, err
	}
	switch token := o.Token.Reveal(); {
	case token == "": // most come from the environment, which has no error of its own
		return nil, errors.New("tokenwire: no token is given; is the variable set that it should come from, such as TOKENWIRE_TOKEN?")
	case !sendable.MatchString(token):
		return nil, errors.New("tokenwire: this is no session or API token; is it cut short?")
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		url: u, token: o.Token, http: httpClient(o.HTTPClient), log: o.Log, observer: w, backoffCap: longest,
		stop: stop, stopped: make(chan struct{}), changed: make(chan struct{}), position: o.Since, streams: map[*stream]struct{}{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if o.Since != "" {
		c.since = c.subscribe()
	}
	go c.run(ctx)
	return c, nil
}

var (
	// sendable is what a header can carry as a credential (RFC 6750, section 2.1).
	sendable = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)
	// credentialText is how a credential of Tokenwire begins.
	credentialText = regexp.MustCompile(`tw[st]_[0-9A-Za-z]{20}`)
)

// endpoint reads the URL. No error shows any of it, as what is wrong may be that there is a secret in it.
func endpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("tokenwire: the URL cannot be read")
	case u.User != nil || credentialText.MatchString(text):
		return nil, errors.New("tokenwire: a credential does not belong into the URL; URLs end up in logs")
	case u.Host == "":
		return nil, errors.New("tokenwire: the URL has no host")
	}
	switch u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1); u.Scheme {
	case "ws", "wss":
	default:
		return nil, errors.New("tokenwire: the URL begins with wss, ws, https or http")
	}
	u.Fragment = ""
	return u, nil
}

// httpClient returns a client of our own that follows no redirect: the credential is for the one server that was named.
func httpClient(given *http.Client) *http.Client {
	var own http.Client
	if given != nil {
		own = *given
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableKeepAlives = true // a refusal leaves no idle connection behind
		own.Transport = transport
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// Call makes a call and puts its result into result, unless that is nil. Params are a slice or array (by position), a struct
// or map (by name), or nil. They are written, and results read, as encoding/json does. When ctx ends the server is told to
// stop working on it.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	for {
		k, err := c.live(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		answer, err := k.call(ctx, method, params)
		if errors.Is(err, errNotSent) {
			continue
		}
		if err == nil && result != nil {
			err = json.Unmarshal(answer, result)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		return nil
	}
}

// Position is up to where everything has been told: Options.Since goes on from there.
func (c *Client) Position() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}

// Close ends the connection for good, and returns when nothing is left of it. Calls under way fail.
func (c *Client) Close() error {
	c.stop()
	<-c.stopped
	return nil
}

// live returns the connection, and waits for one. An error is why there will be none.
func (c *Client) live(ctx context.Context) (*conn, error) {
	for {
		c.mu.Lock()
		k, cause, over, changed := c.conn, c.cause, c.over, c.changed
		c.mu.Unlock()
		switch {
		case over != nil:
			return nil, over
		case k != nil:
			return k, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), cmp.Or(cause, errNotConnected))
		}
	}
}

// why returns why there is no connection.
func (c *Client) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.over, c.cause, errNotConnected)
}

// set changes what live looks at.
func (c *Client) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}
