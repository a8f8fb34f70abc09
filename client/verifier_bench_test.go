package client

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// benchTokens are as many as a verifier holds by default; a power of two beside it, for a cheap choice.
const benchTokens = 8192

// benchmark returns a verifier that holds tokens, and the tokens.
func benchmark(b *testing.B) (*Verifier, []string) {
	s := newStage(b)
	v := s.verifier(VerifierOptions{})
	tokens := make([]string, benchTokens)
	for i := range tokens {
		tokens[i] = s.mint(fmt.Sprintf("t%d", i), map[string]any{"permissions": []string{"repo:read"}})
		session := v.session.Load()
		e := &entry{digest: digestOf(tokens[i]), life: term{length: never}, decision: Decision{Active: true, TokenID: fmt.Sprint(i)}}
		e.decision.entry = e
		v.mu.Lock()
		session.cache.put(e)
		v.mu.Unlock()
	}
	return v, tokens
}

// reference is the least that any such cache does: one SHA-256 and one look-up in a plain map.
func reference(tokens []string) map[[32]byte]*entry {
	known := make(map[[32]byte]*entry, len(tokens))
	for _, token := range tokens {
		known[sha256.Sum256([]byte(token))] = &entry{}
	}
	return known
}

func referred(known map[[32]byte]*entry, token string) *entry {
	var text [tokenSize]byte
	copy(text[:], token)
	return known[sha256.Sum256(text[:])]
}

// BenchmarkVerify and its like have a token that is held; their ratio to those of BenchmarkReference counts.
func BenchmarkVerify(b *testing.B) {
	v, tokens := benchmark(b)
	ctx := b.Context()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if d, err := v.Verify(ctx, tokens[i%benchTokens]); err != nil || !d.Active {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkReference(b *testing.B) {
	_, tokens := benchmark(b)
	known := reference(tokens)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if referred(known, tokens[i%benchTokens]) == nil {
			b.Fatal("not there")
		}
	}
}

func BenchmarkVerifyParallel(b *testing.B) {
	v, tokens := benchmark(b)
	ctx := b.Context()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if d, err := v.Verify(ctx, tokens[i%benchTokens]); err != nil || !d.Active {
				b.Error(d, err)
				return
			}
		}
	})
}

// All cores ask for one token, whose uses they count in one place.
func BenchmarkVerifyParallelOne(b *testing.B) {
	v, tokens := benchmark(b)
	ctx := b.Context()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if d, err := v.Verify(ctx, tokens[0]); err != nil || !d.Active {
				b.Error(d, err)
				return
			}
		}
	})
}

func BenchmarkReferenceParallel(b *testing.B) {
	_, tokens := benchmark(b)
	known := reference(tokens)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if referred(known, tokens[i%benchTokens]) == nil {
				b.Error("not there")
				return
			}
		}
	})
}

// A hit costs no allocation.
func TestVerifyAllocates(t *testing.T) {
	var allocated int64
	testing.Benchmark(func(b *testing.B) {
		v, tokens := benchmark(b)
		ctx := b.Context()
		before := v.Stats().Asked
		allocated = int64(testing.AllocsPerRun(1000, func() { _, _ = v.Verify(ctx, tokens[0]) }))
		if v.Stats().Asked != before {
			b.Error("it was not held")
		}
		for b.Loop() {
		}
	})
	if allocated != 0 {
		t.Errorf("%d allocations", allocated)
	}
}
