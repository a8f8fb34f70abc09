package rpc

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// TestGroups: every feed that is needed is in one group, and those that are not in none, however they come and go.
func TestGroups(t *testing.T) {
	h := &hub{feeds: map[string]*feed{}}
	feeds := map[*feed]bool{}
	random := rand.New(rand.NewPCG(1, 2))
	next := 0
	for range 200 {
		for range random.IntN(groupSize) {
			feeds[h.retain(fmt.Sprint(next), models.Position{Number: 1})] = true
			next++
		}
		gone := random.IntN(len(feeds) + 1)
		for f := range feeds {
			if gone--; gone < 0 {
				break
			}
			delete(feeds, f)
			h.release(f)
		}
		h.regroup()
		seen := map[*feed]bool{}
		for _, g := range h.lookout.groups {
			if len(g.feeds) > groupSize {
				t.Fatal("a group of", len(g.feeds))
			}
			for _, f := range g.feeds {
				if seen[f] || !feeds[f] {
					t.Fatal("twice, or not needed")
				}
				seen[f] = true
			}
		}
		if len(seen) != len(feeds) || len(h.lookout.groups) > 2*(len(feeds)/groupSize)+2 {
			t.Fatalf("%d of %d feeds in %d groups", len(seen), len(feeds), len(h.lookout.groups))
		}
	}
}

// TestSumsThatAgree: where some feeds have gone back by as much as others have gone on, that is found by a look at each.
func TestSumsThatAgree(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		owner := l.user("ada")
		p := l.connect(owner.Identity)
		q := l.session()
		p.news()
		q.news()
		l.exec("UPDATE feeds SET position = position - 1 WHERE user_id = ?", owner.UserID)
		l.exec("UPDATE feeds SET position = position + 1 WHERE user_id = ?", l.UserID)
		time.Sleep((eachEvery + 1) * sweepEvery)
		p.want("close 1012")
	})
}

// TestManyFeeds: of many users, the one whose feed has gone on is found, also among those who came after the others.
func TestManyFeeds(t *testing.T) {
	inNodes(t, 2, "loses", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		var rows []string
		for i := range groupSize + 1 {
			id := fmt.Sprintf("0Vbq%016d", i)
			rows = append(rows, fmt.Sprintf("('%s',1,'aaaaaaaaaaaa')", id))
			b.s.hub.retain(id, models.Position{Number: 1, ChangeID: "aaaaaaaaaaaa"})
		}
		a.exec("INSERT INTO feeds (user_id, position, change_id) VALUES " + strings.Join(rows, ","))
		time.Sleep(sweepEvery)
		token := a.good()
		p := b.session()
		a.switches(token.secret, false)
		time.Sleep(nodeLease)
		p.want("enabled-changed")
		b.stops()
		for i, g := range b.s.hub.lookout.groups {
			if !b.s.hub.stands(t.Context(), g) {
				t.Errorf("group %d is read one by one", i)
			}
		}
	})
}
