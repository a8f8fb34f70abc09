package rpc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sourcegraph/jsonrpc2"
)

// descriptor is the part of a method in the document that callers go by.
type descriptor struct {
	Name           string `json:"name"`
	ParamStructure string `json:"paramStructure"`
	Params         []struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Required    bool           `json:"required"`
		Schema      map[string]any `json:"schema"`
	} `json:"params"`
	Access   map[string][]string `json:"x-access"`
	PostOnly *bool               `json:"x-post-only"` // is there only where it is true
	Result   map[string]any      `json:"result"`
	Errors   []struct {
		Code int64 `json:"code"`
	} `json:"errors"`
}

func document(t *testing.T) (whole map[string]any, methods map[string]descriptor) {
	t.Helper()
	raw := openRPC((&Service{}).table(), "test")
	var listed struct {
		Methods []descriptor `json:"methods"`
	}
	if err := errors.Join(json.Unmarshal(raw, &whole), json.Unmarshal(raw, &listed)); err != nil {
		t.Fatal(err)
	}
	methods = map[string]descriptor{}
	for _, m := range listed.Methods {
		if _, twice := methods[m.Name]; twice {
			t.Errorf("%s comes twice", m.Name)
		}
		methods[m.Name] = m
	}
	return whole, methods
}

// TestDocument looks for what makes a document invalid in itself: references to nothing, schemas of nothing, required
// properties that there are not.
func TestDocument(t *testing.T) {
	whole, methods := document(t)
	if version, _ := whole["openrpc"].(string); !strings.HasPrefix(version, "1.") {
		t.Error("openrpc is", whole["openrpc"])
	}
	if info, _ := whole["info"].(map[string]any); info["title"] == "" || info["version"] != "test" {
		t.Error("info is", info)
	}
	types := []string{"object", "array", "string", "integer", "number", "boolean", "null"}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case nil:
			t.Errorf("%s is null", at)
		case []any:
			for i, item := range v {
				walk(fmt.Sprintf("%s/%d", at, i), item)
			}
		case map[string]any:
			if ref, is := v["$ref"].(string); is && resolve(whole, ref) == nil {
				t.Errorf("%s refers to %s, which there is not", at, ref)
			}
			if typ, is := v["type"].(string); is && !slices.Contains(types, typ) {
				t.Errorf("%s has type %q", at, typ)
			}
			properties, _ := v["properties"].(map[string]any)
			required, _ := v["required"].([]any)
			for _, name := range required {
				if properties[name.(string)] == nil {
					t.Errorf("%s requires %s, which it does not have", at, name)
				}
			}
			for name, value := range v {
				walk(at+"/"+name, value)
			}
		}
	}
	walk("#", whole)
	for _, m := range (&Service{}).table() {
		d, ok := methods[m.name]
		if !ok {
			t.Errorf("%s is not in the document", m.name)
			continue
		}
		optional := false
		for _, p := range d.Params {
			if p.Required && optional {
				t.Errorf("%s: %s is required after an optional param: by position that cannot be", m.name, p.Name)
			}
			optional = optional || !p.Required
		}
		if d.ParamStructure != "either" || d.Result["schema"] == nil || len(d.Errors) == 0 {
			t.Errorf("%s: %+v", m.name, d)
		}
	}
	if len(methods) != len((&Service{}).table()) {
		t.Error("the document has methods that the table has not")
	}
}

// TestDocumentExplains looks for params, and members of params at any depth, that nothing is said of.
func TestDocumentExplains(t *testing.T) {
	whole, methods := document(t)
	var explained func(path string, schema map[string]any)
	explained = func(path string, schema map[string]any) {
		properties, _ := follow(whole, schema)["properties"].(map[string]any)
		for name, property := range properties {
			property := property.(map[string]any)
			if property["description"] == nil && follow(whole, property)["description"] == nil {
				t.Errorf("%s.%s is not explained", path, name)
			}
			explained(path+"."+name, property)
		}
	}
	for name, m := range methods {
		for _, p := range m.Params {
			if p.Description == "" {
				t.Errorf("%s: %s is not explained", name, p.Name)
			}
			explained(name+": "+p.Name, p.Schema)
		}
	}
}

