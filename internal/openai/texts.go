package openai

import (
	"strconv"
	"strings"
)

// maxTexts is how many texts one request may have, by OpenAI's schema.
const maxTexts = 2048

const wantTexts = "a string, an array of strings, an array of token ids or an array of such arrays"

// maxTokenID has more digits than any id of a token has.
const maxTokenID = 10

// readPrompt reads the texts that are to be completed.
func readPrompt(r *Request, name string, s *scanner) (int64, *Error) {
	texts := &textReader{request: r, name: name, scanner: s}
	return texts.read()
}

// textReader reads texts, of which each is a prompt of its own: one or several, each as a string or as the ids of its tokens.
type textReader struct {
	request *Request
	name    string
	scanner *scanner
	// parts says that a text may also be an object with parts of which not all are text; filled, that no text may be empty.
	parts, filled bool
}

// read returns how many bytes the texts put into their prompts. The id of a token counts as one, which the token is.
func (t *textReader) read() (bytes int64, problem *Error) {
	s := t.scanner
	t.request.Prompts = 1
	if s.peek() != '[' {
		return t.one(t.name)
	}
	s.enterArray()
	if first := s.kind(); first == "" || first == "a number" {
		return t.ids(t.name)
	}
	return t.several()
}

// several reads the texts of an array that has been entered.
func (t *textReader) several() (bytes int64, problem *Error) {
	s, count := t.scanner, int64(0)
	kind := s.kind()
	for ; s.nextElement(); count++ {
		path := t.name + "[" + strconv.FormatInt(count, 10) + "]"
		if found := s.kind(); found != kind && s.err == nil {
			return 0, wrongType(path, kind+" as the others are", s)
		}
		size, problem := t.one(path)
		if problem != nil {
			return 0, problem
		}
		bytes += size
	}
	if t.request.Prompts = count; count > maxTexts {
		return 0, coded(InvalidRequest(t.name, "Invalid '%s': array too long. Expected at most %d texts.", t.name, maxTexts),
			"array_above_max_length")
	}
	return bytes, nil
}

// one reads a text.
func (t *textReader) one(path string) (bytes int64, problem *Error) {
	s := t.scanner
	switch s.peek() {
	case '"':
		text := s.text()
		if t.filled && text.decoded == 0 && s.err == nil {
			return 0, coded(InvalidRequest(path, "Invalid '%s': it must not be empty.", path), "empty_string")
		}
		return text.plainBytes(), nil
	case '[':
		s.enterArray()
		return t.ids(path)
	case '{':
		if t.parts {
			value := s.span()
			t.request.unbounded(value, "%s", path)
			return jsonBytes(value), nil
		}
	}
	return 0, wrongType(path, wantTexts, s)
}

// ids reads the ids of a text's tokens from an array that has been entered. A token is put into the prompt as it is.
func (t *textReader) ids(path string) (count int64, problem *Error) {
	s := t.scanner
	for ; s.nextElement(); count++ {
		if s.kind() != "a number" {
			return 0, wrongType(path+"["+strconv.FormatInt(count, 10)+"]", "the id of a token", s)
		}
		if id := s.scalar(); s.err == nil && (len(id) > maxTokenID || strings.ContainsAny(string(id), "-.eE")) {
			return 0, coded(InvalidRequest(path, "Invalid type for '%s': expected ids of tokens, in plain digits, but got %.40s instead.",
				path, id), "invalid_type")
		}
	}
	if count == 0 && s.err == nil {
		return 0, coded(InvalidRequest(path, "Invalid '%s': empty array. Expected at least one text or token.", path), "empty_array")
	}
	return count, nil
}

// leastOfTexts returns how few tokens the longest of several texts can be.
func leastOfTexts(content []byte) int64 {
	s := &scanner{data: content}
	if s.peek() == '"' {
		return leastOfLetters(lettersIn(s.text()))
	}
	least, ids := int64(1), int64(0)
	for s.enterArray(); s.nextElement(); {
		switch s.peek() {
		case '"':
			least = max(least, leastOfLetters(lettersIn(s.text())))
		case '[':
			count := int64(0)
			for s.enterArray(); s.nextElement(); count++ {
				s.walk()
			}
			least = max(least, count)
		default:
			s.walk()
			ids++
		}
	}
	return max(least, ids)
}
