package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// postMessage is the door for JSON-RPC messages: POST /api.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	body, failed := readBody(w, r)
	if failed == nil {
		door := s.door(w, r)
		var id *models.Identity
		if id, failed = s.caller(r, &door); failed == nil {
			answer := s.Service.Handle(r.Context(), id, door, body)
			if answer == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			writeJSON(w, http.StatusOK, answer)
			return
		}
	}
	setRetry(w, failed)
	writeJSON(w, httpStatus(failed.Code), rpc.ErrorMessage(failed))
}

// postCall is the door for the params alone: POST /api/v1/….
func (s *Server) postCall(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	params, failed := readBody(w, r)
	var result []byte
	if failed == nil {
		door := s.door(w, r)
		var id *models.Identity
		if id, failed = s.caller(r, &door); failed == nil {
			result, failed = s.Service.Call(r.Context(), id, door, methodOf(r), params)
		}
	}
	if failed == nil {
		writeJSON(w, http.StatusOK, result)
		return
	}
	if failed.Code == rpc.CodeUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	setRetry(w, failed)
	writeJSON(w, httpStatus(failed.Code), rpc.ErrorObject(failed))
}

// notPost answers whoever comes to a door that is not there.
func notPost(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS") // RFC 9110, section 15.5.6
	writeJSON(w, http.StatusMethodNotAllowed, rpc.ErrorObject(&jsonrpc2.Error{
		Code: http.StatusMethodNotAllowed, Message: "methods are called with POST (curl: -d '' where there are no params)",
	}))
}

// methodOf returns the method that a path names.
func methodOf(r *http.Request) string {
	name := strings.TrimPrefix(r.URL.Path, "/api")
	if strings.HasPrefix(name, "/rpc.") { // JSON-RPC's own have no slash in front
		name = name[1:]
	}
	return name
}

// caller returns the identity behind a request, nil for nobody. Whether that will do is for the method to say: one can
// sign in with an old cookie still in the browser.
func (s *Server) caller(r *http.Request, door *rpc.Door) (*models.Identity, *jsonrpc2.Error) {
	id, err := s.identify(r.Context(), r)
	if err == nil || isUnauthorized(err) {
		if err == errBadOrigin {
			door.Refused = err
		}
		return id, nil
	}
	return nil, s.Service.Fail("authenticate", err)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *jsonrpc2.Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rpc.MaxMessage))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &jsonrpc2.Error{Code: rpc.CodeTooLarge, Message: "a message has at most 64 KiB"}
	case err != nil:
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: "the body could not be read"}
	}
	return body, nil
}

// httpStatus returns the HTTP status of an error's code.
func httpStatus(code int64) int {
	switch code {
	case jsonrpc2.CodeParseError, jsonrpc2.CodeInvalidRequest, jsonrpc2.CodeInvalidParams:
		return http.StatusBadRequest
	case jsonrpc2.CodeMethodNotFound:
		return http.StatusNotFound
	case jsonrpc2.CodeInternalError:
		return http.StatusInternalServerError
	}
	return int(code)
}

// setRetry says in HTTP's own words when to come again.
func setRetry(w http.ResponseWriter, failed *jsonrpc2.Error) {
	if failed.Code == rpc.CodeUnavailable {
		retryAfter(w, unavailableRetry)
	}
	var data struct {
		RetryAfterMs int64 `json:"retryAfterMs"`
	}
	if failed.Data != nil && json.Unmarshal(*failed.Data, &data) == nil && data.RetryAfterMs > 0 {
		retryAfter(w, time.Duration(data.RetryAfterMs)*time.Millisecond)
	}
}

// retryAfter says when to come again: in whole seconds, rounded up (RFC 9110, section 10.2.3).
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store") // answers may hold secrets
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body)
}

// refuse answers a request for an upgrade that is not made.
func (s *Server) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	failed := s.Service.Fail("connect", err)
	if failed.Code == rpc.CodeUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	setRetry(w, failed)
	if failed.Code == rpc.CodeUnavailable {
		retryAfter(w, 1+rand.N(upgradeRetry)) // not the same for all
	}
	writeJSON(w, httpStatus(failed.Code), rpc.ErrorObject(failed))
}
