package rpc

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sourcegraph/jsonrpc2"
)

// Bounds of a message. MaxMessage bounds its size.
const (
	MaxMessage     = 64 << 10 // bytes: far beyond any sensible call
	maxBatch       = 100      // calls in a batch
	maxBatchAnswer = 1 << 20  // bytes, after which the calls that are left are not made
	maxDepth       = 32       // arrays and objects inside each other: our params need 5
)

// request is one call as it stands in a message. Its slices belong to the message.
type request struct {
	id     []byte // as it was sent, byte for byte; nil for a notification
	method string
	params []byte          // an array, an object, or nil
	err    *jsonrpc2.Error // why it is not a valid request, or nil
}

var nullID = []byte("null")

func invalidRequest(message string) *jsonrpc2.Error {
	return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: message}
}

var errParse = &jsonrpc2.Error{Code: jsonrpc2.CodeParseError, Message: "the message is not JSON"}

var errBatchAnswer = &jsonrpc2.Error{Code: CodeTooLarge, Message: "the answers of this batch are over 1 MiB; this call was not made, ask in smaller batches"}

var errBatchTime = &jsonrpc2.Error{Code: CodeUnavailable, Message: "the calls of this batch before this one took too long; this call was not made, ask in smaller batches"}

// parser takes messages apart. Names that come twice are let through here and refused where they stand: in the envelope
// by parseRequest, in params by their decoder.
type parser struct {
	buffer  bytes.Buffer
	decoder *jsontext.Decoder
}

var parsers = sync.Pool{New: func() any { return &parser{decoder: jsontext.NewDecoder(&bytes.Buffer{})} }}

func (p *parser) reset(b []byte) *jsontext.Decoder {
	p.buffer = *bytes.NewBuffer(b)
	p.decoder.Reset(&p.buffer, jsontext.AllowDuplicateNames(true))
	return p.decoder
}

// parseSingle reads a message that is one request. A message that is a batch, or not JSON, is left to parseBatch.
func parseSingle(message []byte) (r request, ok bool) {
	if r, ok = parsePlain(message); ok {
		return r, true
	}
	return parseObject(message)
}

// parseObject reads a message that is one request, however it is written.
func parseObject(message []byte) (r request, ok bool) {
	if deeperThan(message, maxDepth) {
		return request{}, false
	}
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	d := p.reset(message)
	if d.PeekKind() != '{' {
		return request{}, false
	}
	r, err := parseRequest(d, message)
	if err != nil {
		return request{}, false
	}
	_, err = d.ReadToken()
	return r, err == io.EOF
}

// parseBatch reads any message. It returns either requests, or the one error that answers the whole message.
func parseBatch(message []byte) ([]request, *jsonrpc2.Error) {
	if deeperThan(message, maxDepth) {
		return nil, invalidRequest("the message is nested too deeply")
	}
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	d := p.reset(message)
	value, err := d.ReadValue()
	if err != nil {
		return nil, errParse
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errParse
	}
	if value.Kind() != '[' {
		return nil, invalidRequest("a message is a request object or an array of them")
	}
	return parseRequests(value)
}

func parseRequests(batch []byte) ([]request, *jsonrpc2.Error) {
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	d := p.reset(batch)
	d.ReadToken() // [
	var requests []request
	for d.PeekKind() != ']' {
		if len(requests) == maxBatch {
			return nil, invalidRequest("a batch has at most 100 requests")
		}
		r := request{id: nullID, err: invalidRequest("a request is an object")}
		var err error
		if d.PeekKind() == '{' {
			r, err = parseRequest(d, batch)
		} else {
			err = d.SkipValue()
		}
		if err != nil {
			return nil, errParse
		}
		requests = append(requests, r)
	}
	if len(requests) == 0 {
		return nil, invalidRequest("an empty batch")
	}
	return requests, nil
}

// parseRequest reads the request object that comes next in d, which reads from message. Its error means that the JSON is
// broken; a request that is JSON and not valid has err set, and its id where that can be read.
func parseRequest(d *jsontext.Decoder, message []byte) (r request, err error) {
	if _, err = d.ReadToken(); err != nil {
		return r, err
	}
	var version, method, params, id []byte
	twice, twoIDs := false, false
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return r, err
		}
		var field *[]byte
		switch token.String() {
		case "jsonrpc":
			field = &version
		case "method":
			field = &method
		case "params":
			field = &params
		case "id":
			field = &id
		}
		value, err := d.ReadValue()
		if err != nil {
			return r, err
		}
		if field == nil {
			continue
		}
		twice = twice || *field != nil
		twoIDs = twoIDs || field == &id && id != nil
		end := int(d.InputOffset())
		*field = message[end-len(value) : end]
	}
	if _, err = d.ReadToken(); err != nil {
		return r, err
	}
	r = request{id: id, params: params}
	if twoIDs { // which one is meant cannot be told
		r.id = nil
	}
	r.check(version, method, twice)
	return r, nil
}

// check completes the request, or says why it is not valid.
func (r *request) check(version, method []byte, twice bool) {
	idOK := true
	if r.id != nil {
		k := jsontext.Value(r.id).Kind()
		idOK = k == '"' || k == '0' || k == 'n'
	}
	switch {
	case twice:
		r.err = invalidRequest("a member comes twice")
		if !idOK {
			r.id = nil
		}
	case !idOK:
		r.err = invalidRequest("id must be a string, a number or null")
		r.id = nil
	case string(version) != `"2.0"`:
		r.err = invalidRequest(`jsonrpc must be "2.0"`)
	case len(method) == 0 || method[0] != '"':
		r.err = invalidRequest("method must be a string")
	case r.params != nil && r.params[0] != '[' && r.params[0] != '{':
		r.err = invalidRequest("params must be an array or an object")
	}
	if r.err != nil {
		if r.id == nil {
			r.id = nullID
		}
		return
	}
	if bytes.IndexByte(method, '\\') < 0 {
		r.method = string(method[1 : len(method)-1])
	} else if unquoted, err := jsontext.AppendUnquote(nil, method); err == nil {
		r.method = string(unquoted)
	}
}

// deeperThan reports whether arrays and objects are nested more than max deep. It looks at brackets outside strings only
// and leaves all else to the decoder.
func deeperThan(message []byte, max int) bool {
	if bytes.Count(message, []byte("{"))+bytes.Count(message, []byte("[")) <= max { // nearly always, and that is quick to see
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(message); i++ {
		switch c := message[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			i++
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > max {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func appendResult(b, id, result []byte) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	return append(append(b, result...), '}')
}

func appendError(b, id []byte, e *jsonrpc2.Error) []byte {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"error":`...)
	return append(append(b, marshalError(e)...), '}')
}

func clone(b []byte) []byte { return slices.Clone(b) }

// buffers are for replies: nearly all of them are small.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}
