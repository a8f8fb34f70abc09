package faults

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/models/modelstest/programs"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// host is a database server that a test breaks.
type host interface {
	Stop()
	Kill()
	Start()
	Freeze()
	Thaw()
}

// database is what the nodes share. A cluster is one of several hosts.
type database interface {
	addresses(node int) []string // of the hosts that a node is to ask; none for a file
	url(via []string) string     // the same as a URL, with other addresses in their place
	hosts() []host
	open(t testing.TB) []*sql.DB // each host, for who may do everything
}

// mariadb is one server. Nodes come as a user who may do everything to their database and no more.
type mariadb struct {
	*modelstest.Server
	name string
	at   string
}

func newMariaDB(t testing.TB) *mariadb {
	t.Helper()
	m := &mariadb{Server: modelstest.StartServer(t)}
	u, err := url.Parse(m.URL())
	if err != nil {
		t.Fatal(err)
	}
	m.at, m.name = u.Host, strings.Trim(u.Path, "/")
	allowNodes(t, m.open(t)[0], m.name)
	return m
}

// allowNodes makes the user that nodes come as.
func allowNodes(t testing.TB, db *sql.DB, name string) {
	t.Helper()
	for _, statement := range []string{"CREATE USER tokenwire", "GRANT ALL ON " + name + ".* TO tokenwire"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (m *mariadb) addresses(int) []string { return []string{m.at} }

func (m *mariadb) url(via []string) string { return "mysql://tokenwire@" + via[0] + "/" + m.name }

func (m *mariadb) hosts() []host { return []host{m.Server} }

func (m *mariadb) open(t testing.TB) []*sql.DB {
	return []*sql.DB{openSQL(t, "mysql", "root@tcp("+m.at+")/"+m.name)}
}

// file is SQLite, for one node.
type file string

func (f file) addresses(int) []string { return nil }

func (f file) url([]string) string { return string(f) }

func (f file) hosts() []host { return nil }

func (f file) open(t testing.TB) []*sql.DB {
	return []*sql.DB{openSQL(t, "sqlite", models.DatabaseFile(string(f))+"?_pragma=busy_timeout(5000)")}
}

func openSQL(t testing.TB, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(0) // a host that is killed leaves none that is dead
	t.Cleanup(func() { db.Close() })
	return db
}

// node is one process, and the networks around it.
type node struct {
	*servertest.Program
	front *wire // to its clients
	store wires // to the hosts of the database; none for a file
	bus   *wire // nil for none
	begin resources

	killed []time.Time // by faults
}

// end kills the node, and notes when.
func (n *node) end() {
	n.killed = append(n.killed, time.Now())
	n.Kill()
}

// url is where clients find it.
func (n *node) url() string { return "http://" + n.front.address() + "/api" }

// stage is all that is broken, and whoever may break it.
type stage struct {
	t     testing.TB
	nodes []*node
	data  database
	sql   []*sql.DB
	nats  *servertest.NATS // nil for none
	admin string           // the administrator's session
	http  *http.Client
}

// setting is what a stage is made of.
type setting struct {
	data   database
	nodes  int
	nats   bool
	binary string   // "" for Tokenwire as it is
	under  []string // a command that runs each node
	env    []string // of each node
	host   string   // that nodes listen on; "" for this machine alone
	near   string   // where nodes find the ways to database and bus; "" for the same
}

func newStage(t testing.TB, o setting) *stage {
	t.Helper()
	s := &stage{t: t, data: o.data, sql: o.data.open(t)}
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 2 * time.Second}}
	t.Cleanup(s.http.CloseIdleConnections)
	if o.nats {
		s.nats = servertest.StartNATS(t)
	}
	for range o.nodes {
		s.add(o)
	}
	s.admin = s.nodes[0].SignIn("admin", servertest.Password)
	for _, id := range scopes {
		s.nodes[0].Call(s.admin, "/v1/permissions/create", nil, id)
	}
	s.measure()
	return s
}

