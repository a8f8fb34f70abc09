package models

import (
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

func TestSumPositions(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		ids := []string{newID(s.options.Now()), newID(s.options.Now()), newID(s.options.Now())}
		for i, id := range ids[:2] {
			if err := s.write.Create(&feed{UserID: id, Position: int64(10 * (i + 1)), ChangeID: "x"}).Error; err != nil {
				t.Fatal(err)
			}
		}
		for n, want := range map[int][2]int64{1: {1, 10}, 2: {2, 30}, 3: {2, 30}} {
			if feeds, sum, err := s.SumPositions(t.Context(), NewGroup(ids[:n])); err != nil || int64(feeds) != want[0] || sum != want[1] {
				t.Errorf("of %d: %d, %d, %v", n, feeds, sum, err)
			}
		}
		if feeds, sum, err := s.SumPositions(t.Context(), NewGroup(ids[2:])); err != nil || feeds != 0 || sum != 0 {
			t.Errorf("of nobody: %d, %d, %v", feeds, sum, err)
		}
		if NewGroup([]string{ids[0], "' OR ''='"}) != nil {
			t.Error("a group of what is no id")
		}
		if positions, err := s.Positions(t.Context(), ids); err != nil || len(positions) != 2 || positions[ids[1]].Number != 20 {
			t.Errorf("got %v, %v", positions, err)
		}
		if positions, err := s.Positions(t.Context(), nil); err != nil || len(positions) != 0 {
			t.Errorf("got %v, %v", positions, err)
		}
	})
}

// TestLookoutQuiet: it is quiet only if nothing was committed since what was seen to, by whomever; a database that cannot say never is.
func TestLookoutQuiet(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		l := s.Lookout()
		defer l.Close()
		quiet := func(want bool, when string) {
			t.Helper()
			if got := l.Quiet(t.Context()); got != (want && s.follow.Name() == "sqlite") {
				t.Errorf("%s: %v", when, got)
			}
		}
		quiet(false, "at first")
		quiet(false, "before it was seen to")
		l.Seen()
		quiet(true, "after that")
		if _, err := s.EnterNode(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		quiet(false, "after a commit")
		quiet(false, "after a commit that was not seen to")
		l.Seen()
		quiet(true, "after that")
		l.Close()
		quiet(false, "begun anew")
	})
}
