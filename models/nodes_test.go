package models

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// eachNodes runs a test on both databases with two nodes, the second of which has been wanted once.
func eachNodes(t *testing.T, test func(t *testing.T, s *Store, a, b string)) {
	t.Helper()
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		var ids [2]string
		for i := range ids {
			id, err := s.EnterNode(t.Context(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = id
		}
		if err := s.WantNodes(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
		test(t, s, ids[0], ids[1])
	})
}

// node returns a node as it is, or nil.
func (s *Store) node(t *testing.T, id string) *Node {
	t.Helper()
	nodes, err := s.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return nil
	}
	return &nodes[i]
}

// said returns what nodes acknowledge of a user.
func (s *Store) said(t *testing.T, userID string) []Acknowledgement {
	t.Helper()
	_, all, err := s.Settlement(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// answers has a node answer, and fails the test unless it is there, or not there.
func (s *Store) answers(t *testing.T, id string, wanted int64, want bool, all ...Acknowledgement) {
	t.Helper()
	if there, err := s.AnswerNodes(t.Context(), id, wanted, all); err != nil || there != want {
		t.Errorf("answer %d: %v, %v", wanted, there, err)
	}
}

func TestNodesAnswer(t *testing.T) {
	eachNodes(t, func(t *testing.T, s *Store, a, b string) {
		if n := *s.node(t, a); n != (Node{ID: a, Lease: 5000}) {
			t.Errorf("who asks is asked himself: %+v", n)
		}
		if n := *s.node(t, b); n != (Node{ID: b, Wanted: 1, Lease: 5000}) {
			t.Errorf("got %+v", n)
		}
		s.answers(t, b, 1, true)
		s.answers(t, b, 1, true) // also of what it had answered
		s.answers(t, b, 0, false)
		if n := s.node(t, b); n.Answered != 1 {
			t.Errorf("an answer was taken back: %+v", n)
		}
		if n := s.node(t, a); n.Answered != 0 {
			t.Errorf("one node answers for another: %+v", n)
		}
		s.answers(t, "nobody", 1, false)
	})
}

// A node is removed only as it was when that was found out.
func TestRemoveNode(t *testing.T) {
	eachNodes(t, func(t *testing.T, s *Store, a, b string) {
		silent := *s.node(t, b)
		s.answers(t, b, 1, true, Acknowledgement{UserID: "ada", NodeID: b, Seq: 1}, Acknowledgement{UserID: "bea", NodeID: b, Seq: 2})
		if err := s.Acknowledge(t.Context(), []Acknowledgement{{UserID: "ada", NodeID: a, Seq: 1}}); err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveNode(t.Context(), silent); err != nil || s.node(t, b) == nil || len(s.said(t, "ada")) != 2 {
			t.Errorf("a node that has answered meanwhile was removed: %v", err)
		}
		if err := s.RemoveNode(t.Context(), *s.node(t, b)); err != nil || s.node(t, b) != nil || s.node(t, a) == nil {
			t.Errorf("it was not removed: %v", err)
		}
		if all := s.said(t, ""); len(all) != 1 || all[0].NodeID != a {
			t.Errorf("left of what it said: %+v", all)
		}
		s.answers(t, b, 1, false)
	})
}

func TestExtendNodeLease(t *testing.T) {
	eachNodes(t, func(t *testing.T, s *Store, a, b string) {
		for _, lease := range []time.Duration{7 * time.Second, 6 * time.Second} {
			if there, err := s.ExtendNodeLease(t.Context(), a, lease); err != nil || !there {
				t.Error(there, err)
			}
		}
		if n := s.node(t, a); n.Lease != 7000 {
			t.Errorf("got %+v", n)
		}
		if n := s.node(t, b); n.Lease != 5000 {
			t.Errorf("got %+v", n)
		}
		if there, err := s.ExtendNodeLease(t.Context(), "nobody", time.Second); err != nil || there {
			t.Error(there, err)
		}
	})
}

// What was held up on its way does not undo what came after it, of one user as of many.
func TestLaterAcknowledgementStays(t *testing.T) {
	eachNodes(t, func(t *testing.T, s *Store, a, b string) {
		say := func(all ...Acknowledgement) {
			t.Helper()
			if err := s.Acknowledge(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
		early := Acknowledgement{UserID: "ada", NodeID: a, Seq: 3, Position: 7}
		late := Acknowledgement{UserID: "ada", NodeID: a, Seq: 4, Position: 9, Settled: true, Counts: []byte("[9]")}
		say(early)
		say(late)
		say(Acknowledgement{UserID: "bea", NodeID: a, Seq: 5, Position: 2}, early, Acknowledgement{UserID: "ada", NodeID: b, Seq: 1, Position: 8})
		all := s.said(t, "ada")
		if len(all) != 2 {
			t.Fatalf("got %+v", all)
		}
		for _, got := range all {
			got.Time = 0
			switch {
			case got.NodeID == a && (got.Seq != 4 || got.Position != 9 || !got.Settled || string(got.Counts) != "[9]"):
				t.Errorf("a later one was undone: %+v", got)
			case got.NodeID == b && (got.Position != 8 || got.Settled):
				t.Errorf("got %+v", got)
			}
		}
		if open := s.said(t, ""); len(open) != 2 || slices.ContainsFunc(open, func(a Acknowledgement) bool { return a.Settled }) {
			t.Errorf("not settled: %+v", open)
		}
	})
}

// What the database says already is told apart from what it does not: of another position, state or node, and of what is about to
// be deleted.
func TestUnsaid(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.Now()
		s, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		all := func(node string) []Acknowledgement {
			return []Acknowledgement{{UserID: "ada", NodeID: node, Seq: 7, Position: 3, Settled: true}, {UserID: "bea", NodeID: node, Seq: 8, Position: 4, Settled: true, Counts: []byte("[1]")}}
		}
		unsaid := func(node string, want ...string) {
			t.Helper()
			left, err := s.Unsaid(t.Context(), node, all(node))
			got := []string{}
			for _, a := range left {
				got = append(got, a.UserID)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("not said: %v, %v, want %v", got, err, want)
			}
		}
		if err := s.Acknowledge(t.Context(), all("a")); err != nil {
			t.Fatal(err)
		}
		unsaid("a")
		unsaid("b", "ada", "bea")
		for _, other := range []string{"position = 2", "position = 4", "settled = 0", "counts = X'78'"} {
			if err := s.write.Exec("UPDATE acknowledgements SET " + other + " WHERE user_id = 'ada'").Error; err != nil {
				t.Fatal(err)
			}
			unsaid("a", "ada")
			if err := s.write.Exec("UPDATE acknowledgements SET position = 3, settled = 1, counts = X'' WHERE user_id = 'ada'").Error; err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Duration(acknowledgementsKept/2+1) * time.Millisecond)
		unsaid("a", "ada", "bea")
	})
}

// What was said is kept for as long as somebody may wait for it, or it is not settled. A node that was removed, and went on, says
// what nobody waits for.
func TestPruneAcknowledgements(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.Now()
		s, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		id, err := s.EnterNode(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Acknowledge(t.Context(), []Acknowledgement{
			{UserID: "settled", NodeID: id, Seq: 1, Settled: true}, {UserID: "open", NodeID: id, Seq: 2}, {UserID: "gone", NodeID: "gone", Seq: 3},
		}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{1, 0} {
			if _, err := s.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(s.said(t, "settled")) != want || len(s.said(t, "gone")) != want || len(s.said(t, "open")) != 1 {
				t.Errorf("kept %+v, %+v, %+v", s.said(t, "settled"), s.said(t, "gone"), s.said(t, "open"))
			}
			now = now.Add(time.Duration(acknowledgementsKept+1) * time.Millisecond)
		}
	})
}

// A node says what it has to say, however many changes wait for each other. SQLite has one writer.
func TestNodesWaitForNoChanges(t *testing.T) {
	s := openStore(t, modelstest.MariaDB(t))
	id, err := s.EnterNode(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range mysqlConns {
		tx := s.write.Begin()
		defer tx.Rollback()
		if tx.Error != nil {
			t.Fatal(tx.Error)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if there, err := s.AnswerNodes(ctx, id, 1, nil); err != nil || !there {
		t.Error(there, err)
	}
}
