package rpc

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/tokenwire/tokenwire/models"
)

// A param is a field of a method's params struct: its JSON name is its name, its place its position. It is required
// unless it is tagged omitzero.
type param struct {
	name     string
	required bool
	doc      string
	typ      reflect.Type
}

func paramsOf(t reflect.Type) []param {
	var params []param
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		params = append(params, param{name, !strings.Contains(options, "omitzero"), field.Tag.Get("doc"), field.Type})
	}
	return params
}

// decodeParams reads params by position or by name into the struct that target points to. It is strict: unknown names,
// names that come twice, wrong types and missing params are -32602 with data naming the param.
func decodeParams(raw []byte, params []param, target reflect.Value) error {
	given := make([]bool, len(params))
	if raw != nil {
		d := jsontext.NewDecoder(strings.NewReader(string(raw)), jsontext.AllowDuplicateNames(true))
		if err := decodeEach(d, params, target, given); err != nil {
			return err
		}
	}
	for i, p := range params {
		if p.required && !given[i] {
			return invalidParam(p.name, p.name+" is missing")
		}
	}
	return nil
}

func decodeEach(d *jsontext.Decoder, params []param, target reflect.Value, given []bool) error {
	open, err := d.ReadToken()
	if err != nil || open.Kind() != '[' && open.Kind() != '{' {
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: "params must be an array or an object"}
	}
	byName := open.Kind() == '{'
	for position := 0; d.PeekKind() != ']' && d.PeekKind() != '}'; position++ {
		i, name := position, ""
		if byName {
			token, err := d.ReadToken()
			if err != nil {
				return broken(err)
			}
			name = token.String()
			i = indexOf(params, name)
		}
		switch {
		case byName && i < 0:
			return invalidParam(shorten(name), "there is no such param; "+takes(params))
		case i >= len(params):
			return invalidParam(fmt.Sprint(position), fmt.Sprintf("at most %d params", len(params)))
		case given[i]:
			return invalidParam(name, name+" comes twice")
		}
		value, err := d.ReadValue()
		if err != nil {
			return broken(err)
		}
		given[i] = true
		if value.Kind() == 'n' && !params[i].required {
			continue
		}
		if value.Kind() == 'n' {
			return invalidParam(params[i].name, params[i].name+" must be "+kindName(params[i].typ))
		}
		if err := json.Unmarshal(value, target.Elem().Field(i).Addr().Interface(), json.RejectUnknownMembers(true)); err != nil {
			return explain(params[i], err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return broken(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return broken(err)
	}
	return nil
}

// broken answers params that are not JSON, which only the door of params alone lets in.
func broken(error) error {
	return &jsonrpc2.Error{Code: jsonrpc2.CodeParseError, Message: "the params are not JSON"}
}

// takes says which params there are.
func takes(params []param) string {
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.name
	}
	if len(names) == 0 {
		return "the method takes none"
	}
	return "the method takes " + strings.Join(names, ", ")
}

func indexOf(params []param, name string) int {
	for i, p := range params {
		if p.name == name {
			return i
		}
	}
	return -1
}

// explain says of a value that did not fit which part of the param it was and what it should be.
func explain(p param, err error) error {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	var form models.FormatError
	switch {
	case errors.As(err, &semantic):
		path := pathOf(p, semantic.JSONPointer)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return invalidParam(path, "there is no such param")
		case errors.As(err, &form):
			return invalidParam(path, form.Error())
		}
		return invalidParam(path, path+" must be "+kindName(semantic.GoType))
	case errors.As(err, &syntactic):
		path := pathOf(p, syntactic.JSONPointer)
		return invalidParam(path, "a name comes twice")
	}
	return invalidParam(p.name, p.name+" is not valid")
}

// pathOf writes the place of a value for people: options.where.name.
func pathOf(p param, pointer jsontext.Pointer) string {
	path := p.name
	for token := range pointer.Tokens() {
		path += "." + token
	}
	return shorten(path)
}

// maxEcho is how much of a caller's own text an error repeats, in bytes.
const maxEcho = 100

func shorten(s string) string {
	if len(s) > maxEcho {
		s = strings.ToValidUTF8(s[:maxEcho], "") + "…"
	}
	return s
}

func kindName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "of another type"
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice, reflect.Array:
		return "an array"
	}
	return "an object"
}
