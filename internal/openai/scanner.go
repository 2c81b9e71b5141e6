package openai

import (
	"bytes"
	"fmt"
)

// maxDepth bounds the nesting of a body. Readers give up at depths of their own (Python's at about a thousand); no honest request comes
// near.
const maxDepth = 256

// syntaxError says why a text is no JSON that every reader would read in the same way.
type syntaxError struct {
	offset int
	reason string
	// key is the key that appears twice, if that is the reason.
	key string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.reason, e.offset) }

// scanner reads one JSON text strictly, as RFC 8259 has it, in one pass and without building values: its callers get spans of the
// text. It must not be used for text that is no UTF-8 where that matters; it does not check. After an error it stands still: err is
// set, loops end.
type scanner struct {
	data []byte
	pos  int
	err  *syntaxError

	// unique makes a key that appears twice in one object an error. fold also counts keys as one that differ only in case, since Go's
	// encoding/json, with which some upstreams read, does.
	unique, fold bool

	// key is the decoded name that nextMember found last; keyStart is where its opening quote is, keyEnd is behind its closing one.
	key              []byte
	keyStart, keyEnd int

	first bool // the container that was entered last has not shown anything yet
	depth int
	names nameStack
}

func (s *scanner) fail(offset int, reason string) {
	if s.err == nil {
		s.err = &syntaxError{offset: offset, reason: reason}
	}
}

// reset prepares the scanner for another text and keeps its memory.
func (s *scanner) reset(data []byte) {
	s.data, s.pos, s.err, s.first, s.depth = data, 0, nil, false, 0
	s.names.clear()
}

// peek returns the first byte of the next token, 0 at the end of the text.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end makes anything that follows the value an error.
func (s *scanner) end() {
	if s.err == nil && (s.peek() != 0 || s.pos < len(s.data)) {
		s.fail(s.pos, "something follows the JSON value")
	}
}

// kind names what the next value is, as an error message puts it; empty if it is no JSON value.
func (s *scanner) kind() string {
	switch c := s.peek(); {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == 't', c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-', '0' <= c && c <= '9':
		return "a number"
	}
	return ""
}

func (s *scanner) enter(open byte, reason string) {
	if s.err != nil {
		return
	}
	if s.peek() != open {
		s.fail(s.pos, reason)
		return
	}
	if s.depth++; s.depth > maxDepth {
		s.fail(s.pos, fmt.Sprintf("values are nested more than %d deep", maxDepth))
		return
	}
	s.pos++
	s.first = true
}

// enterObject begins an object; nextMember then goes from member to member, and the caller reads each value.
func (s *scanner) enterObject() {
	s.enter('{', "expected an object")
	if s.unique && s.err == nil {
		s.names.push(s.fold)
	}
}

// nextMember goes to the value of the next member and sets key. It returns false, behind the object, when there is none.
func (s *scanner) nextMember() bool {
	if !s.next('}') {
		if s.unique && s.err == nil {
			s.names.pop()
		}
		return false
	}
	if s.peek() != '"' {
		s.fail(s.pos, "expected a key in double quotes")
		return false
	}
	s.keyStart = s.pos
	name := s.text()
	s.keyEnd = s.pos
	if s.peek() != ':' {
		s.fail(s.pos, "expected a colon after the key")
		return false
	}
	s.pos++
	if s.err != nil {
		return false
	}
	s.key = name.decode()
	if s.unique && !s.names.add(s.key) {
		s.fail(s.keyStart, fmt.Sprintf("the key %.100q appears twice in one object", s.key))
		s.err.key = string(s.key)
		return false
	}
	return true
}

// enterArray begins an array; nextElement then goes from element to element.
func (s *scanner) enterArray() { s.enter('[', "expected an array") }

// nextElement goes to the next element. It returns false, behind the array, when there is none.
func (s *scanner) nextElement() bool { return s.next(']') }

// next goes over the comma between two entries of a container, or over its closing bracket.
func (s *scanner) next(closing byte) bool {
	if s.err != nil {
		return false
	}
	first := s.first
	s.first = false
	switch c := s.peek(); {
	case c == closing:
		s.pos++
		s.depth--
		return false
	case first:
		return true
	case c != ',':
		s.fail(s.pos, fmt.Sprintf("expected a comma or %q", closing))
		return false
	}
	s.pos++
	return true
}

// walk goes over the next value whatever it is, and returns how many bytes its strings have together once their escapes are decoded, keys
// apart.
func (s *scanner) walk() int64 {
	if s.err != nil {
		return 0
	}
	var total int64
	switch s.peek() {
	case '{':
		for s.enterObject(); s.nextMember(); {
			total += s.walk()
		}
	case '[':
		for s.enterArray(); s.nextElement(); {
			total += s.walk()
		}
	case '"':
		total = int64(s.text().decoded)
	default:
		s.scalar()
	}
	return total
}

// span walks over the next value and returns its text.
func (s *scanner) span() []byte {
	s.peek()
	start := s.pos
	s.walk()
	if s.err != nil {
		return nil
	}
	return s.data[start:s.pos]
}

var literals = [256]string{'t': "true", 'f': "false", 'n': "null"}

// scalar goes over a number or a literal and returns its text.
func (s *scanner) scalar() []byte {
	c := s.peek()
	s.first = false
	rest := s.data[s.pos:]
	if word := literals[c]; word != "" && bytes.HasPrefix(rest, []byte(word)) {
		s.pos += len(word)
		return rest[:len(word)]
	}
	length := numberLength(rest)
	if length == 0 {
		s.fail(s.pos, "expected a JSON value")
		return nil
	}
	s.pos += length
	return rest[:length]
}

// numberLength returns the length of the number that data begins with, 0 if there is none. What follows the number is the next token's
// affair.
func numberLength(data []byte) int {
	i := 0
	if i < len(data) && data[i] == '-' {
		i++
	}
	whole := digits(data[i:])
	if whole == 0 || (whole > 1 && data[i] == '0') {
		return 0
	}
	i += whole
	for _, part := range []func([]byte) (int, bool){fractionLength, exponentLength} {
		length, ok := part(data[i:])
		if !ok {
			return 0
		}
		i += length
	}
	return i
}

// fractionLength returns the length of the fraction that data begins with; ok is false if a point has no digits behind it.
func fractionLength(data []byte) (length int, ok bool) {
	if len(data) == 0 || data[0] != '.' {
		return 0, true
	}
	fraction := digits(data[1:])
	return 1 + fraction, fraction > 0
}

// exponentLength returns the length of the exponent that data begins with; ok is false if it has no digits.
func exponentLength(data []byte) (length int, ok bool) {
	if len(data) == 0 || data[0]|0x20 != 'e' {
		return 0, true
	}
	length = 1
	if len(data) > 1 && (data[1] == '+' || data[1] == '-') {
		length = 2
	}
	exponent := digits(data[length:])
	return length + exponent, exponent > 0
}

func digits(data []byte) int {
	for i, c := range data {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(data)
}
