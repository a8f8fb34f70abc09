package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// Error is the server's refusal of a call. docs/protocol.md has the codes; those of JSON-RPC itself are constants of
// github.com/sourcegraph/jsonrpc2.
type Error struct {
	Code    int64
	Message string
	Data    json.RawMessage // nil where there is none
}

// Error returns the server's message and its code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

func errorOf(e *jsonrpc2.Error) *Error {
	refusal := &Error{Code: e.Code, Message: e.Message}
	if e.Data != nil {
		refusal.Data = *e.Data
	}
	return refusal
}

// code returns the code of the server's refusal, or 0.
func code(err error) int64 {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal.Code
	}
	return 0
}

// Codes of the server that the client itself acts on.
const (
	codeUnauthorized = 401
	codeForbidden    = 403
	codeTooMany      = 429
	codeUnavailable  = 503
)

// What a call, or an iterator of events, may fail with beside an *Error.
var (
	// ErrClosed is what comes after Close.
	ErrClosed = errors.New("tokenwire: closed")
	// ErrOutcomeUnknown is a call that was sent and whose answer cannot come: it may have taken effect or not.
	ErrOutcomeUnknown = errors.New("tokenwire: no answer came; whether the call took effect is unknown")
	// ErrTooLarge is a call of more than 64 KiB, which was not sent.
	ErrTooLarge = errors.New("tokenwire: a call has at most 64 KiB")
	// ErrTooSlow ends an iterator of events whose reader has let too many wait.
	ErrTooSlow = errors.New("tokenwire: too many events wait; connect anew with Since")
	// ErrUnavailable is a verification that could not be done: the token is neither good nor bad.
	ErrUnavailable = errors.New("tokenwire: the token cannot be verified now")
)

// errNotConnected is why nothing can be called where no better reason is known.
var errNotConnected = errors.New("tokenwire: not connected")

// EndedError says that the credential is no good, or no more. The client does not connect again.
type EndedError struct {
	Reason string // the server's word, such as token-disabled; unauthorized where it let nobody in
}

// Error returns the reason.
func (e *EndedError) Error() string { return "tokenwire: the credential has ended: " + e.Reason }

// refusedError is a server, or a proxy, that makes no WebSocket now, and may say for how long it is not to be asked again.
type refusedError struct {
	status string
	after  time.Duration
}

// Error returns the status.
func (e *refusedError) Error() string { return "tokenwire: the server answered " + e.status }

// wrongAddressError is an answer that Tokenwire does not give to a WebSocket.
type wrongAddressError struct{ status, path string }

// Error says what to look at.
func (e *wrongAddressError) Error() string {
	return fmt.Sprintf("tokenwire: the server answered %s, and no WebSocket, at the URL's path %q; it should be %q, and a proxy must let WebSockets through",
		e.status, cmp.Or(e.path, "/"), "/api")
}

// RateLimited is a verification of a good token that is over its rate limit.
type RateLimited struct {
	RetryAfter time.Duration
}

// Error says when to come again.
func (e *RateLimited) Error() string {
	return fmt.Sprintf("tokenwire: the token is over its rate limit; again in %v", e.RetryAfter)
}

// unavailable is err as an error of a verification.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
