package rpc

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
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

// loseLast takes the last event of a user away, as an older state of the database would.
func (l *lab) loseLast(userID string) {
	l.t.Helper()
	l.exec("DELETE FROM events WHERE user_id = ? AND position = (SELECT position FROM feeds WHERE user_id = ?)", userID, userID)
	l.exec("UPDATE feeds SET position = position - 1 WHERE user_id = ?", userID)
}

// TestRestoredAndChanged: the change that comes in the place of one that was lost takes effect at once on the node where it is made.
func TestRestoredAndChanged(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		owner := l.user("ada")
		token := owner.token(models.PermissionManage)
		owner.token(models.PermissionManage)
		v := l.verifier(60, token)
		l.loseLast(owner.UserID)
		call := l.postAs(owner.Identity, setEnabled, "[%q,false]", token.id)
		call.want("waits")
		if l.s.hub.known(token.digest()) != nil {
			t.Error("it still answers from what it knew")
		}
		v.want("changed 1")
		v.confirm(1)
		call.want("1=1+0")
	})
}

// TestRestoredAndGoneOn: where a user's last event was lost, as with a host of the database, and others came in its place before a
// node looked, the node holds on to nothing that it knew of him, however far his feed has come by then.
func TestRestoredAndGoneOn(t *testing.T) {
	for since := range 3 {
		t.Run(fmt.Sprint(since), func(t *testing.T) {
			inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
				a, b := nodes[0], nodes[1]
				owner := a.user("ada")
				token := owner.token(models.PermissionManage)
				owner.token(models.PermissionManage)
				p, v := b.connect(owner.Identity), b.verifier(60, token)
				time.Sleep(sweepEvery)
				a.loseLast(owner.UserID)
				call := a.postAs(owner.Identity, setEnabled, "[%q,false]", token.id)
				for range since {
					owner.token(models.PermissionManage)
				}
				time.Sleep((eachEvery + 1) * sweepEvery)
				if v.want("changed 1"); b.s.hub.known(token.digest()) != nil {
					t.Error("it still answers from what it knew")
				}
				p.want("close 1012")
				v.confirm(1)
				<-call.done
			})
		})
	}
}

// TestRestoredAndSumsAgree: a node that was cut off from the database looks at each feed when it is back, before it says that it has
// read anything: what some have gone on others may have gone back.
func TestRestoredAndSumsAgree(t *testing.T) {
	inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		other := a.user("ada")
		token := a.good()
		b.connect(other.Identity)
		v := b.verifier(60, token)
		time.Sleep(sweepEvery)
		a.exec("ALTER TABLE nodes RENAME TO away")
		time.Sleep(sweepEvery)
		a.exec("ALTER TABLE away RENAME TO nodes")
		a.exec("UPDATE feeds SET position = position - 1 WHERE user_id = ?", other.UserID)
		call := a.post(setEnabled, "[%q,false]", token.id)
		time.Sleep(2 * sweepEvery)
		v.want("changed 1")
		v.confirm(1)
		<-call.done
	})
}
