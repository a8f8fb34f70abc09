package server_test

import (
	"context"
	stdjson "encoding/json" // numbers as they were sent
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models"
	"github.com/tokenwire/tokenwire/models/modelstest"
)

// TestTranscripts plays the files of testdata, each against a fresh server on each database. They are the protocol's
// documentation: what stands there is what goes over the wire.
//
//	// why                                  a comment
//	@connect a session bob                  signs bob in (everybody's password is <password>), connects as a, takes ready
//	@connect b token <secret>               the same with a credential; a last word ?since=… goes into the URL
//	@dial c token <secret>                  connects and leaves ready to the transcript
//	@expires when 1500ms                    sets <when> to that long from now
//	@after <a> <b>                          holds that b is not before a
//	@secret name text                       sets <name> to a text
//	@hour first                             the clock goes on past the next full hour, which is <first>
//	@ends 24h                               the clock goes on so far, and what is due of the ends of tokens is told
//	@prune 200h                             the clock goes on so far, and what is past its time is deleted
//	a--> message                            sent by a
//	a<-- message                            the next message that a gets, heartbeats left out
//	a<-- nothing                            no message waits for a
//	a<-- close 4401                         the server closes a
//	POST /api/v1/… [secret] params          a post with the credential in <secret>; [nobody] is without
//	HTTP 200 answer                         its answer; the answer may be left out where there is none
//
// What goes over the wire is also held against the OpenRPC document.
//
// A line that begins with a blank goes on with the one before. In what is expected, "<name>" captures on first use and
// must be the same afterwards, "<*>" is anything, and a member "..." lets an object have more members. Ids of messages
// must match byte for byte, all else as JSON values.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			modelstest.Each(t, func(t *testing.T, url string) {
				newPlayer(t, url, file).play(string(text))
			})
		})
	}
}

// player plays a transcript.
type player struct {
	t      *testing.T
	i      *instance
	clock  *clock
	conns  map[string]*conn
	vars   map[string]any // JSON values
	status int            // of the last post
	answer string
	place  string // file:line of the step under way
	file   string

	document *described
}

func newPlayer(t *testing.T, url, file string) *player {
	c := &clock{}
	i := startWith(t, url, models.Options{Now: c.now, EndsEvery: time.Hour}, nil) // only when a transcript says so
	return &player{t: t, i: i, clock: c, conns: map[string]*conn{}, vars: map[string]any{"password": adminPassword}, file: file, document: newDescribed(i)}
}

func (p *player) fatal(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s: %s", p.place, fmt.Sprintf(format, args...))
}

func (p *player) play(text string) {
	lines := strings.Split(text, "\n")
	for at := 0; at < len(lines); {
		step := lines[at]
		p.place = fmt.Sprintf("%s:%d", p.file, at+1)
		for at++; at < len(lines) && (strings.HasPrefix(lines[at], " ") || strings.HasPrefix(lines[at], "\t")); at++ {
			step += " " + strings.TrimSpace(lines[at])
		}
		if step = strings.TrimSpace(step); step != "" && !strings.HasPrefix(step, "//") {
			p.step(step)
		}
	}
}

var (
	message = regexp.MustCompile(`^(\w+)(-->|<--) (.*)$`)
	post    = regexp.MustCompile(`^POST (\S+) \[(\w+)\] ?(.*)$`)
	answer  = regexp.MustCompile(`^HTTP (\d+) ?(.*)$`)
)

func (p *player) step(step string) {
	if m := message.FindStringSubmatch(step); m != nil {
		c := p.conns[m[1]]
		if c == nil {
			p.fatal("no connection %s", m[1])
		}
		if m[2] == "-->" {
			text := p.fill(m[3])
			p.document.sent(c, text)
			c.send(text)
			return
		}
		p.expect(c, m[3])
		return
	}
	if m := post.FindStringSubmatch(step); m != nil {
		credential := ""
		if m[2] != "nobody" {
			credential = p.fill("<" + m[2] + ">")
		}
		params := p.fill(m[3])
		p.status, p.answer = p.i.post(m[1], credential, params)
		p.asDescribed(p.document.posted(m[1], params, p.status, p.answer))
		return
	}
	if m := answer.FindStringSubmatch(step); m != nil {
		if strconv.Itoa(p.status) != m[1] {
			p.fatal("got HTTP %d %s", p.status, p.answer)
		}
		if m[2] != "" || p.answer != "" {
			p.same(m[2], p.answer)
		}
		return
	}
	p.directive(strings.Fields(p.fill(step)))
}

