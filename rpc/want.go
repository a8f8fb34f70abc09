package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/tokenwire/tokenwire/models"
)

// wants are the questions of this node to all others: one at a time is under way, however many calls wait for an answer.
type wants struct {
	mu    sync.Mutex
	under bool      // somebody asks them
	next  *question // that has not begun to be written; nil for none
}

// question is one of them, shared by the calls that began to wait before it was written.
type question struct {
	done  chan struct{} // closed when the rest is there
	nodes []models.Node // as they are after it was written
	err   error
}

// want asks all other nodes, and returns them as they are after that. What this call has committed was committed before they are
// asked: it does not share a question that is being written already, but the next one.
func (h *hub) want(ctx context.Context) ([]models.Node, error) {
	select {
	case <-h.stopping:
		return nil, errStopping
	default:
	}
	q := h.nextQuestion()
	select {
	case <-q.done:
		return q.nodes, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.stopping:
		return nil, errStopping
	}
}

// nextQuestion returns the one that has not begun to be written, and sees to it that it is.
func (h *hub) nextQuestion() *question {
	w := &h.wants
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = &question{done: make(chan struct{})}
		if !w.under {
			w.under = true
			done := h.waiting() // as the call that waits for it: it may go before
			go func() {
				defer done()
				h.askOthers()
			}()
		}
	}
	return w.next
}

// askOthers asks the questions that there are, one after the other.
func (h *hub) askOthers() {
	for q := h.wants.begin(); q != nil; q = h.wants.begin() {
		q.nodes, q.err = h.askNodes()
		close(q.done)
	}
}

// begin returns the next question, which nobody shares any more from now on, or nil for none.
func (w *wants) begin() *question {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.next
	w.next, w.under = nil, q != nil
	return q
}

// askNodes asks all other nodes once. It goes on when a call has gone: others may share it.
func (h *hub) askNodes() ([]models.Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTimeout)
	defer cancel()
	err := h.store.WantNodes(ctx, h.nodeID())
	at := time.Now()
	var nodes []models.Node
	if err == nil {
		nodes, err = h.store.Nodes(ctx)
	}
	if ctx.Err() != nil { // which is no end of a call's own time
		err = errNotAsked
	}
	if err != nil {
		return nil, err
	}
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	h.node.asked(nodes, at)
	return nodes, nil
}
