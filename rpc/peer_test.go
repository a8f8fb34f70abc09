package rpc

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

// lab is a service with its administrator, in a bubble whose clock goes on only when everything is still: what a minute's
// lease comes to takes no time.
type lab struct {
	actingAdmin
	s  *Service
	db *sql.DB // the database without the store
}

// inLab runs a test in a lab on SQLite.
func inLab(t *testing.T, test func(t *testing.T, l *lab)) {
	t.Helper()
	inLabOf(t, DefaultFacts, test)
}

// inLabOf is the same with room for so many tokens' facts.
func inLabOf(t *testing.T, facts int, test func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newLab(t, modelstest.SQLite(t), facts)) })
}

// eachLab runs a test on both databases, by the clock on the wall.
func eachLab(t *testing.T, test func(t *testing.T, l *lab)) {
	t.Helper()
	modelstest.Each(t, func(t *testing.T, url string) { test(t, newLab(t, url, DefaultFacts)) })
}

func newLab(t testing.TB, databaseURL string, facts int) *lab {
	t.Helper()
	return newNode(t, databaseURL, filepath.Join(t.TempDir(), "key"), Options{Facts: facts})
}

// newNode is a lab on a database that others may have, with a key in a file.
func newNode(t testing.TB, databaseURL, key string, o Options) *lab {
	t.Helper()
	store, err := models.Open(context.Background(), databaseURL, models.Options{Key: models.KeySource{File: key}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Bootstrap(context.Background(), models.NewSecret("correct horse battery")); err != nil {
		t.Fatal(err)
	}
	driver, source := "sqlite", "file:"+models.DatabaseFile(databaseURL)+"?_pragma=busy_timeout(5000)"
	if u, err := url.Parse(databaseURL); err == nil && u.Scheme == "mysql" {
		driver, source = "mysql", fmt.Sprintf("%s@tcp(%s)%s", u.User.Username(), u.Host, u.Path)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	o.Log, o.Metrics, o.Version = slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry(), "test"
	s := NewService(store, o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		db.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &lab{newActingAdmin(t, store), s, db}
}

// exec changes the database behind the store's back.
func (l *lab) exec(statement string, args ...any) {
	l.t.Helper()
	if _, err := l.db.Exec(statement, args...); err != nil {
		l.t.Fatalf("%s: %v", statement, err)
	}
}

// token is a token that a test makes.
type token struct {
	id     string
	secret models.Secret
}

func (l *lab) token(o models.CreateTokenOptions) token {
	l.t.Helper()
	made, secret, err := l.store.CreateToken(context.Background(), l.by(), "x", o)
	if err != nil {
		l.t.Fatal(err)
	}
	return token{made.ID, secret}
}

// good returns a token that has a permission of the administrator's.
func (l *lab) good() token {
	l.t.Helper()
	return l.token(models.CreateTokenOptions{Permissions: models.Grants{models.PermissionManage: true}})
}

// user makes a user with all built-in permissions and returns him as whoever acts.
func (l *lab) user(name string) actingAdmin {
	l.t.Helper()
	all := models.Grants{models.PermissionAdmin: true, models.PermissionManage: true, models.PermissionVerify: true}
	_, err := l.store.CreateUser(context.Background(), l.by(), name, models.CreateUserOptions{Password: models.NewSecret("correct horse battery"), Permissions: all})
	if err != nil {
		l.t.Fatal(err)
	}
	_, _, secret, err := l.store.SignIn(context.Background(), name, models.NewSecret("correct horse battery"), "", "")
	if err != nil {
		l.t.Fatal(err)
	}
	id, err := l.store.Authenticate(context.Background(), secret, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return actingAdmin{l.t, l.store, id}
}

// peer is a client of the lab's service, over a pipe.
type peer struct {
	*pipe
	served chan struct{} // closed when nothing of the connection is left
	seen   int           // messages that were looked at
	calls  int
}

// connect connects by a credential.
func (l *lab) connect(id *models.Identity) *peer {
	l.t.Helper()
	p := &peer{pipe: newPipe(l.t), served: make(chan struct{})}
	go func() {
		defer close(p.served)
		l.s.Serve(p, id, Door{}, Start{Position: id.Position})
	}()
	l.t.Cleanup(p.gone)
	if got := p.news(); !strings.HasPrefix(got, "ready") { // and what has happened since it signed in
		l.t.Fatal("connected, and got", got)
	}
	return p
}

// session connects the administrator.
func (l *lab) session() *peer {
	l.t.Helper()
	return l.connect(newActingAdmin(l.t, l.store).Identity)
}

// gone cuts the connection, and returns when nothing is left of it.
func (p *peer) gone() {
	p.Abort()
	<-p.served
}

// verifier connects one with a lease, which holds tokens.
func (l *lab) verifier(seconds int, held ...token) *peer {
	l.t.Helper()
	id, err := l.store.Authenticate(context.Background(), l.create(models.PermissionVerify), "")
	if err != nil {
		l.t.Fatal(err)
	}
	p := l.connect(id)
	p.beat(seconds)
	for _, t := range held {
		p.hold(t)
	}
	return p
}

func (p *peer) beat(seconds int) {
	p.t.Helper()
	p.call("/v1/verifier/beat", fmt.Sprintf(`[{"lease":%d}]`, seconds))
	p.want(fmt.Sprint(p.calls, " ok"))
}

func (p *peer) hold(t token) {
	p.t.Helper()
	p.verify(t)
	p.want(fmt.Sprint(p.calls, " held"))
}

func (p *peer) verify(t token) {
	p.call("/v1/verifier/verify", fmt.Sprintf(`[%q,{"hold":true}]`, t.secret.Reveal()))
}

// confirm confirms as verifiers do: without waiting for an answer.
func (p *peer) confirm(seq int) {
	p.in <- fmt.Sprintf(`{"jsonrpc":"2.0","method":"/v1/verifier/confirm","params":[%d]}`, seq)
}

func (p *peer) call(method, params string) {
	p.calls++
	p.in <- request1(p.calls, method, params)
}

func request1(id int, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

// news returns what has come since it was last asked, when everything is still.
func (p *peer) news() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var news []string
	for _, m := range p.got[p.seen:] {
		news = append(news, inShort(m)...)
	}
	p.seen = len(p.got)
	if p.code != 0 {
		news = append(news, fmt.Sprint("close ", p.code))
	}
	return strings.Join(news, ", ")
}

// messages returns how many have come, heartbeats too.
func (p *peer) messages() int {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

// want fails the test unless just this has come.
func (p *peer) want(news string) {
	p.t.Helper()
	if got := p.news(); got != news {
		p.t.Errorf("got %q, want %q", got, news)
	}
}

// inShort tells of messages: the last word of a notification's method, or a call's id and what came of it.
func inShort(message string) (out []string) {
	if strings.HasPrefix(message, "[") {
		var batch []rawMessage
		if err := json.Unmarshal([]byte(message), &batch); err != nil {
			return []string{err.Error()}
		}
		for _, m := range batch {
			out = append(out, inShort(string(m))...)
		}
		return []string{"[" + strings.Join(out, ", ") + "]"}
	}
	var m struct {
		ID     *int   `json:"id"`
		Method string `json:"method"`
		Params struct {
			Seq int `json:"seq"`
		} `json:"params"`
		Result struct {
			Active  bool     `json:"active"`
			Held    *bool    `json:"held"`
			Receipt *Receipt `json:"receipt"`
		} `json:"result"`
		Error *struct {
			Code int64 `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		return []string{err.Error() + ": " + message}
	}
	switch {
	case m.Method == "/v1/session/heartbeat":
		return nil
	case m.Method == methodChanged:
		return []string{fmt.Sprint("changed ", m.Params.Seq)}
	case m.ID == nil:
		return []string{m.Method[strings.LastIndexByte(m.Method, '/')+1:]}
	case m.Error != nil:
		return []string{fmt.Sprint(*m.ID, " error ", m.Error.Code)}
	case m.Result.Receipt != nil:
		return []string{fmt.Sprint(*m.ID, " ", m.Result.Receipt.short())}
	case m.Result.Held != nil && *m.Result.Held:
		return []string{fmt.Sprint(*m.ID, " held")}
	case m.Result.Active:
		return []string{fmt.Sprint(*m.ID, " active")}
	case strings.Contains(message, `"active":false`):
		return []string{fmt.Sprint(*m.ID, " inactive")}
	}
	return []string{fmt.Sprint(*m.ID, " ok")}
}

type rawMessage []byte

func (m *rawMessage) UnmarshalJSON(b []byte) error { *m = slices.Clone(b); return nil }

// short writes how many verifiers there were, confirmed, and ran out.
func (r *Receipt) short() string {
	return fmt.Sprintf("%d=%d+%d", r.Verifiers, r.Confirmed, r.Expired)
}

// post is a call through a door without connections.
type post struct {
	t      testing.TB
	hangUp context.CancelFunc
	done   chan struct{}
	result Receipt
	failed *jsonrpc2.Error
	took   time.Duration
}

// post makes a call of the administrator, who has no connection.
func (l *lab) post(method, format string, args ...any) *post {
	return l.postAs(l.Identity, method, format, args...)
}

func (l *lab) postAs(id *models.Identity, method, format string, args ...any) *post {
	ctx, cancel := context.WithCancel(context.Background())
	p := &post{t: l.t, hangUp: cancel, done: make(chan struct{})}
	begun := time.Now()
	go func() {
		defer close(p.done)
		result, failed := l.s.Call(ctx, id, Door{}, method, fmt.Appendf(nil, format, args...))
		var answer struct {
			Receipt Receipt `json:"receipt"`
		}
		if p.failed = failed; failed == nil {
			if err := json.Unmarshal(result, &answer); err != nil {
				p.t.Error(err)
			}
		}
		p.result, p.took = answer.Receipt, time.Since(begun)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// want fails the test unless the call has come to this when everything is still: "waits", "error <code>", or a receipt in
// short.
func (p *post) want(state string) {
	p.t.Helper()
	synctest.Wait()
	got := "waits"
	select {
	case <-p.done:
		if got = p.result.short(); p.failed != nil {
			got = fmt.Sprint("error ", p.failed.Code)
		}
	default:
	}
	if got != state {
		p.t.Errorf("the call: %s, want %s", got, state)
	}
}

// member returns a member of the results of all calls that have one, in their order.
func (p *peer) member(name string) string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	values := []string{}
	for _, m := range p.got {
		if _, rest, is := strings.Cut(m, fmt.Sprintf("%q:", name)); is {
			values = append(values, rest[:strings.IndexAny(rest, ",}")])
		}
	}
	return fmt.Sprint(values)
}
