package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models"
)

// connect opens a WebSocket from any goroutine: unlike dial it does not end the test.
func connect(ctx context.Context, base, credential, since string, client *http.Client) (*websocket.Conn, error) {
	address := base + "/api"
	if since != "" {
		address += "?since=" + url.QueryEscape(since)
	}
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + credential}}, Subprotocols: []string{"tokenwire.v1"}, HTTPClient: client,
	})
	if err == nil {
		ws.SetReadLimit(-1)
	}
	return ws, err
}

// heard is what of a message the tests look at.
type heard struct {
	ID     *int64         `json:"id"`
	Method string         `json:"method"`
	Result jsontext.Value `json:"result"`
	Error  *struct {
		Code int `json:"code"`
	} `json:"error"`
	Params struct {
		Position string `json:"position"`
		Reset    bool   `json:"reset"`
	} `json:"params"`
}

// follower is a client that keeps one user's feed over any number of connections, as the contract tells clients to: it
// connects with the position that it had last.
type follower struct {
	credential string
	client     *http.Client
	mangle     func(raw string) []string // between the server and the follower; nil for an honest one

	first string // where it began
	since string
	got   []string // the events, as they came
	cuts  int      // connections that ended before the end
}

// follow connects and reads events until done says so of one, most events have come, or the connection ends.
func (f *follower) follow(ctx context.Context, base string, most int, done func(raw string) bool) (finished bool, err error) {
	ws, err := connect(ctx, base, f.credential, f.since, f.client)
	if err != nil {
		return false, err
	}
	defer ws.CloseNow()
	if _, err := f.ready(ctx, ws); err != nil {
		return false, err
	}
	return f.read(ctx, ws, most, done)
}

// ready reads the first message, which must say that the feed goes on where the follower was.
func (f *follower) ready(ctx context.Context, ws *websocket.Conn) (heard, error) {
	var m heard
	_, b, err := ws.Read(ctx)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	switch {
	case err != nil:
		return m, err
	case m.Method != "/v1/session/ready":
		return m, wrong(fmt.Sprintf("the first message is %s", b))
	case f.since == "":
		f.first, f.since = m.Params.Position, m.Params.Position
	case m.Params.Reset || m.Params.Position != f.since:
		return m, wrong(fmt.Sprintf("resumed from %s with %s", f.since, b))
	}
	return m, nil
}

func (f *follower) read(ctx context.Context, ws *websocket.Conn, most int, done func(raw string) bool) (finished bool, err error) {
	for n := 0; n < most; {
		_, b, err := ws.Read(ctx)
		if err != nil {
			f.cuts++
			return false, err
		}
		raws := []string{string(b)}
		if f.mangle != nil {
			raws = f.mangle(raws[0])
		}
		for _, raw := range raws {
			var m heard
			if err := json.Unmarshal([]byte(raw), &m); err != nil {
				return false, wrong(err.Error())
			}
			if m.Params.Position != "" {
				f.since = m.Params.Position
			}
			if m.Method == "/v1/session/heartbeat" {
				continue
			}
			n++
			if f.got = append(f.got, raw); done != nil && done(raw) {
				return true, nil
			}
		}
	}
	f.cuts++
	return false, nil
}

// wrong is an answer that no cut connection explains.
type wrong string

func (w wrong) Error() string { return string(w) }

// isEnd recognises the last event of a test: a token of this name was created.
func isEnd(raw string) bool { return strings.Contains(raw, `"name":"the end"`) }

// check holds what the follower got against the user's feed: every event after the first position, once, in order, as it
// is stored, and nothing else. It returns what is wrong.
func (f *follower) check(feed []models.Event) (faults []string) {
	fault := func(format string, args ...any) {
		if len(faults) < 10 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	from, err := models.ParsePosition(f.first)
	if err != nil {
		fault("began at %q", f.first)
	}
	number := map[string]int64{}
	var want []string
	for i := range feed {
		if e := &feed[i]; e.Position > from.Number && !e.Internal() {
			raw := string(e.Notification())
			number[raw] = e.Position
			want = append(want, raw)
		}
	}
	times, last := map[string]int{}, int64(0)
	for _, raw := range f.got {
		n := number[raw]
		times[raw]++
		switch {
		case n == 0:
			fault("not of this feed: %.300s", raw)
		case times[raw] > 1:
			fault("position %d came again", n)
		case n < last:
			fault("position %d came after %d", n, last)
		}
		last = max(last, n)
	}
	for _, raw := range want {
		if times[raw] == 0 {
			fault("position %d never came", number[raw])
		}
	}
	return faults
}

// mustCheck fails the test for every fault of the follower.
func (f *follower) mustCheck(t testing.TB, feed []models.Event) {
	t.Helper()
	for _, fault := range f.check(feed) {
		t.Error(fault)
	}
}

// feedOf returns a user's whole feed.
func feedOf(t testing.TB, store *models.Store, userID string) []models.Event {
	t.Helper()
	var all []models.Event
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Position
		}
		page, err := store.EventsAfter(context.Background(), userID, after)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); len(page) < models.EventsPage {
			break
		}
	}
	for i := range all[min(1, len(all)):] {
		if all[i+1].Position != all[i].Position+1 {
			t.Errorf("the feed itself has a gap at %d", all[i].Position)
		}
	}
	return all
}

// caller is a connection that makes one call at a time.
type caller struct {
	ws *websocket.Conn
	id int64
}

// call returns the result, or the code of the error, or what ended the connection.
func (c *caller) call(ctx context.Context, method string, params any) (result []byte, code int, err error) {
	c.id++
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.id, "method": method, "params": params})
	if err != nil {
		return nil, 0, err
	}
	if err := c.ws.Write(ctx, websocket.MessageText, b); err != nil {
		_, _, closed := c.ws.Read(ctx) // which knows the close code
		if closed != nil {
			err = closed
		}
		return nil, 0, err
	}
	for {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			return nil, 0, err
		}
		var m heard
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, 0, err
		}
		if m.ID == nil || *m.ID != c.id {
			continue
		}
		if m.Error != nil {
			return nil, m.Error.Code, nil
		}
		return m.Result, 0, nil
	}
}

// person is a user of a test.
type person struct {
	name, session string
	actor         models.Actor
}

// person makes a user with permissions, signs him in, and returns him.
func (i *instance) person(name string, permissions models.Grants) person {
	i.t.Helper()
	ctx := context.Background()
	admin, err := i.store.Authenticate(ctx, models.NewSecret(i.session), "")
	if err != nil {
		i.t.Fatal(err)
	}
	by := models.Actor{Identity: admin, ChangeID: models.NewChangeID()}
	if _, err := i.store.CreateUser(ctx, by, name, models.CreateUserOptions{Password: models.NewSecret(adminPassword), Permissions: permissions}); err != nil {
		i.t.Fatal(err)
	}
	session := i.signIn(name, adminPassword)
	id, err := i.store.Authenticate(ctx, models.NewSecret(session), "")
	if err != nil {
		i.t.Fatal(err)
	}
	return person{name, session, models.Actor{Identity: id, ChangeID: models.NewChangeID()}}
}

// by is the person with another change.
func (p person) by() models.Actor {
	p.actor.ChangeID = models.NewChangeID()
	return p.actor
}

// end makes the change that tells followers of a person that the test is over.
func (i *instance) end(p person) {
	i.t.Helper()
	if _, _, err := i.store.CreateToken(context.Background(), p.by(), "the end", models.CreateTokenOptions{}); err != nil {
		i.t.Fatal(err)
	}
}
