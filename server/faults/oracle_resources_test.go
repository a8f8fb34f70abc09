package faults

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// resources are what faults could leave behind in a node. Its connections to the database are not counted: how many it keeps is its
// own business, up to its limit, and so is how long. Each has a descriptor, and a goroutine that watches it.
type resources struct{ goroutines, descriptors, memory float64 }

// Room for what comes and goes by itself.
const (
	spareGoroutines  = 8
	spareDescriptors = 6         // such as the connection that asks, and its listener
	spareMemory      = 192 << 20 // of the process: the collector gives back late, and a password takes 64 MiB for a moment
)

// resourcesOf asks a node what it uses.
func (s *stage) resourcesOf(n *node) (r resources) {
	response, err := s.http.Get(strings.TrimSuffix(n.url(), "/api") + "/metrics")
	if err != nil {
		return r
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var name string
		var value float64
		if n, _ := fmt.Sscan(lines.Text(), &name, &value); n != 2 {
			continue
		}
		switch name {
		case "go_goroutines":
			r.goroutines = value
		case "process_open_fds":
			r.descriptors = value
		case "process_resident_memory_bytes":
			r.memory = value
		}
	}
	conns := float64(n.store.open())
	for _, w := range n.store { // and those that a dead server has ended, which the node finds out when it uses them
		conns += float64(endedAt(w.address()))
	}
	r.goroutines -= conns
	r.descriptors -= conns
	return r
}

// over tells in what a node uses more than at its beginning.
func (r resources) over(begin resources) (faults []string) {
	for _, one := range []struct {
		what              string
		now, begin, spare float64
	}{
		{"goroutines", r.goroutines, begin.goroutines, spareGoroutines},
		{"descriptors", r.descriptors, begin.descriptors, spareDescriptors},
		{"bytes of memory", r.memory, begin.memory, spareMemory},
	} {
		if one.now > one.begin+one.spare {
			faults = append(faults, fmt.Sprintf("resources: %.0f %s, %.0f at the beginning", one.now, one.what, one.begin))
		}
	}
	if r == (resources{}) {
		faults = append(faults, "resources: the node does not answer")
	}
	return faults
}

// judgeQuiet is the fifth oracle: whether all is as it was, soon after nothing is asked any more.
func (s *stage) judgeQuiet(within time.Duration) (faults []string) {
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		s.http.CloseIdleConnections()
		faults = s.locks()
		for i, n := range s.nodes {
			for _, fault := range s.resourcesOf(n).over(n.begin) {
				faults = append(faults, fmt.Sprintf("%s, of node %d", fault, i))
			}
		}
		if len(faults) == 0 || time.Now().After(deadline) {
			return faults
		}
	}
}

// locks tells which transactions hold locks in the database for longer than a moment.
func (s *stage) locks() (faults []string) {
	if len(s.data.hosts()) == 0 {
		return nil // a file: whoever held its lock would have stopped all changes
	}
	const query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_started < NOW() - INTERVAL 1 SECOND"
	for i, db := range s.sql {
		var n int
		if err := db.QueryRow(query).Scan(&n); err != nil || n > 0 {
			faults = append(faults, fmt.Sprintf("resources: %d transactions are open in host %d of the database %v", n, i, err))
		}
	}
	return faults
}

// endedAt returns how many connections to an address of this machine the other end has ended, and who opened them has not (CLOSE_WAIT).
// It is 0 where the kernel does not tell.
func endedAt(address string) (n int) {
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		return 0
	}
	defer table.Close()
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // number, local and remote address, state, all in base 16
		if len(fields) > 3 && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", number)) && fields[3] == "08" {
			n++
		}
	}
	return n
}
