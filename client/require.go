package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// permissionID is the form of a permission's id, which fits into a header as a scope (RFC 6750, section 3).
var permissionID = regexp.MustCompile(`^[a-z0-9][a-z0-9:._/-]{0,63}$`)

// Require lets in requests whose token is good for all the permissions and from where they come; the handler finds the
// Decision with FromContext. The others are answered as RFC 6750 has it:
//
//	no credential                  401  WWW-Authenticate: Bearer realm="tokenwire"
//	no good token                  401  … error="invalid_token"
//	two credentials, or half a one 400  … error="invalid_request"
//	a permission is missing        403  … error="insufficient_scope", scope="repo:read"
//	not from this address          403
//	over the token's rate limit    429  Retry-After
//	nobody can say                 503  Retry-After: 1
//
// The token is taken from the Authorization header only. A permission that can be none is a panic, as a wrong pattern is of
// http.Handle.
func (v *Verifier) Require(permissions ...string) func(http.Handler) http.Handler {
	for _, id := range permissions {
		if !permissionID.MatchString(id) {
			panic(fmt.Sprintf("tokenwire: %q is no permission", id))
		}
	}
	scope := strings.Join(permissions, " ")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d, denial := v.admit(r, permissions)
			if denial != nil {
				denial.write(w, scope)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), decisionKey{}, d)))
		})
	}
}

// challenge is what WWW-Authenticate begins with: the scheme alone would not do (RFC 6750, section 3).
const challenge = `Bearer realm="tokenwire"`

// denial is how a request is turned away.
type denial struct {
	status     int
	reason     string // RFC 6750's word, or empty
	text       string // for people
	retryAfter time.Duration
}

var (
	errNoCredential = &denial{status: http.StatusUnauthorized, text: "a token is required"}
	errMalformed    = &denial{status: http.StatusBadRequest, reason: "invalid_request", text: "one Authorization header with one Bearer token, please"}
	errInvalid      = &denial{status: http.StatusUnauthorized, reason: "invalid_token", text: "the token is not good"}
	errScope        = &denial{status: http.StatusForbidden, reason: "insufficient_scope", text: "the token lacks a permission"}
	errAddress      = &denial{status: http.StatusForbidden, text: "the token is not good from this address"}
	errNobody       = &denial{status: http.StatusServiceUnavailable, text: "the token cannot be verified now", retryAfter: time.Second}
)

// admit decides on a request, and counts it.
func (v *Verifier) admit(r *http.Request, permissions []string) (Decision, *denial) {
	token, refused := bearer(r)
	if refused != nil {
		return Decision{}, refused
	}
	d, err := v.verify(r.Context(), token)
	if err != nil {
		if limited, ok := errors.AsType[*RateLimited](err); ok {
			return d, &denial{status: http.StatusTooManyRequests, text: "the token is over its rate limit", retryAfter: limited.RetryAfter}
		}
		return d, errNobody
	}
	if !d.Active {
		return d, errInvalid
	}
	if d.isBound() {
		if address, ok := v.options.ClientIP(r); !ok || !d.From(address) {
			refused = errAddress
		}
	}
	for _, id := range permissions {
		if !d.Has(id) {
			refused = errScope
		}
	}
	v.count(d, refused == nil)
	return d, refused
}

// bearer returns the token of a request (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, *denial) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", errMalformed
	}
	if len(headers) == 0 {
		return "", errNoCredential
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoCredential
	}
	if token = strings.TrimSpace(token); token == "" || strings.ContainsAny(token, " ,") {
		return "", errMalformed
	}
	return token, nil
}

// write answers. No cache may keep what was true of one request.
func (d *denial) write(w http.ResponseWriter, scope string) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	switch {
	case d.reason == "insufficient_scope":
		header.Set("WWW-Authenticate", fmt.Sprintf(`%s, error="%s", scope="%s"`, challenge, d.reason, scope))
	case d.reason != "":
		header.Set("WWW-Authenticate", fmt.Sprintf(`%s, error="%s"`, challenge, d.reason))
	case d.status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", challenge)
	}
	if d.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.retryAfter.Seconds()))))
	}
	http.Error(w, d.text, d.status)
}

// peer returns where the connection of a request comes from.
func peer(r *http.Request) (netip.Addr, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return from.Addr(), err == nil
}
