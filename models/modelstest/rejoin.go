package modelstest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Stop shuts a host down in order: it leaves the cluster first.
func (c *Cluster) Stop(host int) {
	c.t.Helper()
	c.must("stop", c.cluster.hosts[host].end(syscall.SIGTERM))
}

// Start starts a host again after Stop or Kill, and waits until it has what it missed and is back in the cluster.
func (c *Cluster) Start(host int) {
	c.t.Helper()
	c.must("start", c.cluster.rejoin(c.cluster.hosts[host]))
}

// rejoin starts a host that was part of the cluster, with the ports that it had, and waits until it is so again. The others have
// missed it by then: before that, the cluster may agree neither on a member that is gone nor on the one that it has become.
func (c *cluster) rejoin(h *instance) error {
	if h.process.Running() {
		return errors.New("it is running already")
	}
	var others []string
	for _, other := range c.hosts {
		if other == h {
			continue
		}
		others = append(others, other.group)
		if err := other.process.Poll(galeraReady, func() error { return other.counts(len(c.hosts) - 1) }); err != nil {
			return other.explain("miss another host", err)
		}
	}
	h.join = []string{"--wsrep-cluster-address=gcomm://" + strings.Join(others, ",")}
	position, err := h.recover()
	if err != nil {
		return err
	}
	h.join = append(h.join, "--wsrep-start-position="+position)
	return h.startSynced()
}

// counts returns nil if the host is one of so many.
func (s *instance) counts(members int) error {
	size, err := s.status("wsrep_cluster_size")
	if err == nil && size != strconv.Itoa(members) {
		err = fmt.Errorf("it is one of %s", size)
	}
	return err
}

// recovered precedes the position in the log of who finds it.
const recovered = "WSREP: Recovered position: "

// recover returns how far a host has got that does not run. One that was killed has not written that down where it would look for
// it, and would take a whole copy from another one. It is asked first, as a system's service does.
func (s *instance) recover() (position string, err error) {
	p, err := s.launchServer("--wsrep-recover")
	if err != nil {
		return "", err
	}
	if err := p.Wait(readyLimit); err != nil {
		return "", s.explain("recover", errors.Join(err, p.Kill(stopLimit)))
	}
	log, err := os.ReadFile(s.log())
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(log), recovered)
	if !found {
		return "", s.explain("recover", errors.New("it does not say how far it has got"))
	}
	position, _, _ = strings.Cut(rest, "\n")
	return strings.TrimSpace(position), nil
}
