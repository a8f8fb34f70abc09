package models

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// Of more look-ups than can be made soon, some are refused at once, through every door alike; and as many as verifiers make that
// start together are not.
func TestLookupsAreBounded(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		secret := mintCredential(prefixToken, newID(time.Now()))
		digest := DigestOf(secret.Reveal())
		free := s.takeReaders(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		var failed atomic.Int64
		for range maxLookups / 2 {
			all.Go(func() {
				if _, err := s.Facts(ctx, digest); err != nil {
					failed.Add(1)
				}
			})
			all.Go(func() {
				if _, err := s.Authenticate(ctx, secret, ""); !errors.Is(err, ErrUnauthorized) {
					failed.Add(1)
				}
			})
		}
		for s.lookups.underWay.Load() < maxLookups {
			time.Sleep(time.Millisecond)
		}
		if _, err := s.Facts(ctx, digest); !errors.Is(err, ErrUnavailable) {
			t.Errorf("one more token: %v", err)
		}
		if _, err := s.Authenticate(ctx, secret, ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("one more credential: %v", err)
		}
		free()
		all.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d failed that were not too many", n)
		}
		if _, err := s.Facts(ctx, digest); err != nil || s.lookups.underWay.Load() != 0 {
			t.Errorf("afterwards: %v, and %d are under way", err, s.lookups.underWay.Load())
		}
	})
}
