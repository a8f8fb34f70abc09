package modelstest

import (
	"errors"
	"os"
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

// rejoin starts a host that was part of the cluster, with the ports that it had, and waits until it is so again.
func (c *cluster) rejoin(h *instance) error {
	if h.process.Running() {
		return errors.New("it is running already")
	}
	var others []string
	for _, other := range c.hosts {
		if other != h {
			others = append(others, other.group)
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
