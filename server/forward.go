package server

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// forwardPath is the door that reverse proxies ask about each request that they are to let through.
const forwardPath = "/auth/verify"

// requireHeader names permissions where the path goes on after forwardPath: path and query are then those of the request
// that the proxy asks about, and so its client's. There it must be given, be it empty: a slash too many before the query must
// not let everybody through.
const requireHeader = "X-Tokenwire-Require"

// maxPermissionsHeader is the size of a list of permissions that is passed on, in bytes: proxies take 4 KiB of headers or
// more.
const maxPermissionsHeader = 2 << 10

// unavailableRetry is when to come again after a 503: the database is tried anew with each request.
const unavailableRetry = time.Second

// challenge is what WWW-Authenticate begins with (RFC 6750, section 3).
const challenge = `Bearer realm="tokenwire"`

// forwardAuth tells a proxy whether the request that it passes on shows a good token. It asks for no credential of the
// proxy's: it tells of a token nothing that the token itself could not ask for, to who has it.
//
// The statuses are those that proxies know: 200 lets the request through, 401 and 403 do not, and so does all else.
func (s *Server) forwardAuth(w http.ResponseWriter, r *http.Request, below string) {
	required, ok := requiredPermissions(r, below)
	if !ok {
		deny(w, http.StatusBadRequest, "the question is ?permission=<id>&permission=<id>, or "+requireHeader+" where the path goes on")
		return
	}
	token, shown := shownToken(r)
	if !shown {
		w.Header().Set("WWW-Authenticate", challenge)
		deny(w, http.StatusUnauthorized, "no token is shown: send it as Authorization: Bearer")
		return
	}
	address := s.client(r)
	answer, err := s.Service.VerifyToken(r.Context(), token, rpc.Question{Permissions: required, Address: &address})
	switch {
	case err != nil:
		failed := s.notKnown(w, err)
		writeJSON(w, httpStatus(failed.Code), rpc.ErrorObject(failed))
	case !answer.Active:
		w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
		deny(w, http.StatusUnauthorized, "the token is not good")
	case answer.RetryAfter > 0:
		retryAfter(w, answer.RetryAfter)
		deny(w, http.StatusTooManyRequests, "the token is over its rate limit")
	case answer.AddressRefused:
		deny(w, http.StatusForbidden, "the token is not good from this address")
	case !answer.Allowed:
		w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+strings.Join(required, " ")+`"`)
		deny(w, http.StatusForbidden, "the token does not have all permissions that are needed: "+strings.Join(answer.Missing, " "))
	default:
		letThrough(w.Header(), answer.Facts)
	}
}

// shownToken returns the token that a request shows, or false where it shows none. Of two one would be looked at here, and
// another one behind the proxy: together they are no good one.
func shownToken(r *http.Request) (token models.Secret, shown bool) {
	header := r.Header["Authorization"]
	if len(header) > 1 {
		return models.Secret{}, true
	}
	if len(header) == 1 {
		token, shown = bearer(header[0])
	}
	return token, shown
}

// notKnown returns what to answer where nobody can tell whether a credential is good, and says when to come again.
func (s *Server) notKnown(w http.ResponseWriter, err error) *jsonrpc2.Error {
	failed := s.Service.Fail("verify", err)
	setRetry(w, failed)
	return failed
}

func deny(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, rpc.ErrorObject(&jsonrpc2.Error{Code: int64(status), Message: message}))
}

// letThrough says who it is, in headers that the proxy can pass on. All of them are always there, so that what a client
// sends under these names is overwritten.
func letThrough(h http.Header, facts *models.Facts) {
	permissions := strings.Join(facts.Permissions, ",")
	if len(permissions) > maxPermissionsHeader {
		permissions = ""
	}
	values := [...]string{"no-store", facts.UserID, facts.Username, facts.TokenID, permissions}
	for i, name := range [...]string{"Cache-Control", "X-Tokenwire-User", "X-Tokenwire-Username", "X-Tokenwire-Token", "X-Tokenwire-Permissions"} {
		h[name] = values[i : i+1 : i+1] // the names are in their canonical form
	}
}

// requiredPermissions returns the permissions that are asked about. Whatever else is in the question is refused: a name
// that is mistyped must not let everybody through.
func requiredPermissions(r *http.Request, below string) (ids []string, ok bool) {
	lines := r.Header[requireHeader]
	for _, line := range lines {
		for id := range strings.SplitSeq(line, ",") {
			if id = strings.Trim(id, " \t"); id != "" { // RFC 9110, section 5.6.1.2
				ids = append(ids, id)
			}
		}
	}
	if below != "" {
		return ids, len(lines) > 0 && allScopes(ids)
	}
	for rest := r.URL.RawQuery; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		id, named := strings.CutPrefix(pair, "permission=")
		if strings.ContainsAny(id, "%+") {
			var err error
			id, err = url.QueryUnescape(id)
			named = named && err == nil
		}
		if !named {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, allScopes(ids)
}

// allScopes reports whether all permissions can stand in a challenge (RFC 6749, section 3.3).
func allScopes(ids []string) bool {
	for _, id := range ids {
		if id == "" || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return false
		}
	}
	return true
}
