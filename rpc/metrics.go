package rpc

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/jsonrpc2"
)

// metrics are what Prometheus is told. Those of a method are looked up once, so that counting costs an atomic addition.
type metrics struct {
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	unknown     prometheus.Counter
	connections prometheus.Gauge
	events      prometheus.Counter
	pushed      prometheus.Counter
	closed      *prometheus.CounterVec
	signIns     *prometheus.CounterVec
	receipts    prometheus.Histogram
	stopping    prometheus.Gauge
	nodes       prometheus.Gauge
	nodeWaits   prometheus.Histogram

	allowed, denied, inactive prometheus.Counter // verifications
}

type methodMetrics struct {
	ok      prometheus.Counter
	errors  *prometheus.CounterVec
	seconds prometheus.Observer
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tokenwire", Name: name, Help: help}
	}
	m := &metrics{
		calls: prometheus.NewCounterVec(counter("calls_total", "Calls answered, by method and code (0 is success)."), []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "tokenwire", Name: "call_seconds", Help: "Time that calls took, without those answered from memory.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tokenwire", Name: "connections", Help: "WebSocket connections now."}),
		events:      prometheus.NewCounter(counter("events_total", "Events handed to the feeds of connected users.")),
		pushed:      prometheus.NewCounter(counter("notifications_total", "Notifications put into the queues of connections.")),
		closed:      prometheus.NewCounterVec(counter("connections_closed_total", "WebSocket connections closed by the server, by close code."), []string{"code"}),
		signIns:     prometheus.NewCounterVec(counter("sign_ins_total", "Sign-ins, by outcome."), []string{"outcome"}),
	}
	verifications := prometheus.NewCounterVec(counter("verifications_total", "Verifications answered by this node, by answer."), []string{"answer"})
	m.allowed, m.denied, m.inactive = verifications.WithLabelValues("allowed"), verifications.WithLabelValues("denied"), verifications.WithLabelValues("inactive")
	m.receipts = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "tokenwire", Name: "receipt_seconds", Help: "Time that calls took until no verifier acted on what was before them.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	})
	m.stopping = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tokenwire", Name: "stopping", Help: "1 while connections are told to go."})
	m.nodes = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tokenwire", Name: "nodes", Help: "Nodes that serve the database, as this one sees it."})
	m.nodeWaits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "tokenwire", Name: "node_wait_seconds", Help: "Time of receipts that was spent waiting for other nodes.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	})
	m.unknown = m.calls.WithLabelValues("unknown", strconv.Itoa(jsonrpc2.CodeMethodNotFound))
	r.MustRegister(m.calls, m.seconds, m.connections, m.events, m.pushed, m.closed, m.signIns, m.receipts, m.stopping, m.nodes, m.nodeWaits, verifications)
	return m
}

func (m *metrics) forMethod(name string) methodMetrics {
	return methodMetrics{
		ok:      m.calls.WithLabelValues(name, "0"),
		errors:  m.calls.MustCurryWith(prometheus.Labels{"method": name}),
		seconds: m.seconds.WithLabelValues(name),
	}
}

func (m methodMetrics) count(failed *jsonrpc2.Error) {
	if failed == nil {
		m.ok.Inc()
		return
	}
	m.errors.WithLabelValues(strconv.FormatInt(failed.Code, 10)).Inc()
}
