package faults

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestReceiptWithoutDatabase: a change that is made, and whose receipt cannot be had as the database goes away while other nodes are
// waited for, is not said to be none.
func TestReceiptWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: newMariaDB(t), nodes: 2})
	var made answered
	s.nodes[0].Call(s.admin, "/v1/api-tokens/create", &made, "ci")
	s.nodes[1].Freeze()
	version := func() (version int64) {
		if err := s.sql[0].QueryRow("SELECT version FROM api_tokens WHERE id = ?", made.ID).Scan(&version); err != nil {
			t.Error(err)
		}
		return version
	}
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		for deadline := time.Now().Add(patience); version() == 1 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(nodeLease / 4) // until the node knows, too; it waits for the other one for four times that, at least
		s.nodes[0].store.refuse()
	}()
	status, answer, err := s.post(context.Background(), s.nodes[0], s.admin, "/v1/api-tokens/set-enabled", made.ID, false)
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(string(answer), "the change is made") {
		t.Errorf("%d %s %v", status, answer, err)
	}
	<-refused
	if v := version(); v != 2 {
		t.Errorf("the token has version %d", v)
	}
}
