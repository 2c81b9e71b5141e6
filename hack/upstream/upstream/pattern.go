package upstream

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// formats has one valid value for each string format that structured outputs support.
var formats = map[string]string{
	"date-time": "2026-01-31T12:00:00Z",
	"date":      "2026-01-31",
	"time":      "12:00:00Z",
	"duration":  "PT1H",
	"email":     "someone@example.com",
	"hostname":  "example.com",
	"ipv4":      "192.0.2.1",
	"ipv6":      "2001:db8::1",
	"uri":       "https://example.com/",
	"uuid":      "123e4567-e89b-42d3-a456-426614174000",
}

// text is a string that meets a schema's format or pattern, and its bounds of length (in characters).
func (in *instantiator) text(s map[string]any) string {
	if name, ok := s["format"].(string); ok && formats[name] != "" {
		return formats[name]
	}
	if pattern, ok := s["pattern"].(string); ok {
		return matching(pattern, in.word)
	}
	value := []rune(in.word)
	for shortest := in.size(s, "minLength", 0); len(value) < shortest; {
		value = append(value, 'a')
	}
	return string(value[:min(len(value), in.size(s, "maxLength", schemaSize))])
}

// matching is a string that the pattern matches: the word if it does, else one read off the expression itself.
func matching(pattern, word string) string {
	expression, err := regexp.Compile(pattern)
	if err != nil || expression.MatchString(word) {
		return word
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return word
	}
	var out strings.Builder
	spell(&out, tree.Simplify())
	return out.String()
}

func spell(out *strings.Builder, e *syntax.Regexp) {
	switch e.Op {
	case syntax.OpLiteral:
		out.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		out.WriteRune(readable(e.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteByte('a')
	case syntax.OpCapture, syntax.OpPlus:
		spell(out, e.Sub[0])
	case syntax.OpAlternate:
		spell(out, e.Sub[0])
	case syntax.OpConcat:
		for _, part := range e.Sub {
			spell(out, part)
		}
	default:
		// Anchors, and what may be repeated no times, add nothing. (Simplify has spelled out counted repeats.)
	}
}

// readable is a letter or digit of the class where it has one, else its first character.
func readable(ranges []rune) rune {
	for _, wish := range "a1A" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= wish && wish <= ranges[i+1] {
				return wish
			}
		}
	}
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i] >= ' ' && utf8.ValidRune(ranges[i]) {
			return ranges[i]
		}
	}
	if len(ranges) == 0 {
		return 'a'
	}
	return ranges[0]
}
