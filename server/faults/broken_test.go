package faults

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwire/tokenwire/models/modelstest"
	"github.com/tokenwire/tokenwire/server/servertest"
)

// breakage is a way in which Tokenwire is broken for a test, and the oracle that must see it.
type breakage struct {
	name     string // chosen by a variable of the environment
	file     string // from the module's folder
	at, with string // what of it is replaced, and by what
	nodes    int
	faults   []fault // that it takes to be seen
	want     string  // how what the oracle says begins
}

var breakages = []breakage{
	{"waits", "rpc/settlement.go", "	w := &settling{", "	if isBroken(\"waits\") {\n		return elsewhere{}\n	}\n	w := &settling{", 2, nil, "verification: "},
	{"current", "rpc/sweep.go", "	return now.Sub(h.began)-", "	return isBroken(\"current\") || now.Sub(h.began)-", 2, []fault{longer(networkFaults[4])}, "verification: "},
	{"skips", "rpc/hub.go", "	d := &delivery{event: e}\n	for c := range f.conns {", "	d := &delivery{event: e}\n	for c := range f.conns {\n		if isBroken(\"skips\") && e.Position%5 == 0 {\n			break\n		}", 1, nil, "events: "},
	{"events", "models/change.go", "	if len(c.events) == 1 {", "	if len(c.events) == 1 && isBroken(\"events\") {\n		return nil\n	}\n	if len(c.events) == 1 {", 1, nil, "database: "},
	{"takes", "rpc/verify.go", "	if fact == nil {\n		return Answer{}", "	if fact == nil && isBroken(\"takes\") {\n		return Answer{Active: true, Allowed: true, Facts: &models.Facts{}}\n	}\n	if fact == nil {\n		return Answer{}", 1, nil, "credentials: "},
	{"leaks", "rpc/hub.go", "	h.metrics.connections.Inc()", "	if isBroken(\"leaks\") {\n		go func() { select {} }()\n	}\n	h.metrics.connections.Inc()", 1, nil, "resources: "},
}

// longer has a fault last until receipts wait no more for a node that is gone.
func longer(f fault) fault {
	f.lasts = 3 * (nodeLease + lease)
	return f
}

// brokenVariable has a program that was built to be broken be so.
const brokenVariable = "TOKENWIRE_BROKEN"

// brokenSource is added to the packages that are broken.
const brokenSource = "\n\nimport \"os\"\n\nfunc isBroken(how string) bool { return os.Getenv(\"" + brokenVariable + "\") == how }\n"

// brokenBinary is Tokenwire with all breakages in it.
var brokenBinary = sync.OnceValues(func() (string, error) {
	changed := map[string]string{"rpc/broken.go": "package rpc" + brokenSource, "models/broken.go": "package models" + brokenSource}
	for _, b := range breakages {
		text := changed[b.file]
		if text == "" {
			file, err := os.ReadFile(filepath.Join("../..", b.file))
			if err != nil {
				return "", err
			}
			text = string(file)
		}
		if strings.Count(text, b.at) != 1 {
			return "", &os.PathError{Op: "break", Path: b.file, Err: os.ErrInvalid}
		}
		changed[b.file] = strings.Replace(text, b.at, b.with, 1)
	}
	return servertest.BuildChanged(changed)
})

// newShared returns a database on the server that tests share, which they do not break.
func newShared(t testing.TB) *shared {
	t.Helper()
	u, err := url.Parse(modelstest.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	return &shared{mariadb{at: u.Host, name: strings.Trim(u.Path, "/")}}
}

// shared is a database on such a server.
type shared struct{ mariadb }

func (s *shared) url(via []string) string { return "mysql://root@" + via[0] + "/" + s.name }

func (s *shared) hosts() []host { return nil }

// seenWithin is how long a broken program may take to be seen.
const seenWithin = 30 * time.Second

// TestOraclesSeeBrokenPrograms: a program that breaks a promise is found out, by the oracle of that promise.
func TestOraclesSeeBrokenPrograms(t *testing.T) {
	t.Parallel()
	binary, err := brokenBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			o := setting{nodes: b.nodes, binary: binary, env: []string{brokenVariable + "=" + b.name}}
			if b.nodes == 1 {
				o.data = file(modelstest.SQLite(t))
			} else {
				o.data = newShared(t)
			}
			s, random := newStage(t, o), random(t)
			for range 3 {
				if fault := newLoad(s, random).seen(b); fault != "" {
					t.Logf("seen: %.300s", fault)
					return
				}
			}
			t.Errorf("no oracle says %q", b.want)
		})
	}
}

// seen returns what the oracle says of a broken program, or "".
func (l *load) seen(b breakage) string {
	for deadline := time.Now().Add(seenWithin); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		faults := l.judgeAll()
		for _, f := range b.faults {
			time.Sleep(2 * lease) // so that there are tokens to be changed, and nodes that know them
			takeBack := f.put(l.stage, l.random)
			time.Sleep(f.lasts)
			takeBack()
			l.halt()
			faults = l.judgeAll()
		}
		if len(faults) == 0 && b.want == "resources: " && l.numbers.notices.Load() > 100 {
			l.abandon()
			for _, v := range l.verifiers {
				v.Close()
			}
			faults = l.judgeQuiet(time.Second)
		}
		for _, fault := range faults {
			if strings.HasPrefix(fault, b.want) {
				return fault
			}
		}
		if len(b.faults) > 0 {
			break
		}
	}
	return ""
}
