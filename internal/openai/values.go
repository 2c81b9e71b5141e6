package openai

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The largest values that OpenAI's schema allows.
const (
	maxChoices     = 128
	maxStops       = 4
	maxTopLogprobs = 20
)

const (
	minInt64 = math.MinInt64
	maxInt64 = math.MaxInt64
)

// wrongType says what a value should be and what kind it is.
func wrongType(param, want string, s *scanner) *Error {
	got := s.kind()
	if got == "" || s.err != nil {
		s.fail(s.pos, "expected a JSON value")
		return badJSON(s.err)
	}
	return coded(InvalidRequest(param, "Invalid type for '%s': expected %s, but got %s instead.", param, want, got), "invalid_type")
}

func coded(e *Error, code string) *Error {
	e.Code = code
	return e
}

// readNull goes over a null.
func readNull(s *scanner) bool {
	if s.peek() != 'n' {
		return false
	}
	s.scalar()
	return true
}

func readString(param string, s *scanner) (string, *Error) {
	if s.peek() != '"' {
		return "", wrongType(param, "a string", s)
	}
	text := string(s.text().decode())
	if text == "" && s.err == nil {
		return "", coded(InvalidRequest(param, "Invalid '%s': it must not be empty.", param), "empty_string")
	}
	return text, nil
}

func readBool(param string, s *scanner) (bool, *Error) {
	if readNull(s) {
		return false, nil
	}
	if c := s.peek(); c != 't' && c != 'f' {
		return false, wrongType(param, "a boolean", s)
	}
	return string(s.scalar()) == "true", nil
}

func boolean(_ *Request, name string, s *scanner) *Error {
	_, problem := readBool(name, s)
	return problem
}

// object goes over an object of any members.
func object(_ *Request, name string, s *scanner) *Error {
	if c := s.peek(); c != '{' && c != 'n' {
		return wrongType(name, "an object", s)
	}
	s.walk()
	return nil
}

// readObjects reads an array of objects with a reader for each, which gets the object's path. It returns how many there are, and the sum of
// what the reader returned.
func readObjects(path string, s *scanner, read func(path string, s *scanner) (int64, *Error)) (count int, sum int64, problem *Error) {
	for s.enterArray(); s.nextElement(); count++ {
		one := fmt.Sprintf("%s[%d]", path, count)
		if s.peek() != '{' {
			return count, 0, wrongType(one, "an object", s)
		}
		size, problem := read(one, s)
		if problem != nil {
			return count, 0, problem
		}
		sum += size
	}
	return count, sum, nil
}

// upTo makes the reader of a string of at most so many characters; 0 means any number.
func upTo(most int) reader {
	return func(_ *Request, name string, s *scanner) *Error {
		if readNull(s) {
			return nil
		}
		if s.peek() != '"' {
			return wrongType(name, "a string", s)
		}
		token := s.text()
		if most > 0 && token.decoded > most && utf8.RuneCount(token.decode()) > most {
			return tooLong(name, most)
		}
		return nil
	}
}

func tooLong(name string, most int) *Error {
	return coded(InvalidRequest(name, "Invalid '%s': string too long. Expected at most %d characters.", name, most),
		"string_above_max_length")
}

// oneOf makes the reader of a string that is one of the words.
func oneOf(words []string) reader {
	return func(_ *Request, name string, s *scanner) *Error {
		_, problem := readWord(name, words, s)
		return problem
	}
}

// readWord reads a string that is one of the words; empty if it is null.
func readWord(name string, words []string, s *scanner) (string, *Error) {
	if readNull(s) {
		return "", nil
	}
	if s.peek() != '"' {
		return "", wrongType(name, listOf(words), s)
	}
	value := s.text().decode()
	for _, word := range words {
		if string(value) == word {
			return word, nil
		}
	}
	if s.err == nil {
		return "", notSupported(name, string(value), listOf(words))
	}
	return "", nil // The scanner says what is wrong.
}

func notSupported(name, value, want string) *Error {
	return coded(InvalidRequest(name, "Invalid value for '%s': expected %s, but got '%.40s' instead.", name, want, value), "invalid_value")
}

// listOf returns "one of 'a', 'b' and 'c'".
func listOf(words []string) string {
	last := len(words) - 1
	return "one of '" + strings.Join(words[:last], "', '") + "' and '" + words[last] + "'"
}

// number makes the reader of a number. It is compared as upstreams compare it, as a float of 64 bits; its text stays what it is.
func number(low, high float64) reader {
	want := "a number from " + formatNumber(low) + " to " + formatNumber(high)
	return func(_ *Request, name string, s *scanner) *Error {
		if readNull(s) {
			return nil
		}
		return readNumber(name, want, low, high, s)
	}
}

func readNumber(name, want string, low, high float64, s *scanner) *Error {
	if s.kind() != "a number" {
		return wrongType(name, want, s)
	}
	text := s.scalar()
	if text == nil { // no number: the scanner says why
		return nil
	}
	value, _ := strconv.ParseFloat(string(text), 64) // An overflow is an infinity, which is out of every range.
	const message = "Invalid '%s': decimal %s value. Expected %s, but got %.40s instead."
	switch {
	case value > high:
		return coded(InvalidRequest(name, message, name, "above maximum", want, text), "decimal_above_max_value")
	case value < low:
		return coded(InvalidRequest(name, message, name, "below minimum", want, text), "decimal_below_min_value")
	}
	return nil
}

func formatNumber(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

// integer makes the reader of an integer of at least least, within 64 bits.
func integer(least int64) reader {
	return func(_ *Request, name string, s *scanner) *Error {
		_, problem := readInteger(name, s, least)
		return problem
	}
}

// readInteger reads an integer of at least least; nil if it is null.
func readInteger(param string, s *scanner, least int64) (*int64, *Error) {
	if readNull(s) {
		return nil, nil
	}
	if s.kind() != "a number" {
		return nil, wrongType(param, "an integer", s)
	}
	text := string(s.scalar())
	if text == "" { // no number: the scanner says why
		return nil, nil
	}
	if strings.ContainsAny(text, ".eE") {
		return nil, coded(InvalidRequest(param,
			"Invalid type for '%s': expected an integer, written in plain digits, but got %.40s instead.", param, text), "invalid_type")
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil && !strings.HasPrefix(text, "-") {
		return nil, coded(InvalidRequest(param, "Invalid '%s': integer above maximum value. %.40s does not fit 64 bits.", param, text),
			"integer_above_max_value")
	}
	if err != nil || value < least {
		return nil, coded(InvalidRequest(param, "Invalid '%s': integer below minimum value. Expected a value >= %d, but got %.40s instead.",
			param, least, text), "integer_below_min_value")
	}
	return &value, nil
}

// readIntegerUpTo reads an integer between least and most; nil if it is null.
func readIntegerUpTo(name string, s *scanner, least, most int64) (*int64, *Error) {
	value, problem := readInteger(name, s, least)
	if value != nil && *value > most {
		return nil, coded(InvalidRequest(name, "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %d instead.",
			name, most, *value), "integer_above_max_value")
	}
	return value, problem
}
