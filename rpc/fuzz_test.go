package rpc

import (
	"bytes"
	stdjson "encoding/json" // the independent judge of what is JSON
	"fmt"
	"reflect"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tokenwire/tokenwire/models"
)

// surrogate finds escapes that may be half of a pair. Whether half a pair is JSON is where parsers differ (RFC 8259,
// section 8.2); RFC 7493 and we say no.
var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// FuzzMessage takes messages apart: never panics, agrees with encoding/json on what is JSON, and what it echoes as an id
// stands in the message.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"a","params":[1],"id":7}`, `{"jsonrpc":"2.0","method":"a"}`, `[]`, `[1,{"id":"x"}]`, `[{"jsonrpc":"2.0","method":"\u0061","id":null}]`,
		`{"id":1,"id":2}`, `{"jsonrpc":"2.0","method":"a","id":-1.5e3} x`, `{"jsonrpc":"2.0","method":"a","params":{"a":{"b":[]}},"id":"ü\n\u0000"}`, ` { } `, `{"a":"\ud800"}`, `[[[[`, "\x00", `{"id":1`, `"x"`, `1 2`,
		`{"jsonrpc":"2.0","method":"a","params":{"digest":"0a","options":{"hold":true,"permissions":["a","b"]}},"id":0}`, `{"method":"a","id":"x","jsonrpc":"2.0","params":[[],{},null,false]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		checkPlain(t, message)
		single, isSingle := parseSingle(message)
		requests, failed := parseBatch(message)
		if isSingle {
			requests = []request{single}
			if failed == nil {
				t.Fatalf("%q is a request and a batch", message)
			}
		}
		for _, r := range requests {
			checkRequest(t, message, r)
		}
		if !isSingle && (failed == nil) == (len(requests) == 0) {
			t.Fatalf("%q: %d requests and %v", message, len(requests), failed)
		}
		if deeperThan(message, maxDepth) || !utf8.Valid(message) || surrogate.Match(message) {
			return // refused before, or not the same everywhere
		}
		isJSON := isSingle || failed == nil || failed != errParse
		if valid := stdjson.Valid(message); valid != isJSON {
			t.Fatalf("%q: encoding/json says %v, we say %v", message, valid, isJSON)
		}
		trimmed := bytes.TrimLeft(message, " \t\r\n")
		if isJSON && (trimmed[0] == '{') != isSingle {
			t.Fatalf("%q: taken for a single request: %v", message, isSingle)
		}
	})
}

// checkPlain holds what is read the quick way to what the parser makes of it.
func checkPlain(t *testing.T, message []byte) {
	quick, ok := parsePlain(message)
	if !ok || !utf8.Valid(message) { // refused before
		return
	}
	if r, ok := parseObject(message); !ok || !reflect.DeepEqual(r, quick) {
		t.Fatalf("%q: quickly %+v, else %+v, %v", message, quick, r, ok)
	}
}

func checkRequest(t *testing.T, message []byte, r request) {
	if r.id != nil && !bytes.Equal(r.id, nullID) {
		if !bytes.Contains(message, r.id) {
			t.Fatalf("%q: the id %q is not in it", message, r.id)
		}
		if k := jsontext.Value(r.id).Kind(); k != '"' && k != '0' {
			t.Fatalf("%q: the id %q is no string or number", message, r.id)
		}
	}
	if r.err != nil {
		if r.id == nil || r.method != "" {
			t.Fatalf("%q: invalid, with id %q and method %q", message, r.id, r.method)
		}
		return
	}
	if r.params != nil && r.params[0] != '[' && r.params[0] != '{' {
		t.Fatalf("%q: params %q", message, r.params)
	}
	id := r.id
	if id == nil {
		id = nullID
	}
	if reply := appendResult(nil, id, []byte("{}")); !jsontext.Value(reply).IsValid() {
		t.Fatalf("%q: the reply %q is not JSON", message, reply)
	}
}

// structOf makes a struct with a method's params as its fields.
func structOf(params []param) reflect.Type {
	fields := make([]reflect.StructField, len(params))
	for i, p := range params {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("P%d", i), Type: p.typ, Tag: reflect.StructTag(fmt.Sprintf(`json:%q`, p.name))}
	}
	return reflect.StructOf(fields)
}

// FuzzParams gives the params decoder of every method the same input. It never panics, answers with a refusal that callers
// may see, and takes only what the strict decoder of the JSON library takes for the whole.
func FuzzParams(f *testing.F) {
	for _, seed := range []string{
		`["x"]`, `{"name":"x","options":{"permissions":{"a":true},"expiresAt":"2027-01-31T12:00:00Z"}}`, `["x",true,{"version":1}]`, `{"tokenId":"x","permissions":{"a":false}}`,
		`[{"where":{"name":["like","x"],"enabled":true},"orderBy":[["name","asc"]],"limit":1,"after":"x","offset":1}]`, `{"options":{"orderBy":"name","where":{"name":"x"}}}`, `[null]`, `{"options":null}`,
		`{"options":null,"options":{}}`, `{"name":"x","name":"y"}`, `{"sessionId":"\ud800"}`, `["x",{}]]`, `{"userId":"x","enabled":1}`, `{}`, `[]`, `[`, `{"a`, `7`, ``, `{"current":"x","new":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	table := (&Service{}).table()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if deeperThan(raw, maxDepth) || !utf8.Valid(raw) {
			return // refused before
		}
		for _, m := range table {
			typ := structOf(m.params)
			decoded := reflect.New(typ)
			if err := decodeParams(raw, m.params, decoded); err != nil {
				if told := refusal(err); told == nil || !utf8.ValidString(told.Message) || !jsontext.Value(marshalError(told)).IsValid() {
					t.Fatalf("%s %q: %v", m.name, raw, err)
				}
				continue
			}
			strict := reflect.New(typ)
			if err := json.Unmarshal(named(t, m, raw), strict.Interface(), json.RejectUnknownMembers(true)); err != nil {
				t.Fatalf("%s takes %q, strictly: %v", m.name, raw, err)
			}
			if got, want := revealed(t, decoded), revealed(t, strict); got != want {
				t.Fatalf("%s reads %q as %s, strictly %s", m.name, raw, got, want)
			}
		}
	})
}

// revealed writes a value with its secrets, so that they can be compared.
func revealed(t *testing.T, v reflect.Value) string {
	reveal := json.MarshalFunc(func(s models.Secret) ([]byte, error) { return json.Marshal(s.Reveal()) })
	b, err := json.Marshal(v.Interface(), json.WithMarshalers(reveal), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// named writes params by position as params by name. A null leaves an optional one out.
func named(t *testing.T, m *method, raw []byte) []byte {
	var values []jsontext.Value
	if jsontext.Value(raw).Kind() == '{' {
		var all map[string]jsontext.Value
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatalf("%s takes %q, strictly: %v", m.name, raw, err)
		}
		for name, v := range all {
			if v.Kind() == 'n' {
				delete(all, name)
			}
		}
		b, _ := json.Marshal(all)
		return b
	}
	if err := json.Unmarshal(raw, &values); err != nil {
		t.Fatalf("%s takes %q, strictly: %v", m.name, raw, err)
	}
	all := map[string]jsontext.Value{}
	for i, v := range values {
		if v.Kind() != 'n' {
			all[m.params[i].name] = v
		}
	}
	b, _ := json.Marshal(all)
	return b
}
