package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest/programs"
)

func TestMain(m *testing.M) { programs.Main(m) }

// long is how long the faults are to go on, or 0 for a short test.
func long(t testing.TB) time.Duration {
	t.Helper()
	value := os.Getenv("TOKENWIRE_TEST_LONG")
	if value == "" {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil { // as other tests have it: anything is long
		return time.Hour
	}
	return d
}

// random returns what decides a test, and says how to have it decide the same again.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if value := os.Getenv("TOKENWIRE_TEST_SEED"); value != "" {
		given, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			t.Fatalf("TOKENWIRE_TEST_SEED: %v", err)
		}
		seed = given
	}
	t.Logf("TOKENWIRE_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Times of the faults.
const (
	lease     = time.Second      // of the verifiers: the shortest that there is
	nodeLease = time.Second      // how long a node answers from memory without having looked
	patience  = 30 * time.Second // for what is sure to come

	// clusterPatience is for what a cluster has to agree on before: its hosts take each other for dead after 3 s, which they may be for
	// again and again where the machine has more to do than it can.
	clusterPatience = 90 * time.Second
)

// quiet is how long all may take to be as it was, when nothing is asked any more.
func quiet(t testing.TB) time.Duration {
	if long(t) > 0 {
		return 30 * time.Second
	}
	return 5 * time.Second
}
