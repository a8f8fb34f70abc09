package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// generations is how often each token of a stage has changed: what facts say, and up to where every verifier knows.
type generations struct {
	s      *stage
	tokens []string
	now    []atomic.Int64 // what the server says
	known  []atomic.Int64 // confirmed: nobody who asks from now on may be told less
}

func (g *generations) set(i int, n int64) (token string) {
	g.now[i].Store(n)
	return g.s.mint(fmt.Sprintf("t%dx", i), map[string]any{"username": strconv.FormatInt(n, 10)})
}

// change changes a token and returns when that is confirmed, or the connection has ended.
func (g *generations) change(i int) {
	g.set(i, g.now[i].Load()+1)
	l := g.s.last()
	l.numbering.Lock()
	l.seq++
	seq := l.seq
	l.tell(methodChanged, map[string]any{"seq": seq, "tokenIds": []string{fmt.Sprintf("t%dx", i)}})
	l.numbering.Unlock()
	for ; ; time.Sleep(50 * time.Microsecond) {
		l.mu.Lock()
		confirmed := l.confirmed >= seq
		l.mu.Unlock()
		select {
		case <-l.gone: // and with it its lease, for which a server would wait
			return
		default:
		}
		if confirmed {
			g.known[i].Store(g.now[i].Load())
			return
		}
	}
}

// However much happens at once, nobody is told of what was before a confirmed change, and no use is lost.
func TestStress(t *testing.T) {
	const tokens, askers, length = 20, 8, time.Second
	s := newStage(t)
	g := &generations{s: s, tokens: make([]string, tokens), now: make([]atomic.Int64, tokens), known: make([]atomic.Int64, tokens)}
	for i := range tokens {
		g.tokens[i] = g.set(i, 1)
	}
	s.on(methodConfirm, func(l *line, r *request) any {
		var seq [1]int
		r.read(t, &seq)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.confirmed = max(l.confirmed, seq[0])
		return nil
	})
	v := s.verifier(VerifierOptions{Size: tokens / 2, Lease: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var work sync.WaitGroup
	var used [tokens]atomic.Int64
	for range askers {
		work.Go(func() {
			for ctx.Err() == nil {
				i := rand.N(tokens)
				least := g.known[i].Load()
				d, err := v.Verify(context.Background(), g.tokens[i])
				if err != nil {
					continue
				}
				used[i].Add(1)
				if got, _ := strconv.ParseInt(d.Username, 10, 64); !d.Active || got < least {
					t.Errorf("%+v, where %d was known", d, least)
					return
				}
			}
		})
	}
	work.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			g.change(rand.N(tokens))
			if n == 100 || n == 200 { // the pauses grow
				s.last().cut()
				for before := len(s.all()); len(s.all()) == before && ctx.Err() == nil; {
					time.Sleep(time.Millisecond)
				}
			}
		}
	})
	work.Wait()
	stats := v.Stats()
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if stats.Hits < 100 || stats.Drops < 1 || stats.Evicted < 1 {
		t.Errorf("too little happened: %+v", stats)
	}
	sum := s.reports()
	for i := range tokens {
		if got := sum[fmt.Sprintf("t%dx", i)]; got.allowed != used[i].Load() {
			t.Errorf("token %d was used %d times, reported are %+v", i, used[i].Load(), got)
		}
	}
}
