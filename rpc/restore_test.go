package rpc

import (
	"testing"
	"time"
)

// TestLeaseOfARestoredNode: where the database was restored to what it was before leases were given, the others are told of
// them again, and wait for all of them.
func TestLeaseOfARestoredNode(t *testing.T) {
	inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		token := a.good()
		b.verifier(7, token)
		a.exec("UPDATE nodes SET lease = 0")
		time.Sleep(2 * sweepEvery)
		b.stops()
		call := a.post(setEnabled, "[%q,false]", token.id)
		call.wantWithin(nodeLease+7*time.Second, nodeLease+7*time.Second+slack, "0=0+0")
	})
}

// TestLeasesLonger: a verifier that asks for ever longer leases has its node tell the others whole seconds, and not each time.
func TestLeasesLonger(t *testing.T) {
	inNodes(t, 1, "is none", func(t *testing.T, nodes []*lab) {
		l := nodes[0]
		v := l.verifier(5)
		leases := func(seconds string, inRow int64) {
			t.Helper()
			v.call("/v1/verifier/beat", `[{"lease":`+seconds+`}]`)
			v.news()
			if got := l.row("SELECT lease FROM nodes"); got != inRow {
				t.Errorf("a lease of %s s, and the others are told %d ms, want %d", seconds, got, inRow)
			}
		}
		leases("5", 5000)
		leases("5.000001", 6000)
		l.exec("UPDATE nodes SET lease = 7000") // what is written would be seen
		leases("5.9", 7000)
		leases("6", 7000)
		leases("6.1", 7000)
		l.exec("UPDATE nodes SET lease = 6000")
		leases("7", 6000)
		leases("60", 60_000)
	})
}
