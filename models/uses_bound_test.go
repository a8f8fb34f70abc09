package models

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// What is remembered is bounded: what is known by then goes on being counted, of a report nothing is taken in part, and what
// could not be written has its place.
func TestUsesAreBounded(t *testing.T) {
	s, err := Open(t.Context(), modelstest.SQLite(t), Options{Key: KeySource{File: t.TempDir() + "/key"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.uses.writing <- struct{}{} // nothing is written meanwhile
	id := func(n int) string { return fmt.Sprintf("%020d", n) }
	count := func(n int) (all int64) {
		for _, t := range s.uses.hours[id(n)] {
			all += t.Allowed
		}
		return all
	}
	for n := range usesMax - 1 {
		s.Used(id(n), 1, 0)
	}
	if err := s.ReportUses("ada", []Use{{TokenID: id(0), Allowed: 1}, {TokenID: id(usesMax), Allowed: 1}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := s.ReportUses("ada", []Use{{TokenID: id(usesMax - 1), Allowed: 1}}); err != nil {
		t.Error(err)
	}
	s.Used(id(usesMax), 1, 0)
	s.Used(id(0), 1, 0)
	if count(0) != 2 || count(usesMax-1) != 1 || count(usesMax) != 0 || s.uses.size != usesMax || len(s.uses.last) != usesMax {
		t.Errorf("there are %d, %d, %d of %d and %d", count(0), count(usesMax-1), count(usesMax), s.uses.size, len(s.uses.last))
	}
	last, hours := s.uses.take("")
	s.Used(id(0), 1, 0)
	s.Used(id(usesMax), 1, 0)
	s.uses.giveBack(last, hours)
	if count(0) != 3 || count(1) != 1 || count(usesMax) != 1 || s.uses.size != usesMax+1 {
		t.Errorf("there are %d, %d, %d of %d", count(0), count(1), count(usesMax), s.uses.size)
	}
	s.uses.take("")
	made := func(n int) []Use { return []Use{{TokenID: id(n), Allowed: 1}} }
	for n := range usesOfOne {
		if err := s.ReportUses("ada", made(n)); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := s.ReportUses("ada", made(usesOfOne)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one user reports all: %v", err)
	}
	if err := s.ReportUses("bob", made(usesOfOne)); err != nil {
		t.Errorf("another one has no room: %v", err)
	}
	s.uses.take("") // they are of no token
	if err := s.ReportUses("ada", made(0)); err != nil {
		t.Errorf("after they were written: %v", err)
	}
	s.uses.take("")
	<-s.uses.writing
}
