package models

import (
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

func TestAttempts(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		now := time.UnixMilli(1_800_000_000_000)
		s, err := Open(t.Context(), url, Options{Key: KeySource{File: t.TempDir() + "/key"}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		one, two := Bucket{"one", 10 * time.Second, time.Minute}, Bucket{"two", time.Second, time.Hour}
		both := []Bucket{one, two}
		take := func(buckets ...Bucket) {
			t.Helper()
			if err := s.Take(t.Context(), s.Now(), buckets); err != nil {
				t.Fatal(err)
			}
		}
		want := func(seconds ...int) {
			t.Helper()
			taken, err := s.Taken(t.Context(), both)
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range seconds {
				if got := (taken[i] + time.Millisecond).Truncate(time.Second); got != time.Duration(n)*time.Second {
					t.Errorf("of bucket %d %v are taken, want %d s", i+1, taken[i], n)
				}
			}
		}
		want(0, 0)
		take(one)
		want(10, 0)
		take(both...)
		want(20, 1)
		now = now.Add(15 * time.Second)
		want(5, 0)
		take(two)
		want(5, 1)
		for range 10 {
			take(one)
		}
		want(60, 1) // no more than there is
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { s.Take(t.Context(), s.Now(), both) })
		}
		all.Wait()
		want(60, 21)
		now = now.Add(-time.Hour) // by a clock that was ahead
		want(0, 0)
		now = now.Add(time.Hour + time.Minute + time.Second)
		var rows int64
		for _, left := range []int64{2, 0} {
			if err := s.read.Model(&attempt{}).Count(&rows).Error; err != nil || rows != left {
				t.Errorf("%d rows, want %d, %v", rows, left, err)
			}
			if _, err := s.Prune(t.Context()); err != nil {
				t.Error(err)
			}
		}
		take(Bucket{"victim", time.Second, time.Minute})
		var row attempt
		if err := s.read.Take(&row).Error; err != nil || len(row.ID) != 32 {
			t.Errorf("got %v, %v", row, err)
		}
	})
}