func (p *player) directive(words []string) {
	switch {
	case len(words) >= 4 && (words[0] == "@connect" || words[0] == "@dial"):
		credential, query := words[3], strings.Join(words[4:], "")
		if words[2] == "session" {
			credential = p.i.signIn(credential, adminPassword)
		}
		p.vars[words[1]+"_credential"] = credential
		c := p.i.dial(credential, query)
		p.conns[words[1]] = c
		if words[0] == "@connect" {
			p.expect(c, `{"jsonrpc":"2.0","method":"/v1/session/ready","params":"<*>"}`)
		}
	case len(words) == 3 && words[0] == "@expires":
		d, err := time.ParseDuration(words[2])
		if err != nil {
			p.fatal("%v", err)
		}
		p.vars[words[1]] = models.TimeOf(time.Now().Add(d)).String()
	case len(words) == 3 && words[0] == "@after":
		if words[2] < words[1] {
			p.t.Errorf("%s: %s is before %s", p.place, words[2], words[1])
		}
	case len(words) == 3 && words[0] == "@secret":
		p.vars[words[1]] = words[2]
	case len(words) == 2 && words[0] == "@hour":
		now := p.clock.now()
		full := now.Truncate(time.Hour).Add(time.Hour)
		p.clock.forward(full.Sub(now) + time.Second) // the clock may be a little ahead of time
		p.vars[words[1]] = models.TimeOf(full).String()
	case len(words) == 2 && words[0] == "@prune":
		p.later(words[1], p.i.store.Prune)
	case len(words) == 2 && words[0] == "@ends":
		p.later(words[1], p.i.store.TellEnds)
	default:
		p.fatal("what is %q?", words)
	}
}

// later puts the clock forward and has the store do what is due by then.
func (p *player) later(duration string, do func(context.Context) (more bool, err error)) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		p.fatal("%v", err)
	}
	p.clock.forward(d)
	for more := true; more; {
		if more, err = do(p.t.Context()); err != nil {
			p.fatal("%v", err)
		}
	}
}

// expect reads the next message of a connection, or its end.
func (p *player) expect(c *conn, want string) {
	p.t.Helper()
	if want == "nothing" { // what waited would come before the answer
		c.send(`{"jsonrpc":"2.0","id":"nothing","method":"/v1/session/read"}`)
		want = `{"jsonrpc":"2.0","id":"nothing","result":"<*>"}`
	}
	got, err := c.read()
	if code, closes := strings.CutPrefix(want, "close "); closes {
		if err == nil || strconv.Itoa(int(websocket.CloseStatus(err))) != code {
			p.fatal("want close %s, got %s %v", code, got, err)
		}
		return
	}
	if err != nil {
		p.fatal("want %s, got %v", want, err)
	}
	p.asDescribed(p.document.received(c, got))
	p.same(want, got)
}

// asDescribed reports what is not as the OpenRPC document says.
func (p *player) asDescribed(wrong []string) {
	p.t.Helper()
	for _, w := range wrong {
		p.t.Errorf("%s: not as the document says: %s", p.place, w)
	}
}

var (
	quotedVariable = regexp.MustCompile(`"<(\w+)>"`)
	variable       = regexp.MustCompile(`<(\w+)>`)
)

