package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// The sub-protocols that a browser's new WebSocket(url, […]) sends: the protocol itself, which is echoed, and the
// credential, which never is. A browser cannot set headers there.
const (
	subprotocol       = "tokenwire.v1"
	subprotocolBearer = "bearer."
)

// Names of the session's cookie. The first is for TLS: browsers let nobody but this very host set it
// (RFC 6265bis, section 4.1.3.2).
const (
	cookieSecure = "__Host-tokenwire"
	cookiePlain  = "tokenwire"
)

// errBadOrigin is a cookie that does not count.
var errBadOrigin = &models.Error{
	Code:    models.Unauthorized,
	Message: "this page's origin may not use the session's cookie; start Tokenwire with --origin <scheme>://<host>[:<port>] to allow it",
}

// bearer returns the credential in an Authorization header (RFC 6750, section 2.1), or false for another scheme.
func bearer(header string) (models.Secret, bool) {
	scheme, value, _ := strings.Cut(header, " ")
	return models.NewSecret(strings.TrimSpace(value)), strings.EqualFold(scheme, "Bearer")
}

// credential returns what the request shows, or a zero Secret. A header counts before a sub-protocol, that before a
// cookie.
func (s *Server) credential(r *http.Request) (models.Secret, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		credential, ok := bearer(header)
		if !ok {
			return models.Secret{}, models.ErrUnauthorized
		}
		return credential, nil
	}
	for _, list := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(list, ",") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(p), subprotocolBearer); ok {
				return models.NewSecret(value), nil
			}
		}
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return models.Secret{}, nil
	}
	if !s.origins.allow(r.Header.Get("Origin")) {
		return models.Secret{}, errBadOrigin
	}
	return models.NewSecret(cookie.Value), nil
}

// identify returns the identity of whoever sends the request, or an error.
func (s *Server) identify(ctx context.Context, r *http.Request) (*models.Identity, error) {
	credential, err := s.credential(r)
	if err != nil {
		return nil, err
	}
	if credential.IsZero() {
		return nil, models.ErrUnauthorized
	}
	return s.Store.Authenticate(ctx, credential, s.address(r))
}

// overTLS reports whether the browser speaks TLS, be it to a proxy: then its origin, which was checked, is https.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://")
}

func cookieName(r *http.Request) string {
	if overTLS(r) {
		return cookieSecure
	}
	return cookiePlain
}

// door returns what methods may know of and do to the request.
func (s *Server) door(w http.ResponseWriter, r *http.Request) rpc.Door {
	set := func(value string, expires time.Time) {
		http.SetCookie(w, &http.Cookie{
			Name: cookieName(r), Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: overTLS(r), SameSite: http.SameSiteStrictMode,
		})
	}
	d := rpc.Door{Address: s.address(r), Agent: strings.ToValidUTF8(r.UserAgent(), "")}
	d.SignedIn = func(session models.Secret, expires models.Time) {
		if origin := r.Header.Get("Origin"); origin == "" || s.origins.allow(origin) { // another site must not sign a browser in
			set(session.Reveal(), expires.Std())
		}
	}
	d.Identify = func(ctx context.Context) (*models.Identity, error) { return s.identify(ctx, r) }
	d.SignedOut = func() { set("", time.Unix(1, 0)) }
	return d
}

func isUnauthorized(err error) bool {
	var refused *models.Error
	return errors.As(err, &refused) && refused.Code == models.Unauthorized
}
