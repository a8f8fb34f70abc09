package modelstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

const (
	// galeraHosts is the least number of which one may fail.
	galeraHosts = 3
	// galeraPorts are those of a host beside that of its clients: of the cluster, of what a host missed, of a whole copy.
	galeraPorts = 3
	// galeraReady bounds how long a cluster takes to be whole again: a host that stood still is missed after 3 s.
	galeraReady = 60 * time.Second

	galeraOptions = "gcache.size=8M;evs.keepalive_period=PT0.5S;"

	// Hosts that say nothing are given up after seconds, where the default is 15, and one without a cluster says so soon.
	whereHostsEnd = "evs.suspect_timeout=PT3S;evs.inactive_timeout=PT8S;repl.causal_read_timeout=PT3S;"

	// Where no test ends one, a host that says nothing is only waiting for a machine that has too much to do.
	whereNoneEnds = "evs.suspect_timeout=PT20S;evs.inactive_timeout=PT40S;repl.causal_read_timeout=PT9S;"
)

// sharedCluster is the cluster that all tests of this process use, unless they start their own.
var sharedCluster struct {
	once    sync.Once
	cluster *cluster
	err     error
}

// Galera returns the URLs of one fresh database at the hosts of a MariaDB Galera cluster, which the tests of this process
// share. No test may stop any of them.
func Galera(t testing.TB) []string {
	t.Helper()
	installed, provider := requireGalera(t)
	sharedCluster.once.Do(func() {
		if sharedCluster.err = programs.AtEnd(endCluster); sharedCluster.err == nil {
			sharedCluster.cluster, sharedCluster.err = newCluster(installed, provider, whereNoneEnds)
		}
	})
	if sharedCluster.err != nil {
		t.Fatalf("shared Galera cluster: %v", sharedCluster.err)
	}
	c := sharedCluster.cluster
	name, err := c.createDatabase()
	if err != nil {
		t.Fatalf("fresh database: %v", err)
	}
	t.Cleanup(func() {
		if err := c.hosts[0].exec("DROP DATABASE " + name); err != nil {
			t.Errorf("drop the database of this test: %v", err)
		}
	})
	return c.urls(name)
}

func endCluster() error {
	sharedCluster.once.Do(func() {})
	if sharedCluster.cluster == nil {
		return nil
	}
	return sharedCluster.cluster.remove()
}

// Cluster is a MariaDB Galera cluster of one test's own, for tests of what happens when hosts fail. Its methods are for the
// goroutine that runs the test, and end it if they fail.
type Cluster struct {
	t        testing.TB
	cluster  *cluster
	database string
}

// StartCluster returns a running cluster that ends, with its data, when the test does.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	installed, provider := requireGalera(t)
	c, err := newCluster(installed, provider, whereHostsEnd)
	if err != nil {
		t.Fatalf("Galera cluster: %v", err)
	}
	t.Cleanup(func() {
		if err := c.remove(); err != nil {
			t.Errorf("end the Galera cluster: %v", err)
		}
	})
	name, err := c.createDatabase()
	if err != nil {
		t.Fatalf("fresh database: %v", err)
	}
	return &Cluster{t, c, name}
}

// URLs returns the URLs of the cluster's database at each of its hosts.
func (c *Cluster) URLs() []string { return c.cluster.urls(c.database) }

// URL returns the one URL that names all hosts.
func (c *Cluster) URL() string {
	var addresses []string
	for _, h := range c.cluster.hosts {
		addresses = append(addresses, h.address())
	}
	return "mysql://root@" + strings.Join(addresses, ",") + "/" + c.database
}

// Kill ends a host as a crash would.
func (c *Cluster) Kill(host int) {
	c.t.Helper()
	c.must("kill", c.cluster.hosts[host].end(syscall.SIGKILL))
}

// Freeze suspends hosts: their connections stay open and nothing is answered. The cluster gives them up after seconds; where
// they are more than half of it, the rest does no work.
func (c *Cluster) Freeze(hosts ...int) {
	c.t.Helper()
	for _, h := range hosts {
		c.must("freeze", c.cluster.hosts[h].freeze())
	}
}

// Thaw resumes frozen hosts and waits until they are back in the cluster.
func (c *Cluster) Thaw(hosts ...int) {
	c.t.Helper()
	for _, h := range hosts {
		c.must("thaw", c.cluster.hosts[h].thaw())
	}
	for _, h := range hosts {
		c.must("bring back", c.cluster.hosts[h].process.Poll(galeraReady, c.cluster.hosts[h].synced))
	}
}

func (c *Cluster) must(action string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s a Galera host: %v", action, err)
	}
}

// cluster is the hosts of a cluster, with their common folder.
type cluster struct {
	folder    string
	options   string // of the provider
	hosts     []*instance
	databases atomic.Int64
}

