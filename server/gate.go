package server

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tokenwire/tokenwire/models"
)

// Bounds of upgrades. Clients of a node that is gone come to the others all at once.
const (
	maxUpgrades        = 16              // that the database is asked about at once: half of its connections for reading, so that who stayed has the rest
	maxUpgradesWaiting = 1024            // more, that wait for their turn: about a second's work, and some 30 KiB each
	upgradeWait        = 2 * time.Second // for one's turn; then another node, or another moment, is better
	upgradeRetry       = 4 * time.Second // whom no connection is made for comes again within so long, at random
)

// errTooManyUpgrades is for whom the queue is too long.
var errTooManyUpgrades = &models.Error{Code: models.Unavailable, Message: "too many connect at this moment; try again after a pause"}

// gate lets a few upgrades through at once. More wait for their turn.
type gate struct {
	places  chan struct{}
	waiting atomic.Int64
	refused prometheus.Counter
}

func newGate(r prometheus.Registerer) *gate {
	g := &gate{places: make(chan struct{}, maxUpgrades)}
	g.refused = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tokenwire", Name: "upgrades_refused_total", Help: "WebSockets refused as too many were to be opened at once."})
	r.MustRegister(g.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tokenwire", Name: "upgrades_waiting", Help: "WebSockets that wait to be opened."}, func() float64 {
		return float64(g.waiting.Load())
	}))
	return g
}

// enter returns when it is an upgrade's turn, and what to call when that is over.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.places }
	select {
	case g.places <- struct{}{}:
		return leave, nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxUpgradesWaiting {
		g.refused.Inc()
		return nil, errTooManyUpgrades
	}
	turn := time.NewTimer(upgradeWait)
	defer turn.Stop()
	select {
	case g.places <- struct{}{}:
		return leave, nil
	case <-turn.C:
	case <-ctx.Done():
	}
	g.refused.Inc()
	return nil, errTooManyUpgrades
}
