package servertest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Post calls a method through the door that takes params alone, with a session or token ("" for none).
func (p *Program) Post(ctx context.Context, credential, method, params string) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, "POST", p.URL()+"/api"+method, strings.NewReader(params))
	if err != nil {
		return 0, nil, err
	}
	if credential != "" {
		r.Header.Set("Authorization", "Bearer "+credential)
	}
	response, err := clients.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// Call calls a method that must succeed, with params by position, and puts the result into result unless that is nil.
func (p *Program) Call(credential, method string, result any, params ...any) {
	p.t.Helper()
	body, err := json.Marshal(append([]any{}, params...)) // no params are [], not null
	if err != nil {
		p.t.Fatal(err)
	}
	status, answer, err := p.Post(context.Background(), credential, method, string(body))
	if err == nil && status == http.StatusOK && result != nil {
		err = json.Unmarshal(answer, result)
	}
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("%s: %d %s %v", method, status, answer, err)
	}
}

// SignIn returns the secret of a new session.
func (p *Program) SignIn(username, password string) string {
	p.t.Helper()
	var result struct {
		Session string `json:"session"`
	}
	p.Call("", "/v1/session/sign-in", &result, username, password)
	return result.Session
}
