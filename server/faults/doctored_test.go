package faults

import (
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// recording is a record of one owner that breaks no promise, and what the database has of him.
func recording() (*owner, stored) {
	const second = int64(time.Second)
	o := &owner{name: "ada", id: "ada"}
	t := &token{id: "t", secret: "s", first: standing{permissions: allScopes, held: allScopes}}
	o.tokens = []*token{t}
	o.changes = []*change{
		{kind: created, made: t, name: "t0", on: true, bits: allScopes, version: 1, told: 1, began: 1 * second, answered: 2 * second, tries: 1},
		{kind: enabled, token: t, on: false, version: 2, told: 2, began: 4 * second, answered: 5 * second, tries: 1},
		{kind: enabled, token: t, on: true, version: 3, told: 3, began: 8 * second, answered: 9 * second, tries: 1},
		{kind: granted, token: t, bits: 1, version: 4, began: 12 * second, tries: 1}, // it was not answered, and came into effect
	}
	t.looks = []look{
		{byNode, "call", 3 * second, 3*second + 1, sight{true, allScopes}},
		{byVerifier, "verifier", 3 * second, 3*second + 1, sight{true, allScopes}},
		{byNode, "call", 6 * second, 6*second + 1, sight{}},
		{byVerifier, "verifier", 6 * second, 6*second + 1, sight{}},
		{byNode, "call", 13 * second, 13*second + 1, sight{true, allScopes}},
		{byNode, "call", 16 * second, 16*second + 1, sight{true, 1}},
		{byVerifier, "verifier", 14 * second, 14*second + 1, sight{true, allScopes}},
		{byVerifier, "verifier", 16 * second, 16*second + 1, sight{true, 1}},
	}
	s := stored{on: true, rows: map[string]row{"t": {"t0", true, 4, 1}}, events: []models.Event{
		{Position: 1, Method: models.UserCreated, Params: []byte(`{"by":null}`)},
		{Position: 2, Method: models.TokenCreated, TokenID: "t", Params: []byte(`{"by":null,"token":{"id":"t","name":"t0","version":1,"permissions":{"repo:read":true,"repo:write":true}}}`)},
		{Position: 3, Method: models.TokenEnabledChanged, TokenID: "t", Params: []byte(`{"by":null,"tokenId":"t","enabled":false,"version":2}`)},
		{Position: 4, Method: models.TokenEnabledChanged, TokenID: "t", Params: []byte(`{"by":null,"tokenId":"t","enabled":true,"version":3}`)},
		{Position: 5, Method: models.TokenPermissionsChanged, TokenID: "t", Params: []byte(`{"by":null,"tokenId":"t","permissions":{"repo:read":true},"version":4}`)},
	}}
	f := &follower{finished: true}
	for i := range s.events {
		e := &s.events[i]
		e.ChangeID = fmt.Sprintf("change%06d", i)
		if i > 0 {
			f.got = append(f.got, notice{at: []int64{2, 5, 9, 13}[i-1] * second, raw: string(e.Notification())})
		}
	}
	f.first = s.events[0].At().String()
	o.followers = []*follower{f}
	return o, s
}

// doctored are records that break a promise, and what the oracles must say of them.
var doctored = []struct {
	name   string
	doctor func(o *owner, s *stored)
	want   string
}{
	{"nothing", func(*owner, *stored) {}, ""},
	{"a node accepts after the receipt", func(o *owner, _ *stored) { o.tokens[0].looks[2].said = sight{true, allScopes} }, "verification: "},
	{"a verifier accepts after the receipt", func(o *owner, _ *stored) { o.tokens[0].looks[3].said = sight{true, allScopes} }, "verification: "},
	{"a node refuses what is good", func(o *owner, _ *stored) { o.tokens[0].looks[0].said = sight{} }, "verification: "},
	{"a node is late without a receipt", func(o *owner, _ *stored) { o.tokens[0].looks[5].said = sight{true, allScopes} }, "verification: "},
	{"a verifier is late without a receipt", func(o *owner, _ *stored) { o.tokens[0].looks[7].said = sight{true, allScopes} }, "verification: "},
	{"a token that is deleted is accepted", func(o *owner, s *stored) {
		last := o.changes[3]
		last.kind, last.answered = deleted, int64(13*time.Second)
		s.events[4].Method, s.events[4].Params = models.TokenDeleted, []byte(`{"by":null,"tokenId":"t"}`)
		o.followers[0].got[3].raw = string(s.events[4].Notification())
		delete(s.rows, "t")
	}, "verification: "},
	{"a token of a user who is deleted is accepted", func(o *owner, s *stored) { endOwner(o, s); s.rows, s.on = nil, false }, "verification: "},
	{"a user who is deleted leaves a token", func(o *owner, s *stored) { endOwner(o, s); s.on = false }, "by the events"},
	{"a user who is deleted is there", func(o *owner, s *stored) { endOwner(o, s); s.rows = nil }, "switched on"},
	{"an event never came", func(o *owner, _ *stored) { f := o.followers[0]; f.got = slices.Delete(f.got, 1, 2) }, "never came"},
	{"the last event never came", func(o *owner, _ *stored) { f := o.followers[0]; f.got, f.finished = f.got[:3], false }, "never heard of the end"},
	{"an event came twice", func(o *owner, _ *stored) { f := o.followers[0]; f.got = append(f.got, f.got[1]) }, "came again"},
	{"events changed places", func(o *owner, _ *stored) { f := o.followers[0]; f.got[1], f.got[2] = f.got[2], f.got[1] }, "came late"},
	{"another's event", func(o *owner, _ *stored) {
		f := o.followers[0]
		f.got[1].raw = strings.Replace(f.got[1].raw, `"t"`, `"u"`, 1)
	}, "not of this feed"},
	{"a place was lost", func(o *owner, _ *stored) { o.followers[0].resets = 1 }, "its place in the feed is lost"},
	{"an answered change is not there", func(_ *owner, s *stored) { s.events = slices.Delete(s.events, 3, 4) }, "was answered and is not there"},
	{"a refused change is there", func(o *owner, _ *stored) { o.changes[3].tries = 0 }, "nobody asked for"},
	{"a change is there twice", func(_ *owner, s *stored) {
		again := s.events[4]
		again.Position++
		s.events = append(s.events, again)
	}, "nobody asked for"},
	{"a position is left out", func(_ *owner, s *stored) { s.events[4].Position++ }, "is that of the event"},
	{"a change is there by half", func(_ *owner, s *stored) { s.rows["t"] = row{"t0", true, 4, allScopes} }, "by the events"},
	{"a token is gone", func(_ *owner, s *stored) { delete(s.rows, "t") }, "is not there, and by the events"},
	{"an owner is off", func(_ *owner, s *stored) { s.on = false }, "switched on"},
	{"an answer with another version", func(o *owner, _ *stored) { o.changes[2].told = 4 }, "in place of"},
	{"an answer that nobody promises", func(o *owner, _ *stored) { o.odd = []string{"500"} }, "answers: "},
}

// endOwner deletes the owner of a record before the last verifications, which do not know.
func endOwner(o *owner, s *stored) {
	o.gone = true
	o.changes = append(o.changes, &change{kind: ownerGone, began: int64(14 * time.Second), answered: int64(15 * time.Second), tries: 1})
	s.events = append(s.events, models.Event{Position: 6, Method: models.UserEnded, ChangeID: "change000006", Params: []byte(`{"by":null,"reason":"` + models.ReasonUserDeleted + `"}`)})
}

// TestOraclesSeeDoctoredRecords: the oracles let a good record pass, and find what is wrong with any other.
func TestOraclesSeeDoctoredRecords(t *testing.T) {
	for _, d := range doctored {
		o, s := recording()
		d.doctor(o, &s)
		found := strings.Join(o.judge(s), "\n")
		if d.want == "" && found != "" || !strings.Contains(found, d.want) {
			t.Errorf("%s: the oracles find %q", d.name, found)
		}
	}
}

// TestOraclesSeeWhatIsLeft: more than there was is found, and what comes and goes is not.
func TestOraclesSeeWhatIsLeft(t *testing.T) {
	begin := resources{50, 20, 50 << 20}
	for name, c := range map[string]struct {
		now   resources
		wants int
	}{
		"the same":                   {begin, 0},
		"a little more":              {resources{52, 22, 80 << 20}, 0},
		"goroutines":                 {resources{90, 20, 50 << 20}, 1},
		"descriptors and goroutines": {resources{90, 40, 50 << 20}, 2},
		"memory":                     {resources{50, 20, 500 << 20}, 1},
		"no answer":                  {resources{}, 1},
	} {
		if faults := c.now.over(begin); len(faults) != c.wants {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// TestOraclesSeeHostsThatDiffer: a host that has something else of an owner than the first is found, and one that has the same is not.
func TestOraclesSeeHostsThatDiffer(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{data: file(modelstest.SQLite(t)), nodes: 1})
	l := newIdle(s, random(t))
	o := l.enter(l.last, l.last, &door{}, l.random)
	stored, err := l.readStored(s.sql[0], o)
	if err != nil || len(stored.rows) != tokensEach {
		t.Fatalf("%+v, %v", stored, err)
	}
	for i, c := range []struct {
		change string
		finds  int
	}{
		{"UPDATE meta SET value = 'x' WHERE name = 'ping'", 0},
		{"UPDATE api_tokens SET enabled = 1 - enabled WHERE id = (SELECT MIN(id) FROM api_tokens WHERE user_id = '" + o.id + "')", 1},
		{"DELETE FROM events WHERE position = 2 AND user_id = '" + o.id + "'", 1},
	} {
		other := filepath.Join(t.TempDir(), fmt.Sprint(i))
		s.must(s.sql[0], "VACUUM INTO '"+other+"'")
		s.sql = []*sql.DB{s.sql[0], openSQL(t, "sqlite", other)}
		s.must(s.sql[1], c.change)
		if faults := l.judgeHosts(o, stored); len(faults) != c.finds || c.finds > 0 && !strings.HasPrefix(faults[0], "database: ") {
			t.Errorf("%s: %q", c.change, faults)
		}
	}
	l.giveUp()
}

// TestEndedAt: a connection that the other end has ended is counted until it is closed here.
func TestEndedAt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		does func() error
		want int
	}{{func() error { return nil }, 0}, {far.Close, 1}, {near.Close, 0}} {
		if err := step.does(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); endedAt(listener.Addr().String()) != step.want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d are ended, want %d", endedAt(listener.Addr().String()), step.want)
			}
		}
	}
}
