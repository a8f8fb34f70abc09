package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// wantedOf returns how often a node was asked.
func (l *lab) wantedOf(node *lab) int64 {
	l.t.Helper()
	return l.row("SELECT wanted FROM nodes WHERE id = ?", node.s.hub.nodeID())
}

// answered is what became of a question: how often a node was asked after it, or why that is not known.
type answered struct {
	wanted int64
	err    error
}

// asks asks all other nodes, and returns what became of one of them.
func (l *lab) asks(ctx context.Context, node *lab) (got answered) {
	others, err := l.s.hub.want(ctx)
	for _, n := range others {
		if n.ID == node.s.hub.nodeID() {
			got.wanted = n.Wanted
		}
	}
	got.err = err
	return got
}

// TestQuestionBegun: a question that is being written is shared with nobody any more.
func TestQuestionBegun(t *testing.T) {
	h := &hub{}
	h.wants.under = true
	first := h.nextQuestion()
	if h.nextQuestion() != first || h.wants.begin() != first {
		t.Fatal("it is not shared before")
	}
	second := h.nextQuestion()
	if second == first || h.wants.begin() != second || h.wants.begin() != nil || h.wants.under {
		t.Error("it is shared, or not the next, or there are more")
	}
}

// TestQuestionsAreShared: calls that ask the other nodes while a question is under way share the next one, and none shares one
// that was written before it asked. A call that goes leaves the others their answer.
func TestQuestionsAreShared(t *testing.T) {
	inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		h := a.s.hub
		b.stops()
		before := a.wantedOf(b)
		answers := make(chan answered, 100)
		ask := func(ctx context.Context) { go func() { answers <- a.asks(ctx, b) }() }
		want := func(wanted int64) {
			t.Helper()
			if got := <-answers; got.err != nil || got.wanted != before+wanted {
				t.Errorf("asked for the %d. time, %v, want %d", got.wanted-before, got.err, wanted)
			}
		}
		ask(t.Context())
		want(1)
		conn, err := a.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil { // what is written waits
			t.Fatal(err)
		}
		h.wants.mu.Lock()
		h.wants.under = true // as if one were written
		h.wants.mu.Unlock()
		gone, leave := context.WithCancel(t.Context())
		ask(gone)
		synctest.Wait()
		for range 20 {
			ask(t.Context())
		}
		synctest.Wait()
		leave()
		if got := <-answers; !errors.Is(got.err, context.Canceled) {
			t.Error("a call that has gone:", got)
		}
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		h.askOthers() // it is over
		for range 20 {
			want(2)
		}
		ask(t.Context())
		want(3)
		if got := a.wantedOf(b); got != before+3 {
			t.Errorf("asked %d times", got-before)
		}
	})
}

// TestReceiptsShareQuestions: receipts that ask the other nodes together each wait for what those know of their own change.
func TestReceiptsShareQuestions(t *testing.T) {
	inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
		a, b := nodes[0], nodes[1]
		const calls = 30
		var calling []*post
		var held []token
		for range calls {
			held = append(held, a.good())
		}
		time.Sleep(nodeLease)
		v := b.verifier(60, held...)
		before := a.wantedOf(b)
		for _, t := range held {
			calling = append(calling, a.post(setEnabled, "[%q,false]", t.id))
		}
		time.Sleep(2 * time.Second)
		for _, call := range calling {
			call.want("waits")
		}
		v.news()
		v.confirm(calls)
		for _, call := range calling {
			if <-call.done; call.failed != nil || call.took < 2*time.Second || call.took > 2*time.Second+slack {
				t.Errorf("it took %v, %v", call.took, call.failed)
			}
		}
		if n := a.wantedOf(b) - before; n < 1 || n > calls {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestNoQuestionAfterTheEnd: a call that comes to ask as the service has ended begins nothing that nobody waits for.
func TestNoQuestionAfterTheEnd(t *testing.T) {
	inNodes(t, 2, "is none", func(t *testing.T, nodes []*lab) {
		h := nodes[0].s.hub
		nodes[0].s.Shutdown(t.Context())
		if _, err := h.want(t.Context()); err != errStopping || h.wants.under || h.wants.next != nil {
			t.Errorf("%v, %+v", err, &h.wants)
		}
	})
}

// TestCutBy: whatever ends the wait for a receipt, the caller is told that his change is made.
func TestCutBy(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct{ err, told error }{
		{context.DeadlineExceeded, errOutOfTime}, {lost, errNotAsked}, {models.ErrUnavailable, errNotAsked}, {errNotAsked, errNotAsked},
		{errStopping, errStopping}, {context.Canceled, context.Canceled}, {nil, nil},
	} {
		if got := cutBy(c.err); !errors.Is(got, c.told) || c.told != nil && c.told != context.Canceled && refusal(got).Message != refusal(c.told).Message {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if !errors.Is(cutBy(lost), lost) {
		t.Error("what it was is not logged")
	}
}
