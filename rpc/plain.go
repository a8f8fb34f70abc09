package rpc

// plain reads requests the way that programs write them: without white space, escapes, members that are not known, or
// fractions. That is nearly all of them, in a fraction of the time; all others, and all that is wrong, is the parser's.
type plain struct {
	text []byte
	at   int
}

// maxPlainDepth is how deep arrays and objects are inside each other that plain reads: those of a call's options are 2.
const maxPlainDepth = 4

// parsePlain reads a message that is one plain request. What it accepts, parser accepts, and reads the same.
func parsePlain(message []byte) (r request, ok bool) {
	p := plain{text: message}
	if !p.take('{') {
		return request{}, false
	}
	var version, method []byte
	for more := true; more; more = p.take(',') {
		name := p.at
		if !p.quoted() {
			return request{}, false
		}
		var member *[]byte
		switch string(message[name:p.at]) {
		case `"jsonrpc"`:
			member = &version
		case `"method"`:
			member = &method
		case `"params"`:
			member = &r.params
		case `"id"`:
			member = &r.id
		}
		if member == nil || *member != nil || !p.take(':') {
			return request{}, false
		}
		value := p.at
		if !p.value(maxPlainDepth) {
			return request{}, false
		}
		*member = message[value:p.at]
	}
	if !p.take('}') || p.at != len(message) {
		return request{}, false
	}
	r.check(version, method, false)
	return r, true
}

// take reads one byte if it is next.
func (p *plain) take(c byte) bool {
	if p.at == len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

// word reads these letters if they are next.
func (p *plain) word(letters string) bool {
	if len(p.text)-p.at < len(letters) || string(p.text[p.at:p.at+len(letters)]) != letters {
		return false
	}
	p.at += len(letters)
	return true
}

func (p *plain) value(depth int) bool {
	if p.at == len(p.text) || depth < 0 {
		return false
	}
	switch c := p.text[p.at]; {
	case c == '"':
		return p.quoted()
	case '0' <= c && c <= '9':
		return p.digits()
	case c == '[':
		return p.members('[', ']', depth)
	case c == '{':
		return p.members('{', '}', depth)
	}
	return p.word("true") || p.word("false") || p.word("null")
}

// quoted reads a string of printable characters, of which the transport knows that they are UTF-8.
func (p *plain) quoted() bool {
	if !p.take('"') {
		return false
	}
	for i, c := range p.text[p.at:] {
		switch {
		case c == '"':
			p.at += i + 1
			return true
		case c == '\\' || c < ' ':
			return false
		}
	}
	return false
}

// digits reads a natural number.
func (p *plain) digits() bool {
	first := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.text[first] != '0' || p.at == first+1
}

// members reads an array or an object.
func (p *plain) members(open, end byte, depth int) bool {
	p.take(open)
	if p.take(end) {
		return true
	}
	for more := true; more; more = p.take(',') {
		if open == '{' && !(p.quoted() && p.take(':')) || !p.value(depth-1) {
			return false
		}
	}
	return p.take(end)
}