// fill puts variables into what is sent: as JSON where the variable stands quoted and alone, else as text.
func (p *player) fill(text string) string {
	value := func(name string) any {
		v, ok := p.vars[name]
		if !ok {
			p.fatal("no variable <%s>", name)
		}
		return v
	}
	text = quotedVariable.ReplaceAllStringFunc(text, func(s string) string {
		b, err := stdjson.Marshal(value(s[2 : len(s)-2]))
		if err != nil {
			p.fatal("%v", err)
		}
		return string(b)
	})
	return variable.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprint(value(s[1 : len(s)-1])) })
}

// same reports where got is not as want says; the rest of the transcript is played even so.
func (p *player) same(want, got string) {
	p.t.Helper()
	if !jsontext.Value(got).IsValid() { // strict: no duplicate names, UTF-8
		p.fatal("not JSON: %s", got)
	}
	wrong := p.sameIDs(want, got)
	if wrong == "" {
		wrong = p.match(p.decode(want), p.decode(got), "")
	}
	if wrong != "" {
		p.t.Errorf("%s: %s\nwant %s\ngot  %s", p.place, wrong, want, got)
	}
}

func (p *player) decode(text string) (v any) {
	d := stdjson.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		p.fatal("%v in %s", err, text)
	}
	return v
}

// sameIDs compares the ids of messages, or of the messages of a batch, byte for byte.
func (p *player) sameIDs(want, got string) string {
	type envelope struct {
		Version stdjson.RawMessage `json:"jsonrpc"`
		ID      stdjson.RawMessage `json:"id"`
	}
	ids := func(text string) (ids []string) {
		var one envelope
		var all []envelope
		if stdjson.Unmarshal([]byte(text), &all) != nil && stdjson.Unmarshal([]byte(text), &one) == nil {
			all = []envelope{one}
		}
		for _, e := range all {
			if e.Version != nil {
				ids = append(ids, string(e.ID))
			}
		}
		return ids
	}
	if w, g := ids(want), ids(got); !slices.Equal(w, g) {
		return fmt.Sprintf("ids %q, want %q", g, w)
	}
	return ""
}

// match says where got is not as want, or nothing.
func (p *player) match(want, got any, path string) string {
	wrong := fmt.Sprintf("%s: got %v, want %v", path, got, want)
	switch want := want.(type) {
	case string:
		if !p.matchText(want, got) {
			return wrong
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return wrong
		}
		for i := range want {
			if w := p.match(want[i], list[i], fmt.Sprintf("%s[%d]", path, i)); w != "" {
				return w
			}
		}
	case map[string]any:
		object, ok := got.(map[string]any)
		_, more := want["..."]
		if !ok {
			return wrong
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if _, known := want[name]; !known && !more {
				return path + "." + name + " is not expected"
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			value, there := object[name]
			if name == "..." {
				continue
			}
			if !there {
				return path + "." + name + " is missing"
			}
			if w := p.match(want[name], value, path+"."+name); w != "" {
				return w
			}
		}
	default:
		if want != got {
			return wrong
		}
	}
	return ""
}

// matchText compares a string that may hold variables.
func (p *player) matchText(want string, got any) bool {
	if want == "<*>" {
		return true
	}
	if m := variable.FindString(want); m == want && m != "" {
		name := want[1 : len(want)-1]
		value, known := p.vars[name]
		if !known {
			p.vars[name] = got
			return true
		}
		return reflect.DeepEqual(value, got)
	}
	text, ok := got.(string)
	if !ok || !strings.Contains(want, "<") {
		return ok && text == want
	}
	pattern := variable.ReplaceAllStringFunc(strings.ReplaceAll(regexp.QuoteMeta(want), `<\*>`, `.*`), func(s string) string {
		name := s[1 : len(s)-1]
		if value, known := p.vars[name]; known {
			return regexp.QuoteMeta(fmt.Sprint(value))
		}
		return "(?P<" + name + ">.+?)"
	})
	form := regexp.MustCompile("^" + pattern + "$")
	m := form.FindStringSubmatch(text)
	for i := 1; i < len(m); i++ {
		p.vars[form.SubexpNames()[i]] = m[i]
	}
	return m != nil
}
