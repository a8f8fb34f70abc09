package models

import (
	"context"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// openStore opens a store on a fresh database.
func openStore(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// takeReaders takes all connections that people's reads have, until free is called.
func (s *Store) takeReaders(t *testing.T) (free func()) {
	t.Helper()
	pool, err := s.read.DB()
	if err != nil {
		t.Fatal(err)
	}
	var conns []interface{ Close() error }
	for range pool.Stats().MaxOpenConnections {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// A node stays current, whatever people read meanwhile.
func TestFollowingWaitsForNoReads(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		if _, err := s.Bootstrap(t.Context(), NewSecret("correct horse")); err != nil {
			t.Fatal(err)
		}
		var user User
		if err := s.read.Take(&user).Error; err != nil {
			t.Fatal(err)
		}
		defer s.takeReaders(t)()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if positions, err := s.Positions(ctx, []string{user.ID}); err != nil || positions[user.ID].Number != 1 {
			t.Errorf("got %v, %v", positions, err)
		}
		if events, err := s.NewEvents(ctx, user.ID, 0); err != nil || len(events) != 1 {
			t.Errorf("got %v, %v", events, err)
		}
	})
}
