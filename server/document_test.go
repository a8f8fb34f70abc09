package server_test

import (
	stdjson "encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// described holds what goes over the wire against GET /openrpc.json: params that were taken, results, errors and
// notifications are all as the document says.
type described struct {
	whole         map[string]any
	methods       map[string]describedMethod
	notifications map[string]any              // the schema of the params
	calls         map[*conn]map[string]called // by id: those that have no answer yet
}

type describedMethod struct {
	Params []struct {
		Name   string `json:"name"`
		Schema any    `json:"schema"`
	} `json:"params"`
	Result struct {
		Schema any `json:"schema"`
	} `json:"result"`
	Errors []struct {
		Code int64 `json:"code"`
	} `json:"errors"`
	PostOnly bool `json:"x-post-only"`
}

// called is a call as it was sent.
type called struct {
	Method string             `json:"method"`
	ID     stdjson.RawMessage `json:"id"`
	Params any                `json:"params"`
}

// reply is any message of the server.
type reply struct {
	Method string             `json:"method"`
	Params any                `json:"params"`
	ID     stdjson.RawMessage `json:"id"`
	Result any                `json:"result"`
	Error  *struct {
		Code int64 `json:"code"`
	} `json:"error"`
}

func newDescribed(i *instance) *described {
	_, text := i.ask("GET", "/openrpc.json", "", nil)
	var document struct {
		Methods []struct {
			Name string `json:"name"`
			describedMethod
		} `json:"methods"`
		Notifications []struct {
			Name   string `json:"name"`
			Params any    `json:"params"`
		} `json:"x-notifications"`
	}
	d := &described{methods: map[string]describedMethod{}, notifications: map[string]any{}, calls: map[*conn]map[string]called{}}
	if err := stdjson.Unmarshal([]byte(text), &document); err != nil {
		i.t.Fatal(err)
	}
	if err := stdjson.Unmarshal([]byte(text), &d.whole); err != nil {
		i.t.Fatal(err)
	}
	for _, m := range document.Methods {
		d.methods[m.Name] = m.describedMethod
	}
	for _, n := range document.Notifications {
		d.notifications[n.Name] = n.Params
	}
	return d
}

// each reads one message or the messages of a batch. What is no message is none.
func each[T any](text string) []T {
	var all []T
	var one T
	if stdjson.Unmarshal([]byte(text), &all) != nil && stdjson.Unmarshal([]byte(text), &one) == nil {
		all = []T{one}
	}
	return all
}

// sent remembers the calls of a message.
func (d *described) sent(c *conn, text string) {
	if d.calls[c] == nil {
		d.calls[c] = map[string]called{}
	}
	for _, call := range each[called](text) {
		d.calls[c][string(call.ID)] = call
	}
}

// received returns what of a message is not as the document says.
func (d *described) received(c *conn, text string) (wrong []string) {
	for _, r := range each[reply](text) {
		if schema, known := d.notifications[r.Method]; r.Method != "" && known {
			wrong = append(wrong, d.check(schema, r.Params, r.Method)...)
		} else if r.Method != "" {
			wrong = append(wrong, r.Method+" is no notification of the document")
		}
		if call, known := d.calls[c][string(r.ID)]; known && r.Method == "" {
			wrong = append(wrong, d.answered(call, r)...)
			if d.methods[call.Method].PostOnly && (r.Error == nil || r.Error.Code != 403) {
				wrong = append(wrong, call.Method+" is for POST only, and was answered on a connection")
			}
			delete(d.calls[c], string(r.ID))
		}
	}
	return wrong
}

// posted does the same for params alone and the answer to them.
func (d *described) posted(path, params string, status int, answer string) []string {
	call := called{Method: strings.TrimPrefix(path, "/api")}
	stdjson.Unmarshal([]byte(params), &call.Params) // what is no JSON is refused
	var r reply
	if status == 200 {
		stdjson.Unmarshal([]byte(answer), &r.Result)
	} else {
		stdjson.Unmarshal([]byte(answer), &r)
	}
	return d.answered(call, r)
}

func (d *described) answered(call called, r reply) (wrong []string) {
	m, known := d.methods[call.Method]
	if !known {
		return nil
	}
	if r.Error != nil {
		envelope := []int64{-32600, -32700, 413} // can come for any method, before it
		for _, e := range m.Errors {
			envelope = append(envelope, e.Code)
		}
		if !slices.Contains(envelope, r.Error.Code) {
			return []string{fmt.Sprintf("%s: the document has no error %d", call.Method, r.Error.Code)}
		}
		return nil
	}
	for i, p := range m.Params {
		var value any
		switch params := call.Params.(type) {
		case []any:
			if i < len(params) {
				value = params[i]
			}
		case map[string]any:
			value = params[p.Name]
		}
		if value != nil { // null is as good as none
			wrong = append(wrong, d.check(p.Schema, value, call.Method+" "+p.Name)...)
		}
	}
	return append(wrong, d.check(m.Result.Schema, r.Result, call.Method+" result")...)
}

// check returns where a value is not as a JSON Schema says, of draft 7, which OpenRPC 1.3 takes. It knows the keywords that
// the document uses, and takes others for a mistake.
func (d *described) check(schema, value any, path string) (wrong []string) {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s: no schema: %v", path, schema)}
	}
	say := func(is bool, what string) {
		if !is {
			wrong = append(wrong, fmt.Sprintf("%s: %v is not %s", path, value, what))
		}
	}
	for keyword, arg := range s {
		switch keyword {
		case "description", "writeOnly", "properties", "additionalProperties", "propertyNames", "required", "items", "minItems", "maxItems": // below, or for people
		case "$ref":
			var at any = d.whole
			for part := range strings.SplitSeq(strings.TrimPrefix(arg.(string), "#/"), "/") {
				at = at.(map[string]any)[part]
			}
			wrong = append(wrong, d.check(at, value, path)...)
		case "allOf":
			for _, one := range arg.([]any) {
				wrong = append(wrong, d.check(one, value, path)...)
			}
		case "oneOf":
			n := 0
			for _, one := range arg.([]any) {
				if len(d.check(one, value, path)) == 0 {
					n++
				}
			}
			say(n == 1, "one of the choices")
		case "type":
			say(typeOf(value) == arg || arg == "number" && typeOf(value) == "integer", arg.(string))
		case "const":
			say(value == arg, fmt.Sprint(arg))
		case "enum":
			say(slices.Contains(arg.([]any), value), fmt.Sprint(arg))
		case "minimum":
			say(value.(float64) >= arg.(float64), fmt.Sprintf("at least %v", arg))
		case "maximum":
			say(value.(float64) <= arg.(float64), fmt.Sprintf("at most %v", arg))
		case "pattern":
			say(regexp.MustCompile(arg.(string)).MatchString(fmt.Sprint(value)), arg.(string))
		case "format":
			_, err := time.Parse(time.RFC3339, fmt.Sprint(value))
			say(arg != "date-time" || err == nil, "a time")
		default:
			wrong = append(wrong, path+": the document says "+keyword)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		wrong = append(wrong, d.checkObject(s, value, path)...)
	case []any:
		wrong = append(wrong, d.checkArray(s, value, path)...)
	}
	return wrong
}

func typeOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if value == float64(int64(value)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func (d *described) checkObject(s, value map[string]any, path string) (wrong []string) {
	properties, _ := s["properties"].(map[string]any)
	for name, v := range value {
		at := path + "." + name
		if names, is := s["propertyNames"]; is {
			wrong = append(wrong, d.check(names, name, at)...)
		}
		switch others := s["additionalProperties"].(type) {
		case bool:
			if !others && properties[name] == nil {
				wrong = append(wrong, at+" is not in the document")
			}
		case map[string]any:
			if properties[name] == nil {
				wrong = append(wrong, d.check(others, v, at)...)
			}
		}
		if properties[name] != nil {
			wrong = append(wrong, d.check(properties[name], v, at)...)
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, there := value[name.(string)]; !there {
			wrong = append(wrong, fmt.Sprintf("%s.%s is missing", path, name))
		}
	}
	return wrong
}

func (d *described) checkArray(s map[string]any, value []any, path string) (wrong []string) {
	least, _ := s["minItems"].(float64)
	most, limited := s["maxItems"].(float64)
	if len(value) < int(least) || limited && len(value) > int(most) {
		wrong = append(wrong, fmt.Sprintf("%s has %d items", path, len(value)))
	}
	for i, v := range value {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch items := s["items"].(type) {
		case map[string]any:
			wrong = append(wrong, d.check(items, v, at)...)
		case []any: // each place has its own
			if i < len(items) {
				wrong = append(wrong, d.check(items[i], v, at)...)
			}
		}
	}
	return wrong
}
