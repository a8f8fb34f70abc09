package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
)

// callTimeout is how long one call may take: longer than any that makes progress.
const callTimeout = 15 * time.Second

// LongestCall is how long a call may take in all: its own work, and then the wait for verifiers, be they those of a node that is
// gone, and for what is found by looking. The calls of a batch that comes without a connection take no longer together.
const LongestCall = callTimeout + hintWait + nodeLease + maxLease + 5*pollEvery

// Options are a service's settings.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Version string // of Tokenwire, for the OpenRPC document
	Bus     Bus    // to other nodes; may be nil
	Facts   int    // how many tokens' facts are kept in memory; DefaultFacts by default
}

// Service answers calls, whichever door they come through, and pushes events to connections.
type Service struct {
	store   *models.Store
	hub     *hub
	log     *slog.Logger
	methods map[string]*method
	openrpc []byte
	signIns *signInLimits
	rates   *rates
	leaks   *leakLimits
	turns   *models.Turns
	metrics *metrics
}

// NewService returns a service on a store, and becomes its observer. Close ends it.
func NewService(store *models.Store, o Options) *Service {
	s := &Service{store: store, log: o.Log, methods: map[string]*method{}, signIns: newSignInLimits(), leaks: newLeakLimits(), turns: models.NewTurns(maxReadsOfUser), rates: newRates(), metrics: newMetrics(o.Metrics)}
	if o.Facts == 0 {
		o.Facts = DefaultFacts
	}
	table := s.table()
	for _, m := range table {
		m.metrics = s.metrics.forMethod(m.name)
		s.methods[m.name] = m
	}
	s.openrpc = openRPC(table, o.Version)
	s.hub = newHub(store, o.Log, s.metrics, o.Facts, o.Bus)
	store.Observe(s.hub)
	return s
}

// OpenRPC returns the OpenRPC document, made from the method table.
func (s *Service) OpenRPC() []byte { return s.openrpc }

// Handle answers one message that came through a door without a connection: a request, a notification or a batch. It
// returns nil where there is nothing to answer. Id nil is a caller without a good credential.
func (s *Service) Handle(ctx context.Context, id *models.Identity, door Door, message []byte) []byte {
	if !utf8.Valid(message) {
		return appendError(nil, nullID, errParse)
	}
	who := newCaller(id)
	if r, ok := parseSingle(message); ok {
		return s.answer(ctx, who, door, models.NewChangeID(), &r, nil)
	}
	requests, failed := parseBatch(message)
	if failed != nil {
		return appendError(nil, nullID, failed)
	}
	ctx, cancel := context.WithTimeout(ctx, LongestCall) // all of them, as there is one answer, which may not take longer
	defer cancel()
	changeID := models.NewChangeID()
	return answerBatch(requests, func(i int, b []byte) []byte {
		if ctx.Err() == context.DeadlineExceeded && requests[i].err == nil {
			requests[i].err = errBatchTime
		} else if i > 0 && door.Identify != nil { // one of the calls before may have ended the credential
			id, err := door.Identify(ctx)
			if who = newCaller(id); err != nil && requests[i].err == nil {
				requests[i].err = s.notWho(err)
			}
		}
		return s.answer(ctx, who, door, changeID, &requests[i], b)
	})
}

// notWho returns why nobody can be told who calls, or nil for a caller who has no good credential.
func (s *Service) notWho(err error) *jsonrpc2.Error {
	failed := s.Fail("authenticate", err)
	if failed.Code == CodeUnauthorized {
		return nil
	}
	return failed
}

// Call runs one method on params alone and returns the result alone.
func (s *Service) Call(ctx context.Context, id *models.Identity, door Door, name string, params []byte) ([]byte, *jsonrpc2.Error) {
	params = bytes.TrimSpace(params)
	switch {
	case len(params) == 0:
		params = nil
	case deeperThan(params, maxDepth):
		return nil, invalidRequest("the params are nested too deeply")
	case !utf8.Valid(params) || !jsontext.Value(params).IsValid(jsontext.AllowDuplicateNames(true)):
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeParseError, Message: "the params are not JSON"}
	}
	return s.invoke(ctx, &Call{caller: newCaller(id), changeID: models.NewChangeID(), door: door}, name, params)
}

