package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const setters = 64 // callers, each with a user and a token of its own

// setter is a caller, who switches his token on and off.
type setter struct {
	UserID, Username, SessionID, TokenID string

	session string
	client  *client
	enabled bool
}

// setEnabled compares set-enabled on MariaDB with its own SQL.
func setEnabled(o *options) error {
	m, err := startMariaDB(o)
	if err != nil {
		return err
	}
	ours, reference, err := tokenwireSetters(o, o.tree, m, "ours")
	if err != nil {
		return err
	}
	if err := checkStatements(m, ours[0]); err != nil {
		return err
	}
	var theirs func() (float64, error)
	if o.against != "" {
		others, _, err := tokenwireSetters(o, o.against, m, "others")
		if err != nil {
			return err
		}
		theirs = func() (float64, error) { return setRate(others, o.period) }
	} else if theirs, err = sqlSetters(o, reference, m); err != nil {
		return err
	}
	f := &figure{name: fmt.Sprintf("set-enabled, %d callers, MariaDB", setters), unit: "calls/s", goal: ">= 0.7"}
	if err := inTurns(o.rounds, f, theirs, func() (float64, error) { return setRate(ours, o.period) }); err != nil {
		return err
	}
	print(f)
	return nil
}

// tokenwireSetters starts a Tokenwire with a database of its own on the server, and its callers.
func tokenwireSetters(o *options, tree string, m *mariaDB, name string) ([]*setter, *tokenwire, error) {
	if _, err := m.root.Exec("CREATE DATABASE " + name); err != nil {
		return nil, nil, err
	}
	t, err := startTokenwire(o, tree, "mysql://root@"+m.addr+"/"+name)
	if err != nil {
		return nil, nil, err
	}
	all, err := newSetters(t, "caller")
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if s.client, err = t.connect(s.session); err != nil {
			return nil, nil, err
		}
	}
	return all, t, nil
}

// newSetters makes users, with a session and a token each.
func newSetters(t *tokenwire, name string) ([]*setter, error) {
	var all []*setter
	for i := range setters {
		s := &setter{Username: fmt.Sprint(name, i), enabled: true}
		var err error
		if s.UserID, s.session, err = t.user(s.Username); err != nil {
			return nil, err
		}
		if s.TokenID, err = t.token(s.session, "a token"); err != nil {
			return nil, err
		}
		s.SessionID = strings.Split(s.session, "_")[1]
		all = append(all, s)
	}
	return all, nil
}

// setRate lets callers call for a while, one call under way each, and returns the calls a second.
func setRate(all []*setter, period time.Duration) (float64, error) {
	for _, s := range all {
		s.client.SetDeadline(time.Now().Add(period + patience))
	}
	return closedLoop(len(all), period, func(i int) error { return all[i].call() })
}

// call switches the token and waits for the reply.
func (s *setter) call() error {
	s.enabled = !s.enabled
	s.client.send(setEnabledRequest(1, s.TokenID, s.enabled))
	if err := s.client.flush(); err != nil {
		return err
	}
	for {
		message, err := s.client.receive()
		text := string(message)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(text, `{"jsonrpc":"2.0","id":1,"result":`):
			return nil
		case !strings.Contains(text, `"method":`):
			return fmt.Errorf("a call was refused: %s", text)
		}
	}
}

// sqlSetters makes callers for the reference, in the same database, and starts it.
func sqlSetters(o *options, t *tokenwire, m *mariaDB) (func() (float64, error), error) {
	all, err := newSetters(t, "straight")
	if err != nil {
		return nil, err
	}
	p, err := reference("reference-sql", "-server", m.addr)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(p.stdin).Encode(all); err != nil {
		return nil, err
	}
	return func() (float64, error) {
		var rate float64
		_, err := fmt.Fprintln(p.stdin, o.period)
		if err == nil {
			_, err = fmt.Fscanln(p.lines, &rate)
		}
		return rate, err
	}, nil
}

var (
	logged  = regexp.MustCompile(`^(?:Query|Execute) `)
	literal = regexp.MustCompile(`(?s)(?:_binary)?'(?:\\.|[^'\\])*'|\b\d+\b`)
)

// checkStatements makes sure that the reference sends what Tokenwire sends: it looks at the server's log of one call.
func checkStatements(m *mariaDB, s *setter) error {
	if err := s.call(); err != nil { // so that statements are prepared
		return err
	}
	text, err := m.statements(s.call)
	if err != nil {
		return err
	}
	var sent []string
	prepared := 0
	for _, line := range text {
		if strings.HasPrefix(line, "Prepare ") {
			prepared++
		} else if logged.MatchString(line) {
			sent = append(sent, literal.ReplaceAllString(logged.ReplaceAllString(line, ""), "?"))
		}
	}
	from, to := slices.Index(sent, "START TRANSACTION"), slices.Index(sent, "COMMIT")
	if from < 0 || to < from {
		return fmt.Errorf("no transaction in %q", sent)
	}
	fmt.Printf("a call sends %d statements in its transaction, and prepares %d anew\n", to-from-1, prepared)
	want := slices.Clone(statements)
	for i := range want {
		want[i] = literal.ReplaceAllString(want[i], "?")
	}
	if got := sent[from+1 : to]; !slices.Equal(got, want) {
		return fmt.Errorf("the server no longer sends the statements of reference-sql:\n%s", strings.Join(got, "\n"))
	}
	return nil
}
