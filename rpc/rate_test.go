package rpc

import (
	"testing"

	"github.com/tokenwire/tokenwire/models"
)

// TestChangedRateLimit: who has used up a limit and is given another one is not held to what he did under the first.
func TestChangedRateLimit(t *testing.T) {
	r := newRates()
	facts := &models.Facts{TokenID: "x", RateLimit: &models.RateLimit{Requests: 2, Window: 86_400}}
	for _, good := range []bool{true, true, false} {
		if got := r.take(facts) == 0; got != good {
			t.Errorf("got %v, want %v", got, good)
		}
	}
	raised := &models.Facts{TokenID: "x", RateLimit: &models.RateLimit{Requests: 3, Window: 86_400}}
	for _, good := range []bool{true, true, true, false} {
		if got := r.take(raised) == 0; got != good {
			t.Errorf("after it was raised: got %v, want %v", got, good)
		}
	}
}
