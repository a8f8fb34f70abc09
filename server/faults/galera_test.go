package faults

import (
	"database/sql"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// galera is a cluster. The first node asks one host. The others have all hosts in their URL, for when one is bad.
type galera struct {
	*modelstest.Cluster
	name string
	at   []string
}

func newGalera(t testing.TB) *galera {
	t.Helper()
	g := &galera{Cluster: modelstest.StartCluster(t)}
	for _, host := range g.URLs() {
		u, err := url.Parse(host)
		if err != nil {
			t.Fatal(err)
		}
		g.at, g.name = append(g.at, u.Host), strings.Trim(u.Path, "/")
	}
	allowNodes(t, g.open(t)[0], g.name)
	return g
}

func (g *galera) addresses(node int) []string {
	if node == 0 {
		return g.at[:1]
	}
	return slices.Concat(g.at[node:], g.at[:node])
}

func (g *galera) url(via []string) string {
	return "mysql://tokenwire@" + strings.Join(via, ",") + "/" + g.name
}

func (g *galera) hosts() (all []host) {
	for n := range g.at {
		all = append(all, member{g.Cluster, n})
	}
	return all
}

// open has reads see what was committed at any host.
func (g *galera) open(t testing.TB) (all []*sql.DB) {
	for _, at := range g.at {
		all = append(all, openSQL(t, "mysql", "root@tcp("+at+")/"+g.name+"?wsrep_sync_wait=1"))
	}
	return all
}

// member is a host of a cluster.
type member struct {
	cluster *modelstest.Cluster
	n       int
}

func (m member) Stop()   { m.cluster.Stop(m.n) }
func (m member) Kill()   { m.cluster.Kill(m.n) }
func (m member) Start()  { m.cluster.Start(m.n) }
func (m member) Freeze() { m.cluster.Freeze(m.n) }
func (m member) Thaw()   { m.cluster.Thaw(m.n) }

// missed is how long a host stands still until the others go on without it, and a little longer.
const missed = 4 * time.Second

// hostFaults are what happens to the hosts of a cluster, and between one and a node.
var hostFaults = []fault{
	{"a host frozen until the others go on", "database", missed, func(s *stage, random *rand.Rand) func() {
		h := s.host(random)
		h.Freeze()
		return h.Thaw
	}},
	{"a node cut off from a host", "store", 2 * lease, func(s *stage, random *rand.Rand) func() {
		all := s.one(random).store
		w := all[random.IntN(len(all))]
		w.refuse()
		return w.heal
	}},
	{"a node and a host apart", "store", 2 * lease, func(s *stage, random *rand.Rand) func() {
		all := s.one(random).store
		w := all[random.IntN(len(all))]
		w.stall(towards, back)
		return w.heal
	}},
}

// majorityLost freezes so many hosts that the rest is too small to go on.
var majorityLost = fault{"most hosts frozen", "database", missed, func(s *stage, random *rand.Rand) func() {
	c := s.data.(*galera)
	frozen := random.Perm(len(c.at))[1:]
	c.Freeze(frozen...)
	return func() { c.Thaw(frozen...) }
}}

// leaves is how long a node may take to leave a host that stands still: 10 s until it takes the silence for an end, and then a few calls.
const leaves = 18 * time.Second

// leaveHost freezes the host that the second node works with, and wants those that know several to go on with the majority.
func (l *load) leaveHost() {
	l.t.Helper()
	c, most, n := l.data.(*galera), 0, 0
	for i, w := range l.nodes[1].store {
		if open := w.open(); open > most {
			most, n = open, (1+i)%len(c.at)
		}
	}
	began := time.Now()
	c.Freeze(n)
	for i, node := range l.nodes[1:] { // the first knows one host only, and that may be the one
		l.nodeGoesOn(1+i, node, "the freeze of a host")
		took := time.Since(began)
		if l.t.Logf("node %d goes on %v after host %d was frozen", 1+i, took, n); took > leaves {
			l.t.Error("that is too late")
		}
	}
	c.Thaw(n)
}

// TestGalera: what three nodes on a cluster, joined by NATS, promise.
func TestGalera(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: newGalera(t), nodes: 3, nats: true})
	l := newLoad(s, random(t))
	faults := append(hostFaults[:2:2], databaseKilled, commitsCut)
	if long(t) > 0 {
		faults = concat(nodeFaults, databaseFaults, networkFaults, busFaults, hostFaults, []fault{majorityLost})
	}
	l.run(faults)
	l.leaveHost()
	l.meetRare()
	l.end("all of them")
}
