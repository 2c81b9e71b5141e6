package openai

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// token is a string of a JSON text.
type token struct {
	// inner is what stands between the quotes, escapes and all.
	inner []byte
	// decoded is how many bytes of UTF-8 it stands for.
	decoded int
	escaped bool
	// wide is true if an escape stands for a character outside of ASCII.
	wide bool
}

// decode returns the string that the token stands for. Without escapes that is a part of the text itself.
func (t token) decode() []byte {
	if !t.escaped {
		return t.inner
	}
	out := make([]byte, 0, t.decoded)
	for rest := t.inner; len(rest) > 0; {
		if rest[0] != '\\' {
			out = append(out, rest[0])
			rest = rest[1:]
			continue
		}
		r, length := unescape(rest)
		out = utf8.AppendRune(out, r)
		rest = rest[length:]
	}
	return out
}

// ends marks the bytes at which a run of plain characters in a string ends.
var ends = func() (table [256]bool) {
	for c := range 0x20 {
		table[c] = true
	}
	table['"'], table['\\'] = true, true
	return table
}()

// text goes over a string.
func (s *scanner) text() token {
	if s.err != nil {
		return token{}
	}
	if s.peek() != '"' {
		s.fail(s.pos, "expected a string")
		return token{}
	}
	s.first = false
	start := s.pos + 1
	shrunk, escaped, wide := 0, false, false
	for i := start; ; {
		for i < len(s.data) && !ends[s.data[i]] {
			i++
		}
		switch {
		case i == len(s.data):
			s.fail(s.pos, "a string is not closed")
			return token{}
		case s.data[i] == '"':
			s.pos = i + 1
			return token{inner: s.data[start:i], decoded: i - start - shrunk, escaped: escaped, wide: wide}
		case s.data[i] != '\\':
			s.fail(i, "a control character stands unescaped in a string")
			return token{}
		}
		r, length := unescape(s.data[i:])
		if length == 0 {
			s.fail(i, "a string has an escape that JSON does not know")
			return token{}
		}
		escaped, wide = true, wide || r >= utf8.RuneSelf
		shrunk += length - utf8.RuneLen(r)
		i += length
	}
}

// shortEscapes gives what each escape of two characters stands for; none stands for U+0000.
var shortEscapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape decodes the escape that data begins with. A surrogate without its partner becomes U+FFFD, as most readers have it; the
// length is 0 if the escape is no JSON.
func unescape(data []byte) (r rune, length int) {
	if len(data) < 2 {
		return 0, 0
	}
	if r := shortEscapes[data[1]]; r != 0 {
		return r, 2
	}
	r, ok := hexEscape(data)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hexEscape(data[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != unicode.ReplacementChar {
			return pair, 12
		}
	}
	return unicode.ReplacementChar, 6
}

// hexEscape reads \uXXXX.
func hexEscape(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range data[2:6] {
		r <<= 4
		switch {
		case '0' <= c && c <= '9':
			r |= rune(c - '0')
		case 'a' <= c && c <= 'f':
			r |= rune(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			r |= rune(c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return r, true
}

// foldName returns the name that stands for all names that differ from this one only in case, as encoding/json folds them.
func foldName(name []byte) []byte {
	if !hasFold(name) {
		return name
	}
	out := make([]byte, 0, len(name))
	for len(name) > 0 {
		r, size := utf8.DecodeRune(name)
		out = utf8.AppendRune(out, foldRune(r))
		name = name[size:]
	}
	return out
}

// hasFold reports whether folding could change the name: keys of the API are lower case, so that it mostly does not.
func hasFold(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// foldRune returns one rune for all that are equal under simple folding: the lower case of an ASCII letter, else the smallest of them.
func foldRune(r rune) rune {
	smallest := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		smallest = min(smallest, other)
	}
	if 'A' <= smallest && smallest <= 'Z' {
		smallest += 'a' - 'A'
	}
	return smallest
}