// measure has the nodes' present use of resources be what they have to come back to.
func (s *stage) measure() {
	time.Sleep(nodeLease) // each has looked by now
	for _, n := range s.nodes {
		n.begin = s.resourcesOf(n)
	}
}

// add starts a node more.
func (s *stage) add(o setting) {
	s.t.Helper()
	n, near := &node{}, cmp.Or(o.near, programs.Host)
	set := servertest.Setup{Binary: o.binary, Host: o.host, Under: o.under, Args: []string{"--tokens-per-user", "100000"}}
	if len(o.env) > 0 {
		set.Under = append(append([]string{"env"}, o.env...), o.under...)
	}
	var via []string
	for _, address := range s.data.addresses(len(s.nodes)) {
		w := newWire(s.t, address, near)
		n.store = append(n.store, w)
		via = append(via, w.address())
	}
	set.Database = s.data.url(via)
	if s.nats != nil {
		n.bus = newBus(s.t, strings.TrimPrefix(s.nats.URL(), "nats://"), near)
		set.Args = append(set.Args, "--nats", "nats://"+n.bus.address())
	}
	if len(s.nodes) > 0 {
		set.Key = s.nodes[0].KeyFile()
	}
	n.Program = servertest.StartWith(s.t, set)
	n.front = newWire(s.t, strings.TrimPrefix(n.URL(), "http://"), programs.Host)
	s.nodes = append(s.nodes, n)
}

// post calls a method at a node, as a client outside does.
func (s *stage) post(ctx context.Context, n *node, credential, method string, params ...any) (status int, answer []byte, err error) {
	body, err := json.Marshal(append([]any{}, params...)) // no params are [], not null
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", n.url()+method, strings.NewReader(string(body)))
	if err != nil {
		return 0, nil, err
	}
	return s.send(request, credential)
}

// send sends a request with a credential, and reads the whole answer.
func (s *stage) send(request *http.Request, credential string) (status int, answer []byte, err error) {
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// goesOn waits until every node makes changes, and answers them, by itself.
func (s *stage) goesOn(after string) {
	s.t.Helper()
	for i, n := range s.nodes {
		s.nodeGoesOn(i, n, after)
	}
}

func (s *stage) nodeGoesOn(i int, n *node, after string) {
	s.t.Helper()
	limit, warned := patience, false
	if _, is := s.data.(*galera); is {
		limit = clusterPatience
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		status, answer, err := s.post(ctx, n, s.admin, "/v1/api-tokens/create", "after a fault") // of which there may be enough for days
		cancel()
		if err == nil && status == http.StatusOK {
			return
		}
		if took := time.Since(began); took > limit {
			s.t.Fatalf("after %s node %d does not go on: %d %s %v\n%s", after, i, status, answer, err, s.states())
		} else if took > patience && !warned {
			warned = true
			s.t.Logf("after %s node %d takes long to go on: %d %s %v\n%s", after, i, status, answer, err, s.states())
		}
	}
}

// states is what the hosts of a cluster say of themselves, and what they do.
func (s *stage) states() (all string) {
	if _, is := s.data.(*galera); !is {
		return ""
	}
	for i, db := range s.sql {
		for _, query := range []string{
			"SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_flow_control_active', 'wsrep_local_recv_queue', 'wsrep_local_state_comment', 'wsrep_ready')",
			"SELECT COUNT(*) FROM nodes",
			"SELECT trx_mysql_thread_id, trx_state, trx_started, LEFT(trx_query, 100) FROM information_schema.innodb_trx",
			"SELECT id, user, command, time, state, LEFT(info, 100) FROM information_schema.processlist WHERE command <> 'Sleep'",
		} {
			began := time.Now()
			said, err := rowsOf(db, query)
			all += fmt.Sprintf("host %d: %v: %s %v\n", i, time.Since(began), said, err)
		}
	}
	return all
}

// rowsOf returns what a query gives, as text.
func rowsOf(db *sql.DB, query string) (all []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return all, err
		}
		var row []string
		for _, v := range values {
			row = append(row, v.String)
		}
		all = append(all, strings.Join(row, " "))
	}
	return all, rows.Err()
}