// TestDocumentedSecrets: a program that shows a form for a method, or an answer, knows what to hide.
func TestDocumentedSecrets(t *testing.T) {
	whole, methods := document(t)
	var secrets []string
	for name, m := range methods {
		for _, p := range m.Params {
			secrets = append(secrets, secretsIn(whole, name+" "+p.Name, p.Schema)...)
		}
		secrets = append(secrets, secretsIn(whole, name+" result", m.Result["schema"].(map[string]any))...)
	}
	slices.Sort(secrets)
	want := []string{
		"/v1/api-tokens/create result.token", "/v1/api-tokens/rotate result.token", "/v1/leaks/report token (write only)", "/v1/session/set-password current (write only)", "/v1/session/set-password new (write only)",
		"/v1/session/sign-in password (write only)", "/v1/session/sign-in result.session", "/v1/users/create options.password (write only)",
		"/v1/users/set-password password (write only)", "/v1/verifier/verify token (write only)",
	}
	if !slices.Equal(secrets, want) {
		t.Errorf("the secrets are\n%q, want\n%q", secrets, want)
	}
}

// secretsIn returns where in a schema there are secrets.
func secretsIn(whole map[string]any, path string, schema map[string]any) (found []string) {
	plain := follow(whole, schema)
	if plain["format"] == "password" || schema["format"] == "password" {
		if plain["writeOnly"] == true {
			path += " (write only)"
		}
		return []string{path}
	}
	properties, _ := plain["properties"].(map[string]any)
	for name, property := range properties {
		found = append(found, secretsIn(whole, path+"."+name, property.(map[string]any))...)
	}
	return found
}

// TestDocumentedNulls: what a change takes away when it is null, and what cannot be taken away.
func TestDocumentedNulls(t *testing.T) {
	whole, methods := document(t)
	properties := follow(whole, methods["/v1/api-tokens/update"].Params[1].Schema)["properties"].(map[string]any)
	var nullable []string
	for name, property := range properties {
		for at := property.(map[string]any); at != nil; {
			if at["oneOf"] != nil {
				nullable = append(nullable, name)
			}
			all, _ := at["allOf"].([]any)
			if at = nil; len(all) == 1 {
				at = all[0].(map[string]any)
			}
		}
	}
	slices.Sort(nullable)
	if want := []string{"allowedIps", "expiresAt", "rateLimit"}; !slices.Equal(nullable, want) || len(properties) != 5 {
		t.Errorf("%q of %d can be null, want %q of 5", nullable, len(properties), want)
	}
}

// TestDocumentedAccess has an example of each kind of access.
func TestDocumentedAccess(t *testing.T) {
	_, methods := document(t)
	for name, want := range map[string]string{
		"/v1/session/sign-in":         "map[nobody:[] session:[] token:[]]",
		"/v1/session/read":            "map[session:[] token:[]]",
		"/v1/session/sign-out":        "map[session:[]]",
		"/v1/api-tokens/read":         "map[session:[] token:[tokens:manage]]",
		"/v1/sessions/read":           "map[session:[] token:[admin]]",
		"/v1/users/read":              "map[session:[admin] token:[admin]]",
		"/v1/events/count":            "map[session:[] token:[]]",
		"/v1/leaks/report":            "map[nobody:[] session:[] token:[]]",
		"/v1/verifier/report":         "map[session:[tokens:verify] token:[tokens:verify]]",
		"/v1/permissions/get-holders": "map[session:[admin] token:[admin]]",
	} {
		if got := fmt.Sprint(methods[name].Access); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestDocumentedPost: a method that is for POST only is refused on a connection, whatever its params, and says so.
func TestDocumentedPost(t *testing.T) {
	_, methods := document(t)
	s, _ := newTestService(t, io.Discard)
	var marked []string
	for name, m := range methods {
		if m.PostOnly == nil {
			continue
		}
		marked = append(marked, name)
		_, failed := s.Call(t.Context(), nil, Door{}, name, []byte(`[1]`))
		if !*m.PostOnly || failed == nil || failed.Code != CodeForbidden || !strings.Contains(failed.Message, "POST /api"+name) {
			t.Errorf("%s: marked %v, and on a connection: %v", name, *m.PostOnly, failed)
		}
	}
	slices.Sort(marked)
	if !slices.Equal(marked, []string{"/v1/leaks/report", "/v1/session/sign-in"}) {
		t.Errorf("for POST only are %q", marked)
	}
}

// resolve returns what a local reference points to, or nil.
func resolve(whole map[string]any, ref string) map[string]any {
	var at any = whole
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := at.(map[string]any)
		at = object[part]
	}
	found, _ := at.(map[string]any)
	return found
}

// refused calls a method with params that it must refuse, and returns which one it names. The store is not there: a
// method that takes the params panics.
func refused(t *testing.T, m *method, params string) (param, message string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s takes %s", m.name, params)
		}
	}()
	_, err := m.call(t.Context(), &Call{}, []byte(params))
	var wire *jsonrpc2.Error
	var data struct {
		Param string `json:"param"`
	}
	if !errors.As(err, &wire) || wire.Code != jsonrpc2.CodeInvalidParams || wire.Data == nil || json.Unmarshal(*wire.Data, &data) != nil || data.Param == "" {
		t.Errorf("%s %s: got %v, want -32602 with data.param", m.name, params, err)
		return "", ""
	}
	return data.Param, wire.Message
}