// answer runs one request and appends its reply to b. A notification, and what is cancelled before it ran, gets none.
func (s *Service) answer(ctx context.Context, who *caller, door Door, changeID string, r *request, b []byte) []byte {
	var result []byte
	failed := r.err
	switch {
	case failed != nil:
	case r.method == methodCancel:
		result = []byte("null") // the connection has seen to it; through another door there is nothing to cancel
	default:
		result, failed = s.invoke(ctx, &Call{caller: who, changeID: changeID, door: door}, r.method, r.params)
	}
	switch {
	case r.id == nil:
		return b
	case failed != nil:
		return appendError(b, r.id, failed)
	}
	return appendResult(b, r.id, result)
}

// answerBatch answers the requests of a batch one after the other, in their order, and returns the replies as an array.
func answerBatch(requests []request, answer func(i int, b []byte) []byte) []byte {
	b := []byte("[")
	for i := range requests {
		if len(b) > 1 && b[len(b)-1] != ',' {
			b = append(b, ',')
		}
		if len(b) < maxBatchAnswer {
			b = answer(i, b)
		} else if requests[i].id != nil {
			b = appendError(b, requests[i].id, errBatchAnswer)
		}
	}
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	if len(b) <= 1 {
		return nil
	}
	return append(b, ']')
}

// invoke finds and runs a method. Whatever goes wrong comes back as an error that the caller may see; what he may not see
// is in the log, under the request's id that he gets.
func (s *Service) invoke(ctx context.Context, c *Call, name string, params []byte) (result []byte, failed *jsonrpc2.Error) {
	m := s.methods[name]
	if m == nil {
		s.metrics.unknown.Inc()
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "there is no such method; rpc.discover lists them"}
	}
	if m.fast {
		return s.run(ctx, m, c, params)
	}
	c.patient = ctx
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	started := time.Now()
	result, failed = s.run(ctx, m, c, params)
	m.metrics.seconds.Observe(time.Since(started).Seconds())
	return result, failed
}

// answerQuick answers a request from memory. It reports false for one that takes more, if only to say what is wrong with it.
func (s *Service) answerQuick(m *method, c *caller, door *Door, r *request, b []byte) (answer []byte, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			ok = false // the long way says so, unless it was a matter of the moment
			s.log.Error("panic", "method", m.name, "error", p, "stack", string(debug.Stack()))
		}
	}()
	if c == nil || !c.quick {
		return nil, false
	}
	result, ok := m.quick(c, door, r.params)
	if !ok {
		return nil, false
	}
	m.metrics.ok.Inc()
	if r.id == nil {
		return b, true
	}
	return appendResult(b, r.id, result), true
}

func (s *Service) run(ctx context.Context, m *method, c *Call, params []byte) (result []byte, failed *jsonrpc2.Error) {
	defer func() {
		if p := recover(); p != nil {
			result, failed = nil, s.internal(m.name, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
		m.metrics.count(failed)
	}()
	c.needs = m.access.needs(c.caller)
	err := m.access.allow(c.caller, c.needs)
	if c.caller == nil && err != nil && c.door.Refused != nil {
		err = c.door.Refused
	}
	if err == nil && m.post && c.door.SignedIn == nil {
		err = &models.Error{Code: models.Forbidden, Message: "this is called with POST /api" + m.name}
	}
	if err == nil {
		result, err = s.call(ctx, m, c, params)
	}
	if err == nil {
		return result, nil
	}
	var refused *models.Error
	if ctx.Err() == context.Canceled && models.Away(err) && !errors.As(err, &refused) {
		err = ctx.Err() // what the drivers make of it depends on the moment
	}
	if failed = refusal(err); failed == nil {
		failed = s.internal(m.name, err)
	}
	if failed.Code == CodeUnavailable && !errors.Is(err, context.Canceled) {
		s.log.Warn("unavailable", "method", m.name, "error", err)
	}
	return nil, failed
}

// internal logs an error that is nobody else's business and returns what the caller is told instead.
func (s *Service) internal(method string, err error) *jsonrpc2.Error {
	requestID := models.NewChangeID()
	s.log.Error("internal error", "requestId", requestID, "method", method, "error", err)
	return newError(jsonrpc2.CodeInternalError, "internal error; the server's log has more under this requestId", map[string]any{"requestId": requestID})
}
