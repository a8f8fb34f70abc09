package models

import (
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Optional is a member of an object that may be left out, be null, or be a T, where these are three different wishes: what
// is left out stays as it is, and null takes it away. The zero value is left out.
type Optional[T any] struct {
	Given bool
	Value *T // nil where it is null
}

// UnmarshalJSONFrom reads a member that is there.
func (o *Optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*o = Optional[T]{Given: true}
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	o.Value = new(T)
	return json.UnmarshalDecode(d, o.Value)
}

// Of returns the type of the value, for the JSON Schema.
func (Optional[T]) Of() reflect.Type { return reflect.TypeFor[T]() }

// or returns the value, nil for null, or what there is where none is given.
func (o Optional[T]) or(now *T) *T {
	if !o.Given {
		return now
	}
	return o.Value
}
