package server

import (
	"context"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/rpc"
)

// introspectPath is OAuth's door for who asks about a token (RFC 7662).
const introspectPath = "/oauth2/introspect"

// introspectTimeout is how long finding out who asks may take.
const introspectTimeout = 10 * time.Second

// introspection is the answer for a good token (RFC 7662, section 2.2).
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope"`
	ClientID  string `json:"client_id"`
	Username  string `json:"username"`
	TokenType string `json:"token_type"`
	Expires   int64  `json:"exp,omitzero"`
	Subject   string `json:"sub"`
	ID        string `json:"jti"`
}

// oauthError is why a question is not answered (RFC 6749, section 5.2).
type oauthError struct {
	status            int
	code, description string
}

// Error returns the description.
func (e *oauthError) Error() string { return e.description }

var (
	errNoClient   = &oauthError{http.StatusUnauthorized, "invalid_client", "a good credential is needed: Bearer, or Basic with a token's id and the token"}
	errMayNot     = &oauthError{http.StatusForbidden, "insufficient_scope", "you do not hold the permission " + models.PermissionVerify}
	errOverLimit  = &oauthError{http.StatusTooManyRequests, "too_many_requests", "the token is good, and over its rate limit"}
	errOAuthGet   = &oauthError{http.StatusMethodNotAllowed, "invalid_request", "a token is introspected with POST, and never in a URL"}
	inactiveToken = []byte(`{"active":false}`)
)

// introspect answers whether a token is good to whoever may ask that. An error is never an answer.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	var token models.Secret
	var question rpc.Question
	var answer rpc.Answer
	err := s.mayVerify(r)
	if err == nil {
		token, question, err = readIntrospection(w, r)
	}
	if err == nil {
		answer, err = s.Service.VerifyToken(r.Context(), token, question)
	}
	if answer.RetryAfter > 0 {
		retryAfter(w, answer.RetryAfter)
		err = errOverLimit
	}
	switch {
	case err != nil:
		s.refuseOAuth(w, err)
	case !answer.Allowed: // for every kind of bad token alike
		writeJSON(w, http.StatusOK, inactiveToken)
	default:
		writeIntrospection(w, answer.Facts)
	}
}

func writeIntrospection(w http.ResponseWriter, facts *models.Facts) {
	answer := introspection{
		Active: true, Scope: strings.Join(facts.Permissions, " "), ClientID: facts.TokenID, Username: facts.Username, TokenType: "Bearer",
		Subject: facts.UserID, ID: facts.TokenID,
	}
	if facts.ExpiresAt != nil {
		answer.Expires = facts.ExpiresAt.Std().Unix() // rounded down: never later than it ends
	}
	body, _ := json.Marshal(answer)
	writeJSON(w, http.StatusOK, body)
}

// mayVerify returns nil for a caller who may ask about tokens. He shows a credential as everywhere, but no cookie, or his
// token's id and the token as a client's id and password (RFC 6749, section 2.3.1).
func (s *Server) mayVerify(r *http.Request) error {
	credential, ok := bearer(r.Header.Get("Authorization"))
	client, password, basic := r.BasicAuth()
	if basic {
		var err error
		if client, err = url.QueryUnescape(client); err == nil {
			password, err = url.QueryUnescape(password)
		}
		ok, credential = err == nil, models.NewSecret(password)
	}
	if !ok || credential.IsZero() {
		return errNoClient
	}
	ctx, cancel := context.WithTimeout(r.Context(), introspectTimeout)
	defer cancel()
	id, err := s.Store.Authenticate(ctx, credential, s.address(r))
	switch {
	case isUnauthorized(err), err == nil && basic && id.Credential != models.Credential{Kind: models.KindToken, ID: client}:
		return errNoClient
	case err == nil && !id.Permissions[models.PermissionVerify]:
		return errMayNot
	}
	return err
}

// readIntrospection reads the form. What it does not know it leaves aside, and nothing may come twice (RFC 6749,
// section 3.1). A caller who says from which address the token was shown (RFC 7662, section 2.1, leaves room for that) can be
// told of a token with allowed addresses; by others it is not good from where they were shown it, as nobody knows where.
func readIntrospection(w http.ResponseWriter, r *http.Request) (models.Secret, rpc.Question, error) {
	wrong := func(description string) (models.Secret, rpc.Question, error) {
		return models.Secret{}, rpc.Question{}, &oauthError{http.StatusBadRequest, "invalid_request", description}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return wrong("the body is application/x-www-form-urlencoded")
	}
	body, failed := readBody(w, r)
	if failed != nil {
		return models.Secret{}, rpc.Question{}, &oauthError{httpStatus(failed.Code), "invalid_request", failed.Message}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return wrong("the body is not a form")
	}
	for _, values := range form {
		if len(values) > 1 {
			return wrong("a parameter comes twice")
		}
	}
	token := models.NewSecret(form.Get("token"))
	if token.IsZero() {
		return wrong("the parameter token is missing")
	}
	var address netip.Addr
	if text := form.Get("ip"); text != "" {
		if address, err = netip.ParseAddr(text); err != nil {
			return wrong("ip is an IPv4 or IPv6 address, such as 192.0.2.7")
		}
	}
	return token, rpc.Question{Address: &address}, nil
}

// refuseOAuth writes an error as OAuth does. One that is not of its kind means that nobody can tell.
func (s *Server) refuseOAuth(w http.ResponseWriter, err error) {
	refused, ok := err.(*oauthError)
	if !ok {
		failed := s.notKnown(w, err)
		refused = &oauthError{httpStatus(failed.Code), "server_error", failed.Message}
		if failed.Code == rpc.CodeUnavailable {
			refused.code = "temporarily_unavailable"
		}
	}
	switch refused {
	case errNoClient:
		w.Header()["Www-Authenticate"] = []string{`Basic realm="tokenwire"`, challenge}
	case errMayNot:
		w.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+models.PermissionVerify+`"`)
	}
	body, _ := json.Marshal(struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{refused.code, refused.description})
	writeJSON(w, refused.status, body)
}

// notIntrospect answers whoever comes with another method.
func (s *Server) notIntrospect(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "POST")
	s.refuseOAuth(w, errOAuthGet)
}