// requireGalera returns the installed MariaDB and its Galera library, or ends the test for the want of one.
func requireGalera(t testing.TB) (installed tools, provider string) {
	t.Helper()
	installed = requireTools(t)
	for _, folder := range []string{"/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib"} {
		if provider = filepath.Join(folder, "libgalera_smm.so"); exists(provider) {
			return installed, provider
		}
	}
	programs.Missing(t, "Galera cluster to test on", errors.New("libgalera_smm.so is not in /usr/lib/galera"))
	return installed, ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// newCluster makes a cluster and starts it. Its hosts begin as copies of one that has run once, so that those that join need
// no copy over the network, which takes seconds more.
func newCluster(installed tools, provider, options string) (*cluster, error) {
	folder, err := os.MkdirTemp("", "tokenwire-galera-")
	if err != nil {
		return nil, err
	}
	c := &cluster{folder: folder, options: options}
	name := rand.Text() // two clusters must never join; 32 characters at most
	for range galeraHosts {
		h := &instance{tools: installed, flush: flushPerSecond, folder: filepath.Join(folder, "host"+strconv.Itoa(len(c.hosts)))}
		h.galera = []string{
			"--wsrep-on=ON", "--wsrep-provider=" + provider, "--wsrep-cluster-name=" + name, "--wsrep-sst-method=rsync",
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=32M",
		}
		c.hosts = append(c.hosts, h)
	}
	if err := c.start(); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

func (c *cluster) start() error {
	first := c.hosts[0]
	for _, step := range []func() error{
		c.install,
		func() error { return c.run(first, "gcomm://") },
		func() error { return first.end(syscall.SIGTERM) },
		func() error { return os.Remove(filepath.Join(first.data(), "galera.cache")) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, h := range c.hosts[1:] {
		if err := os.CopyFS(h.folder, os.DirFS(first.folder)); err != nil {
			return err
		}
		if err := giveAway(h.folder); err != nil {
			return err
		}
	}
	if err := c.run(first, "gcomm://"); err != nil {
		return err
	}
	for _, h := range c.hosts[1:] {
		if err := c.run(h, "gcomm://"+first.group); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) install() error {
	if err := os.Chmod(c.folder, 0o755); err != nil { // hosts run as another user
		return err
	}
	if err := os.Mkdir(c.hosts[0].folder, 0o755); err != nil {
		return err
	}
	if err := giveAway(c.hosts[0].folder); err != nil {
		return err
	}
	return c.hosts[0].install()
}

// run starts a host and waits until it is part of the cluster.
func (c *cluster) run(h *instance, join string) error {
	return programs.OnFreePort(func(port int) error {
		if h.port == 0 {
			h.port = port
		}
		return programs.OnFreePorts(galeraPorts, func(ports []int) error {
			h.group = programs.Address(ports[0])
			h.member = []string{
				"--wsrep-node-address=" + h.group, "--wsrep-sst-receive-address=" + programs.Address(ports[2]),
				"--wsrep-provider-options=" + galeraOptions + c.options + "gmcast.listen_addr=tcp://" + h.group + ";ist.recv_addr=" + programs.Address(ports[1]),
			}
			h.join = []string{"--wsrep-cluster-address=" + join}
			if join == "gcomm://" {
				h.join = append(h.join, "--wsrep-new-cluster")
			}
			return h.startSynced()
		})
	})
}

// startSynced starts a host and waits until it is part of the cluster.
func (s *instance) startSynced() error {
	if err := s.start(); err != nil {
		return err
	}
	if err := s.process.Poll(galeraReady, s.synced); err != nil {
		return s.explain("join", err)
	}
	return nil
}

// synced returns nil if the host is part of the cluster and up to date.
func (s *instance) synced() error {
	state, err := s.status("wsrep_local_state_comment")
	if err == nil && state != "Synced" {
		err = fmt.Errorf("it is %s", state)
	}
	return err
}

// status returns what a host says of itself within the cluster.
func (s *instance) status(variable string) (value string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	db, err := s.open()
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SHOW STATUS LIKE '"+variable+"'").Scan(&variable, &value)
	return value, err
}

// createDatabase makes a database and returns its name, once all hosts know it.
func (c *cluster) createDatabase() (string, error) {
	name := fmt.Sprintf("test_%d", c.databases.Add(1))
	err := c.hosts[0].exec("CREATE DATABASE " + name)
	for _, h := range c.hosts {
		if err == nil {
			err = h.process.Poll(galeraReady, func() error { return h.exec("SHOW CREATE DATABASE " + name) })
		}
	}
	return name, err
}

func (c *cluster) urls(database string) (urls []string) {
	for _, h := range c.hosts {
		urls = append(urls, h.url(database))
	}
	return urls
}

func (c *cluster) remove() error {
	var errs []error
	for _, h := range c.hosts {
		errs = append(errs, h.remove())
	}
	return errors.Join(append(errs, os.RemoveAll(c.folder))...)
}

// galeraUser is who hosts run as where root starts them: rsync, by which they copy, refuses to serve root.
const galeraUser = "mysql"

// giveAway makes galeraUser the owner of a folder and all in it, if root has made it.
func giveAway(folder string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(galeraUser)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return errors.Join(err1, err2, filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, gid))
	}))
}
