package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokenwire/tokenwire/models/modelstest"
)

// exchange is a message and its answer, "" for none. Answers are matched as in transcripts.
type exchange struct{ name, sent, want string }

const (
	errorParse   = `{"jsonrpc":"2.0","error":{"code":-32700,"message":"<*>"},"id":null}`
	errorInvalid = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"<*>"},"id":null}`
)

// specification holds every example of the JSON-RPC 2.0 specification (section 7), in its order, with methods of ours:
// subtract is set-enabled (positional and named), the others are session/read.
var specification = []exchange{
	{"positional", `{"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": ["<token>", true], "id": 1}`,
		`{"jsonrpc": "2.0", "result": {"id":"<token>","...":0}, "id": 1}`},
	{"positional, the other way", `{"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": [true, "<token>"], "id": 2}`,
		`{"jsonrpc": "2.0", "error": {"code": -32602, "message": "<*>", "data": {"param": "tokenId"}}, "id": 2}`},
	{"named", `{"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": {"tokenId": "<token>", "enabled": true}, "id": 3}`,
		`{"jsonrpc": "2.0", "result": {"id":"<token>","...":0}, "id": 3}`},
	{"named, the other way", `{"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": {"enabled": true, "tokenId": "<token>"}, "id": 4}`,
		`{"jsonrpc": "2.0", "result": {"id":"<token>","...":0}, "id": 4}`},
	{"notification", `{"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": ["<token>", true]}`, ``},
	{"notification without params", `{"jsonrpc": "2.0", "method": "/v1/session/read"}`, ``},
	{"notification of a method that there is not", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
	{"a method that there is not", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, `{"jsonrpc": "2.0", "error": {"code": -32601, "message": "<*>"}, "id": "1"}`},
	{"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, errorParse},
	{"invalid request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, errorInvalid},
	{"batch of invalid JSON", `[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]`, errorParse},
	{"empty batch", `[]`, errorInvalid},
	{"batch of one that is none", `[1]`, `[` + errorInvalid + `]`},
	{"batch of three that are none", `[1,2,3]`, `[` + errorInvalid + `,` + errorInvalid + `,` + errorInvalid + `]`},
	{"batch", `[
        {"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": ["<token>", true], "id": "1"},
        {"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": ["<token>", true]},
        {"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": {"enabled":true,"tokenId":"<token>"}, "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "/v1/session/read", "id": "9"}
    ]`, `[
        {"jsonrpc": "2.0", "result": {"id":"<token>","...":0}, "id": "1"},
        {"jsonrpc": "2.0", "result": {"id":"<token>","...":0}, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "<*>"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "<*>"}, "id": "5"},
        {"jsonrpc": "2.0", "result": {"user":"<*>","...":0}, "id": "9"}
    ]`},
	{"batch of notifications", `[
        {"jsonrpc": "2.0", "method": "/v1/session/read"},
        {"jsonrpc": "2.0", "method": "/v1/api-tokens/set-enabled", "params": ["<token>", true]}
    ]`, ``},
}

// invalid holds requests that are not valid: -32600, with the id wherever one can be read.
func invalid() (all []exchange) {
	withID := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32600,"message":"<*>"}}`
	}
	for _, c := range [][2]string{
		{`{"method":"/v1/session/read","id":7}`, withID("7")},
		{`{"jsonrpc":"1.0","method":"/v1/session/read","id":"v"}`, withID(`"v"`)},
		{`{"jsonrpc":2.0,"method":"/v1/session/read","id":7}`, withID("7")},
		{`{"jsonrpc":null,"method":"/v1/session/read","id":7}`, withID("7")},
		{`{"JSONRPC":"2.0","method":"/v1/session/read","id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":null,"id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":["/v1/session/read"],"id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","params":"x","id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","params":null,"id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","params":1}`, withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":true}`, withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":[7]}`, withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":{"a":7}}`, withID("null")},
		{`{}`, withID("null")},
		{`7`, withID("null")}, {`"x"`, withID("null")}, {`null`, withID("null")}, {`true`, withID("null")},
		// A name that comes twice. Which id is meant cannot be told where it is the id.
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":7,"id":8}`, withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":7,"\u0069d":7}`, withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","method":"/v1/session/sign-out","id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","jsonrpc":"2.0","method":"/v1/session/read","id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","params":[],"params":[],"id":7}`, withID("7")},
		// Answers to requests that the server never made.
		{`{"jsonrpc":"2.0","result":{},"id":7}`, withID("7")},
		{`{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":null}`, withID("null")},
		// Nested beyond all sense, but within the size.
		{strings.Repeat("[", 30000) + strings.Repeat("]", 30000), withID("null")},
		{`{"jsonrpc":"2.0","method":"/v1/session/read","id":7,"params":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, withID("null")},
	} {
		all = append(all, exchange{c[0][:min(len(c[0]), 90)], c[0], c[1]})
	}
	for _, broken := range []string{
		``, ` `, `{`, `[`, `[1,]`, `{"a":1,}`, `{'a':1}`, `nul`, "\ufeff{}", `{"jsonrpc":"2.0","method":"/v1/session/read","id":01}`, `{"jsonrpc":"2.0","method":"/v1/session/read","id":+1}`,
		`{"jsonrpc":"2.0","method":"/v1/session/read","id":7}}`, `{"jsonrpc":"2.0","method":"/v1/session/read","id":7} x`, `{"jsonrpc":"2.0","method":"/v1/session/read","id":7}{"jsonrpc":"2.0","method":"/v1/session/read","id":8}`,
		`[{"jsonrpc":"2.0","method":"/v1/session/read","id":7}],`, "{\"jsonrpc\":\"2.0\",\"method\":\"a\nb\",\"id\":7}", strings.Repeat("[", 20), `{"jsonrpc":"2.0","method":"\x","id":7}`,
	} {
		all = append(all, exchange{"not JSON: " + broken, broken, errorParse})
	}
	return all
}

// ids come back byte for byte.
var ids = []string{
	`-7`, `0`, `-0`, `1.5`, `1.50`, `1e3`, `1E+3`, `-1.25e-300`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`,
	`123456789012345678901234567890`, `1e999`, `""`, `"7"`, `"ü\n\u0000"`, `"\u00fc\/\"\\"`, `"\ud83d\ude00😀"`, `"{\"a\":[1]}"`, `"<&>'"`, "\"\u2028\u2029\u007f\"", `null`,
	`"` + strings.Repeat("long ", 1000) + `"`,
}

func identified() (all []exchange) {
	for _, id := range ids {
		name := "id " + id[:min(len(id), 40)]
		all = append(all,
			exchange{name, `{"jsonrpc":"2.0","id":` + id + `,"method":"/v1/session/read"}`, `{"jsonrpc":"2.0","id":` + id + `,"result":"<*>"}`},
			exchange{name + ", an error, with blanks", ` { "id" : ` + id + "\t, \"method\":\"foobar\",\r\n\"jsonrpc\":\"2.0\" } ", `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32601,"message":"<*>"}}`},
			exchange{name + ", a slow method", `{"jsonrpc":"2.0","id":` + id + `,"method":"/v1/permissions/read"}`, `{"jsonrpc":"2.0","id":` + id + `,"result":"<*>"}`},
			exchange{name + ", in a batch", `[{"jsonrpc":"2.0","id":` + id + `,"method":"/v1/session/read"}]`, `[{"jsonrpc":"2.0","id":` + id + `,"result":"<*>"}]`},
			exchange{name + ", invalid", `{"jsonrpc":"2.1","id":` + id + `,"method":"/v1/session/read"}`, `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-32600,"message":"<*>"}}`})
	}
	return all
}

func batches() []exchange {
	batch := func(n int, answer bool) string {
		var parts []string
		for i := range n {
			if answer {
				parts = append(parts, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"<*>"}`, i))
			} else {
				parts = append(parts, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"/v1/session/read"}`, i))
			}
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return []exchange{
		{"100", batch(100, false), batch(100, true)},
		{"101", batch(101, false), errorInvalid},
		{"101 that are none", "[" + strings.Repeat("1,", 100) + "1]", errorInvalid},
		{"a batch in a batch", `[[{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}]]`, "[" + errorInvalid + "]"},
		{"unsolicited answers", `[{"jsonrpc":"2.0","result":1,"id":"a"},{"jsonrpc":"2.0","id":2,"method":"/v1/session/read"}]`,
			`[{"jsonrpc":"2.0","error":{"code":-32600,"message":"<*>"},"id":"a"},{"jsonrpc":"2.0","id":2,"result":"<*>"}]`},
		{"one wrong among good ones", `[{"jsonrpc":"2.0","id":1,"method":"/v1/session/read","params":[1]},{"jsonrpc":"2.0","method":"/v1/session/read","params":[1]},{"jsonrpc":"2.0","id":1,"method":"/v1/session/read"}]`,
			`[{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"<*>","data":{"param":"0"}}},{"jsonrpc":"2.0","id":1,"result":"<*>"}]`},
		{"members that we do not know", `{"jsonrpc":"2.0","id":1,"method":"/v1/session/read","trace":{"a":[1]}}`, `{"jsonrpc":"2.0","id":1,"result":"<*>"}`},
		{"params named twice", `{"jsonrpc":"2.0","id":1,"method":"/v1/api-tokens/set-enabled","params":{"tokenId":"<token>","tokenId":"<token>","enabled":true}}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"<*>","data":{"param":"tokenId"}}}`},
		{"params named twice, deeper", `{"jsonrpc":"2.0","id":1,"method":"/v1/api-tokens/set-enabled","params":["<token>",true,{"version":1,"version":2}]}`,
			`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"<*>","data":{"param":"options.version"}}}`},
		{"$/cancelRequest of nothing", `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":12345}}`, ``},
		{"$/cancelRequest of what cannot be", `{"jsonrpc":"2.0","method":"$/cancelRequest","params":[{"x":1}]}`, ``},
		{"$/cancelRequest without params", `{"jsonrpc":"2.0","method":"$/cancelRequest"}`, ``},
	}
}

// TestJSONRPC sends everything over one connection, which stays open, and again by POST. None of it changes anything, so
// that no notification comes between.
func TestJSONRPC(t *testing.T) {
	modelstest.Each(t, func(t *testing.T, url string) {
		p := newPlayer(t, url, t.Name())
		p.play("@connect a session admin\n" +
			`a--> {"jsonrpc":"2.0","id":0,"method":"/v1/api-tokens/create","params":["t"]}` + "\n" +
			`a<-- {"jsonrpc":"2.0","id":0,"result":{"id":"<token>","...":0}}` + "\n" +
			`a<-- {"jsonrpc":"2.0","method":"/v1/api-tokens/created","params":"<*>"}`)
		for _, group := range [][]exchange{specification, invalid(), identified(), batches()} {
			for _, e := range group {
				p.place = "connection: " + e.name
				p.conns["a"].send(p.fill(e.sent))
				if e.want != "" {
					p.expect(p.conns["a"], e.want)
				}
				p.expect(p.conns["a"], "nothing")
				p.place = "POST /api: " + e.name
				status, answer := p.i.post("/api", p.i.session, p.fill(e.sent))
				switch {
				case e.want == "" && (status != 204 || answer != ""):
					t.Errorf("%s: got %d %s, want 204", p.place, status, answer)
				case e.want != "" && status != 200:
					t.Errorf("%s: got %d %s", p.place, status, answer)
				case e.want != "":
					p.same(e.want, answer)
				}
			}
		}
	})
}

// TestCancel cancels a call that is known to wait: hashing passwords takes a core each, and those before it have them.
func TestCancel(t *testing.T) {
	p := newPlayer(t, modelstest.SQLite(t), t.Name())
	p.play("@connect busy session admin\n@connect a session admin")
	const others = 30 // fewer than may be under way
	create := `{"jsonrpc":"2.0","id":%s,"method":"/v1/users/create","params":["user%s",{"password":"<password>"}]}`
	for n := range others {
		p.conns["busy"].send(p.fill(fmt.Sprintf(create, fmt.Sprint(n), fmt.Sprint(n))))
	}
	first := p.conns["busy"].next() // one is done: all of them have been taken up
	p.conns["a"].send(p.fill(fmt.Sprintf(create, `"a victim"`, "-victim")))
	p.play(`a--> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"a victim"}}
a<-- {"jsonrpc":"2.0","id":"a victim","error":{"code":499,"message":"<*>"}}
a<-- nothing
a--> {"jsonrpc":"2.0","id":2,"method":"/v1/users/read","params":[{"where":{"username":"user-victim"}}]}
a<-- {"jsonrpc":"2.0","id":2,"result":{"users":[],"next":null}}`)
	for n := 1; n < others; n++ {
		if answer := p.conns["busy"].next(); !strings.Contains(answer, `"result":`) {
			t.Errorf("not cancelled, but got %s", answer)
		}
	}
	if !strings.Contains(first, `"result":`) {
		t.Error(first)
	}
}