const unknownMessage = "there is no such param"

// TestDocumentedParams sends each method each name that the document has, with a value of no type that fits, and names
// that it does not have: what the document says and what the decoder takes are the same.
func TestDocumentedParams(t *testing.T) {
	whole, methods := document(t)
	for _, m := range (&Service{}).table() {
		if param, message := refused(t, m, `{"nosuch":1}`); param != "nosuch" || message != unknownMessage+"; "+takes(m.params) {
			t.Errorf("%s: %s %q", m.name, param, message)
		}
		d := methods[m.name]
		position := []string{}
		for _, p := range d.Params {
			checkSchema(t, whole, m, p.Name, p.Schema, func(value string) string { return `{"` + p.Name + `":` + value + `}` })
			if p.Required { // the first that is missing is named
				if param, message := refused(t, m, "["+strings.Join(position, ",")+"]"); param != p.Name || !strings.Contains(message, "missing") {
					t.Errorf("%s without %s: names %q, %s", m.name, p.Name, param, message)
				}
			}
			// By position it is the same param.
			if param, _ := refused(t, m, "["+strings.Join(append(slices.Clone(position), wrongFor(whole, p.Schema)), ",")+"]"); param != p.Name {
				t.Errorf("%s: place %d is %q, the document says %q", m.name, len(position), param, p.Name)
			}
			position = append(position, rightFor(whole, p.Schema))
		}
		if param, _ := refused(t, m, "["+strings.Join(append(position, "1"), ",")+"]"); param != fmt.Sprint(len(d.Params)) {
			t.Errorf("%s takes more than the %d params of the document: %q", m.name, len(d.Params), param)
		}
	}
}

// checkSchema checks a value's place in params, and the properties within.
func checkSchema(t *testing.T, whole map[string]any, m *method, path string, schema map[string]any, put func(value string) string) {
	t.Helper()
	if param, message := refused(t, m, put(wrongFor(whole, schema))); param != path || message == unknownMessage {
		t.Errorf("%s: a wrong %s names %q: %s", m.name, path, param, message)
	}
	schema = follow(whole, schema)
	properties, _ := schema["properties"].(map[string]any)
	if properties == nil {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: %s does not say that it has no other names", m.name, path)
	}
	if param, message := refused(t, m, put(`{"nosuch":1}`)); param != path+".nosuch" || message != unknownMessage {
		t.Errorf("%s: %s.nosuch names %q: %s", m.name, path, param, message)
	}
	for name, property := range properties {
		checkSchema(t, whole, m, path+"."+name, property.(map[string]any), func(value string) string { return put(`{"` + name + `":` + value + `}`) })
	}
}

// follow returns the schema behind references and allOf, and of what can be null the other choice.
func follow(whole, schema map[string]any) map[string]any {
	if choices, is := schema["oneOf"].([]any); is && len(choices) == 2 && choices[1].(map[string]any)["type"] == "null" {
		return follow(whole, choices[0].(map[string]any))
	}
	if ref, is := schema["$ref"].(string); is {
		return follow(whole, resolve(whole, ref))
	}
	if all, is := schema["allOf"].([]any); is {
		return follow(whole, all[0].(map[string]any))
	}
	return schema
}

// wrongFor returns JSON that no schema of ours of this type takes.
func wrongFor(whole, schema map[string]any) string {
	if kind := follow(whole, schema)["type"]; kind == "integer" || kind == "number" {
		return `"x"`
	}
	return `1`
}

func rightFor(whole, schema map[string]any) string {
	if pattern, _ := follow(whole, schema)["pattern"].(string); strings.Contains(pattern, "{64}") {
		return `"` + strings.Repeat("0", 64) + `"`
	}
	switch follow(whole, schema)["type"] {
	case "integer":
		return `1`
	case "boolean":
		return `true`
	case "object":
		return `{}`
	case "array":
		return `[]`
	}
	return `"x"`
}
