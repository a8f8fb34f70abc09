package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tokenwire/tokenwire/client"
)

// door is a way to verify a token. Its error means that nothing is known.
type door func(ctx context.Context, token string) (sight, error)

// byVerifier asks a raw verifier.
func byVerifier(v *rawVerifier) door {
	return func(ctx context.Context, token string) (sight, error) {
		said, err := v.verify(ctx, token)
		if err != nil && (errors.Is(err, errNotConnected) || !strings.Contains(err.Error(), "error")) {
			return sight{}, errAway
		}
		return sight{said.Active, scopesOf(said.Permissions)}, err
	}
}

// errAway is a door that cannot be asked just now, since the test has cut it off.
var errAway = errors.New("away")

// byClient asks a verifier of the Go package.
func byClient(v *client.Verifier) door {
	return func(ctx context.Context, token string) (sight, error) {
		d, err := v.Verify(ctx, token)
		if errors.Is(err, client.ErrUnavailable) {
			return sight{}, errAway
		}
		return sight{d.Active, scopesOf(d.Permissions())}, err
	}
}

// byCall asks the method, without a connection.
func (r *revoking) byCall(ctx context.Context, token string) (sight, error) {
	status, answer, err := r.call(ctx, r.service, "/v1/verifier/verify", fmt.Sprintf("[%q]", token))
	var said heldAnswer
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("verify: %d %s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, &said)
	}
	return sight{said.Active, scopesOf(said.Permissions)}, err
}

// byIntrospection asks as RFC 7662 has it.
func (r *revoking) byIntrospection(ctx context.Context, token string) (sight, error) {
	answer, err := r.fetch(ctx, "POST", "/oauth2/introspect", r.service, url.Values{"token": {token}}.Encode())
	if err != nil {
		return sight{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("introspect: %d %s", answer.StatusCode, body)
	}
	var said struct {
		Active bool   `json:"active"`
		Scope  string `json:"scope"`
	}
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	return sight{said.Active, scopesOf(strings.Fields(said.Scope))}, err
}

// byProxy asks as a proxy does.
func (r *revoking) byProxy(ctx context.Context, token string) (sight, error) {
	answer, err := r.fetch(ctx, "GET", "/auth/verify", token, "")
	if err != nil {
		return sight{}, err
	}
	answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return sight{true, scopesOf(strings.Split(answer.Header.Get("X-Tokenwire-Permissions"), ","))}, nil
	case http.StatusUnauthorized:
		return sight{}, nil
	}
	return sight{}, fmt.Errorf("forward auth: %s", answer.Status)
}

func (r *revoking) fetch(ctx context.Context, method, path, credential, form string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r.http.Do(request)
}

// wires are the connections of Go clients, which a test can cut.
type wires struct {
	mu   sync.Mutex
	open []net.Conn
}

// client returns what such a client dials by.
func (w *wires) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open = append(w.open, conn)
		}
		return conn, err
	}}}
}

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.open {
		conn.Close()
	}
	w.open = nil
}

// goVerifier starts a verifier of the Go package, which the test ends.
func (r *revoking) goVerifier(ctx context.Context) *client.Verifier {
	r.t.Helper()
	v, err := client.NewVerifier(ctx, client.VerifierOptions{URL: r.url + "/api", Token: client.NewSecret(r.service), Lease: time.Second, HTTPClient: r.wires.client()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { v.Close() })
	return v
}

// fromOwn returns how many answers verifiers gave from what they held.
func (r *revoking) fromOwn() (own int) {
	for _, v := range r.verifiers {
		v.mu.Lock()
		own += v.fromOwn
		v.mu.Unlock()
	}
	for _, v := range r.clients {
		own += int(v.Stats().Hits)
	}
	for _, c := range r.stoppable {
		own += int(c.hits.Load())
	}
	return own
}
