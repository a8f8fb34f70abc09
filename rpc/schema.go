package rpc

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// schemas collects the JSON Schemas of named structs, which others refer to.
type schemas map[string]any

// of returns the JSON Schema of a Go type as its JSON looks. A type with a method Schema says it itself.
func (s schemas) of(t reflect.Type) any {
	if own, ok := reflect.Zero(t).Interface().(interface{ Schema() string }); ok && t.Kind() != reflect.Pointer {
		return jsontext.Value(own.Schema())
	}
	if optional := optionalOf(t); optional != nil {
		return orNull(s.of(optional))
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	}
	return map[string]any{"type": "string"}
}

func (s schemas) object(t reflect.Type) any {
	name := t.Name()
	if name == "" || !strings.HasSuffix(t.PkgPath(), "/models") {
		return s.describe(t)
	}
	if _, done := s[name]; !done {
		s[name] = nil // so that a type that refers to itself ends
		s[name] = s.describe(t)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func (s schemas) describe(t reflect.Type) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, field := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || tag == "-" || tag == "" {
			continue
		}
		optional := strings.Contains(options, "omitzero")
		properties[tag] = s.property(field, optional)
		if !optional {
			required = append(required, tag)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// optionalOf returns the type of an Optional's value, or nil for a type that is none.
func optionalOf(t reflect.Type) reflect.Type {
	if optional, ok := reflect.Zero(t).Interface().(interface{ Of() reflect.Type }); ok && t.Kind() != reflect.Pointer {
		return optional.Of()
	}
	return nil
}

func orNull(schema any) map[string]any {
	return map[string]any{"oneOf": []any{schema, map[string]any{"type": "null"}}}
}

// property is the schema of a field, with what its tags say: doc, format, enum, minimum, maximum, null. A pointer that is
// always there can be null; an Optional can, unless null is refused.
func (s schemas) property(field reflect.StructField, optional bool) any {
	schema := s.of(field.Type)
	if field.Type.Kind() == reflect.Pointer && !optional {
		schema = orNull(schema)
	}
	if field.Tag.Get("null") == "refused" {
		schema = s.of(optionalOf(field.Type))
	}
	var constraints = map[string]any{}
	if doc := field.Tag.Get("doc"); doc != "" {
		constraints["description"] = doc
	}
	if format := field.Tag.Get("format"); format != "" {
		constraints["format"] = format
	}
	if enum := field.Tag.Get("enum"); enum != "" {
		constraints["enum"] = strings.Split(enum, ",")
	}
	for _, bound := range []string{"minimum", "maximum"} {
		if n, err := strconv.Atoi(field.Tag.Get(bound)); err == nil {
			constraints[bound] = n
		}
	}
	if len(constraints) == 0 {
		return schema
	}
	if plain, ok := schema.(map[string]any); ok && plain["$ref"] == nil {
		for k, v := range constraints {
			plain[k] = v
		}
		return plain
	}
	constraints["allOf"] = []any{schema}
	return constraints
}
