package rpc

import (
	"encoding/binary"
	"testing"

	"github.com/tokenwire/tokenwire/models"
)

// keepInTurn looks for facts, as many rounds as asked, and keeps those that it does not find in as much room as there is. It
// returns how many it did not find in the last round.
func keepInTurn(k *kept, room, first, n, rounds int) (missed int) {
	for range rounds {
		missed = 0
		for i := range n {
			var d models.Digest
			binary.BigEndian.PutUint64(d[:], uint64(first+i))
			if k.get(d) != nil {
				continue
			}
			missed++
			k.add(&fact{digest: d})
			for surplus := k.surplus(room); surplus != nil; surplus = k.surplus(room) {
				k.remove(surplus)
			}
		}
	}
	return missed
}

// TestKeptMakeWay: what is not used any more makes way for what is used now, and what is used stays when others come that
// are used once.
func TestKeptMakeWay(t *testing.T) {
	const room = 100
	k := &kept{}
	keepInTurn(k, room, 0, room, 2)
	if missed := keepInTurn(k, room, 1000, room*8/10, 3); missed > 0 {
		t.Errorf("%d of what is used now have no room", missed)
	}
	for n := range 10 * room { // each once, while the others are used
		keepInTurn(k, room, 10_000+n, 1, 1)
		if missed := keepInTurn(k, room, 1000, room/10, 1); missed > 0 {
			t.Fatalf("%d of what is used had to make way for what is not", missed)
		}
	}
	if n := k.len(); n != room {
		t.Errorf("%d are kept", n)
	}
}

// TestKeptInARoomOfOne: what has just come is not what makes way.
func TestKeptInARoomOfOne(t *testing.T) {
	k := &kept{}
	for n := range 10 {
		keepInTurn(k, 1, n, 1, 1)
		if missed := keepInTurn(k, 1, n, 1, 1); missed > 0 {
			t.Error("number", n, "is not kept")
		}
	}
}
