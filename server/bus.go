package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// Bounds of the bus.
const (
	maxHintsQueued  = 4096                   // that wait to be sent: more are lost, as all may be
	maxHintsUnread  = 65_536                 // that have come and were not looked at
	natsPing        = 5 * time.Second        // how often the connection is tried: two that are not answered end it
	natsReconnect   = 250 * time.Millisecond // between two attempts, and as much again by chance
	natsDial        = 2 * time.Second
	natsWriteWithin = 2 * time.Second // a NATS that takes nothing for longer is left
	natsAwayEvery   = time.Minute     // how often it is said that it is away
)

// BusConfig says where the bus is.
type BusConfig struct {
	URL         string        // of one or more servers of NATS, with commas between them
	Password    models.Secret // if it is not in URL
	Credentials string        // file of a user's JWT and seed, or ""
	Authority   string        // file of the certificates that the servers' are signed with, or "" for the system's
	Name        string        // of this deployment: nodes of another one on the same servers are not heard
	Log         *slog.Logger
	Metrics     prometheus.Registerer
}

// Bus carries hints over NATS (core, at most once: docs.nats.io). It is for speed alone: it may come and go, and lose what it
// was given.
type Bus struct {
	conn    *nats.Conn
	subject string
	queue   chan *nats.Msg
	lost    prometheus.Counter
	log     *slog.Logger
	failed  atomic.Pointer[error] // why it was away when it was last told: the connection itself forgets that with each attempt
	closing chan struct{}
	sender  sync.WaitGroup
}

// OpenBus begins to connect. It fails for settings that are wrong, and not where no server answers: then it goes on trying.
func OpenBus(c BusConfig) (*Bus, error) {
	b := &Bus{log: c.Log, subject: "tokenwire." + c.Name + ".", queue: make(chan *nats.Msg, maxHintsQueued), closing: make(chan struct{})}
	b.lost = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tokenwire", Name: "hints_lost_total", Help: "Hints to other nodes that were not sent, as the bus did not take them."})
	connected := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tokenwire", Name: "bus_connected", Help: "Whether this node is connected to the bus."}, func() float64 {
		if b.conn != nil && b.conn.IsConnected() {
			return 1
		}
		return 0
	})
	addresses, err := natsAddresses(c)
	if err != nil {
		return nil, err
	}
	options := []nats.Option{
		nats.Name("tokenwire"), nats.NoEcho(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(natsReconnect), nats.ReconnectJitter(natsReconnect, natsReconnect), nats.Timeout(natsDial),
		nats.PingInterval(natsPing), nats.FlusherTimeout(natsWriteWithin), nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(n *nats.Conn) { c.Log.Info("connected to the bus", "server", n.ConnectedUrlRedacted()) }),
		nats.ReconnectHandler(func(n *nats.Conn) { c.Log.Info("connected to the bus again", "server", n.ConnectedUrlRedacted()) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.failed.Store(&err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.failed.Store(&err)
			if err != nil {
				c.Log.Warn("the connection to the bus is lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.Log.Warn("bus", "error", err) }),
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	if c.Authority != "" {
		authority := nats.RootCAs(c.Authority)
		if err := authority(&nats.Options{}); err != nil { // asked here, as Connect does not say which option it is about
			return nil, fmt.Errorf("--nats-ca: %w", err)
		}
		options = append(options, authority)
	}
	if b.conn, err = nats.Connect(addresses, options...); err != nil {
		return nil, fmt.Errorf("--nats: %w", err)
	}
	c.Metrics.MustRegister(b.lost, connected)
	b.sender.Go(b.send)
	return b, nil
}

// natsAddresses checks the addresses, and puts the password into them. All are with TLS or none: of a mix the client would speak
// TLS with all, and never reach those that have none.
func natsAddresses(c BusConfig) (string, error) {
	var all []string
	var scheme string
	for address := range strings.SplitSeq(c.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return "", errors.New("--nats is nats://<user>@<host>:<port>, or tls://…; several with commas between them; the password goes into TOKENWIRE_NATS_PASSWORD")
		}
		if scheme != "" && u.Scheme != scheme {
			return "", errors.New("--nats is either nats:// for all servers or tls:// for all, not both")
		}
		scheme = u.Scheme
		if !c.Password.IsZero() {
			u.User = url.UserPassword(u.User.Username(), c.Password.Reveal())
		}
		all = append(all, u.String())
	}
	return strings.Join(all, ","), nil
}

// send hands hints to the connection, which may wait for the network. It says now and then where there is no connection: why
// none comes about, be it a wrong password, is told by nothing else.
func (b *Bus) send() {
	check := time.NewTicker(natsPing)
	defer check.Stop()
	var said time.Time
	for {
		select {
		case <-check.C:
			if b.conn.IsConnected() {
				said = time.Time{}
			} else if time.Since(said) > natsAwayEvery {
				said = time.Now()
				b.log.Warn("the bus is away: all goes on, only slower, as changes made elsewhere are found by looking", "servers", b.conn.Servers(), "error", b.why())
			}
		case m := <-b.queue:
			if b.conn.PublishMsg(m) != nil {
				b.lost.Inc()
			}
		case <-b.closing:
			return
		}
	}
}

// why returns why there is no connection. The connection itself knows that of a server that answers and refuses, such as for a
// wrong password, and not of one that is not reached.
func (b *Bus) why() error {
	if err := b.conn.LastError(); err != nil {
		return err
	}
	if failed := b.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}

// Publish sends a hint to the other nodes. It never waits.
func (b *Bus) Publish(kind rpc.HintKind, userID string, position int64) {
	data := append([]byte(userID), ' ')
	select {
	case b.queue <- &nats.Msg{Subject: b.subject + string(kind), Data: strconv.AppendInt(data, position, 10)}:
	default:
		b.lost.Inc()
	}
}

// Subscribe has the hints of the other nodes come to a function. What is no hint is let pass.
func (b *Bus) Subscribe(heard func(kind rpc.HintKind, userID string, position int64)) {
	subscription, err := b.conn.Subscribe(b.subject+"*", func(m *nats.Msg) {
		userID, number, _ := strings.Cut(string(m.Data), " ")
		if position, err := strconv.ParseInt(number, 10, 64); err == nil {
			heard(rpc.HintKind(strings.TrimPrefix(m.Subject, b.subject)), userID, position)
		}
	})
	if err == nil {
		subscription.SetPendingLimits(maxHintsUnread, -1)
	}
}

// Close leaves the bus. What waits to be sent is not.
func (b *Bus) Close() {
	close(b.closing)
	b.conn.Close()
	b.sender.Wait()
}
