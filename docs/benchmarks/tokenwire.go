package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const password = "correct horse battery"

// tokenwire is a Tokenwire under test.
type tokenwire struct {
	*process
	session string // the administrator's
}

var built = map[string]string{} // programs by tree

// build compiles a tree and returns the program.
func build(o *options, tree string) (string, error) {
	if built[tree] == "" {
		program := filepath.Join(o.dir, fmt.Sprintf("tokenwire-%d", len(built)))
		cmd := exec.Command("go", "build", "-o", program, ".")
		cmd.Dir, cmd.Stderr = tree, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("building %s: %w", tree, err)
		}
		built[tree] = program
	}
	return built[tree], nil
}

// startTokenwire starts a tree's Tokenwire on a database, or on a new SQLite file where that is "".
func startTokenwire(o *options, tree, database string, args ...string) (*tokenwire, error) {
	program, err := build(o, tree)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.dir, "server-")
	if err != nil {
		return nil, err
	}
	if database == "" {
		database = "sqlite:" + filepath.Join(dir, "tokenwire.db")
	}
	p, err := start([]string{"TOKENWIRE_DATABASE=" + database, "TOKENWIRE_ADMIN_PASSWORD=" + password},
		program, append([]string{"--listen", "127.0.0.1:0", "--key-file", filepath.Join(o.dir, "key")}, args...)...)
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, p.lines)
	t := &tokenwire{process: p}
	t.session, err = t.signIn("admin")
	return t, err
}

var web = http.Client{Timeout: patience}

// call runs a method over POST.
func (t *tokenwire) call(bearer, method string, result any, params ...any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return err
	}
	r, err := http.NewRequest("POST", "http://"+t.addr+"/api"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := web.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", method, response.Status, answer)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(answer, result)
	}
	return err
}

func (t *tokenwire) signIn(username string) (session string, err error) {
	var result struct{ Session string }
	err = t.call("", "/v1/session/sign-in", &result, username, password)
	return result.Session, err
}

// user makes a user and returns his id and a session.
func (t *tokenwire) user(name string) (id, session string, err error) {
	var result struct{ ID string }
	if err = t.call(t.session, "/v1/users/create", &result, name, map[string]string{"password": password}); err != nil {
		return "", "", err
	}
	session, err = t.signIn(name)
	return result.ID, session, err
}

// token makes a token of the session's user and returns its id.
func (t *tokenwire) token(session, name string) (string, error) {
	var result struct{ ID string }
	err := t.call(session, "/v1/api-tokens/create", &result, name)
	return result.ID, err
}

// connect opens a WebSocket and reads what comes first.
func (t *tokenwire) connect(session string) (*client, error) {
	c, err := dial(t.addr, "/api", session)
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(patience))
	first, err := c.receive()
	c.SetReadDeadline(time.Time{})
	if err == nil && !bytes.Contains(first, []byte(`"/v1/session/ready"`)) {
		err = fmt.Errorf("not ready: %s", first)
	}
	return c, err
}

// isHeartbeat reports whether a message is one that comes unasked.
func isHeartbeat(message []byte) bool {
	return bytes.Contains(message[:min(64, len(message))], []byte(`"/v1/session/heartbeat"`))
}
