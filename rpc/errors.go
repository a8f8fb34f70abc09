package rpc

import (
	"context"
	stdjson "encoding/json" // jsonrpc2.Error keeps its data as the standard library's RawMessage
	"errors"
	"maps"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
)

// Codes of errors beside JSON-RPC's own: HTTP's numbers.
const (
	CodeUnauthorized    = 401
	CodeForbidden       = 403
	CodeNotFound        = 404
	CodeConflict        = 409
	CodeGone            = 410
	CodeTooLarge        = 413
	CodeTooManyRequests = 429
	CodeCancelled       = 499 // by $/cancelRequest; nginx's number for it, as HTTP has none
	CodeUnavailable     = 503
)

// wireCodes is the one table from the models' codes to those of the wire.
var wireCodes = map[models.Code]int64{
	models.Invalid:      jsonrpc2.CodeInvalidParams,
	models.Unauthorized: CodeUnauthorized,
	models.Forbidden:    CodeForbidden,
	models.NotFound:     CodeNotFound,
	models.Conflict:     CodeConflict,
	models.Gone:         CodeGone,
	models.TooMany:      CodeTooManyRequests,
	models.Unavailable:  CodeUnavailable,
}

// refusal returns what a caller is told of err, or nil for an error that is none of his business.
func refusal(err error) *jsonrpc2.Error {
	var wire *jsonrpc2.Error
	var refused *models.Error
	switch {
	case errors.As(err, &wire):
		return wire
	case errors.As(err, &refused):
		return newError(wireCodes[refused.Code], refused.Message, refused.Data)
	case errors.Is(err, context.Canceled):
		return newError(CodeCancelled, "the call was cancelled; what it had committed stands", nil)
	case models.Away(err):
		return newError(CodeUnavailable, models.ErrUnavailable.Message, nil)
	}
	return nil
}

func newError(code int64, message string, data map[string]any) *jsonrpc2.Error {
	e := &jsonrpc2.Error{Code: code, Message: message}
	if len(data) > 0 {
		raw, err := json.Marshal(maps.Clone(data), json.Deterministic(true))
		if err == nil {
			e.Data = (*stdjson.RawMessage)(&raw)
		}
	}
	return e
}

func invalidParam(param, message string) *jsonrpc2.Error {
	return newError(jsonrpc2.CodeInvalidParams, message, map[string]any{"param": param})
}

// marshalError writes {"code", "message", "data"}.
func marshalError(e *jsonrpc2.Error) []byte {
	wire := struct {
		Code    int64          `json:"code"`
		Message string         `json:"message"`
		Data    jsontext.Value `json:"data,omitzero"`
	}{Code: e.Code, Message: e.Message}
	if e.Data != nil {
		wire.Data = jsontext.Value(*e.Data)
	}
	b, err := json.Marshal(wire, jsontext.AllowInvalidUTF8(true))
	if err != nil { // only for data that is not JSON, which newError does not make
		return []byte(`{"code":-32603,"message":"internal error"}`)
	}
	return b
}

// Fail returns what a caller is told of an error that came up before any method, and logs what he is not told.
func (s *Service) Fail(what string, err error) *jsonrpc2.Error {
	if failed := refusal(err); failed != nil {
		return failed
	}
	return s.internal(what, err)
}

// ErrorObject returns {"error": {…}}, the answer of the door that takes params alone.
func ErrorObject(e *jsonrpc2.Error) []byte {
	return append(append([]byte(`{"error":`), marshalError(e)...), '}')
}

// ErrorMessage returns the JSON-RPC message that answers a message which could not be read.
func ErrorMessage(e *jsonrpc2.Error) []byte { return appendError(nil, nullID, e) }
