package upstream

import (
	"iter"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxTokensPerMessage bounds what the chat template adds to each message (role marks, separators).
	MaxTokensPerMessage = 8
	// MaxTokensPerRequest bounds what the chat template adds to a request once (start, marks around the tools).
	MaxTokensPerRequest = 16

	templateMessage = 8
	templateRequest = 4
	templateTools   = 8

	tokenBytes = 4
)

// CountTokens is the tokenizer's length of text. It is never more than the bytes of text.
func CountTokens(text string) int {
	count := 0
	for range tokens(text) {
		count++
	}
	return count
}

// tokens cuts text into its tokens: pieces of a word up to four bytes with the space before it, runs of white space,
// single other characters. The pieces joined are the text, and none splits a character.
func tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := tokenLength(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

type runeClass int

const (
	classOther runeClass = iota
	classWord
	classSpace
)

func classOf(r rune) runeClass {
	switch {
	case unicode.IsSpace(r):
		return classSpace
	case unicode.IsLetter(r), unicode.IsDigit(r):
		return classWord
	default:
		return classOther
	}
}

func tokenLength(text string) int {
	first, n := utf8.DecodeRuneInString(text)
	class := classOf(first)
	if next, _ := utf8.DecodeRuneInString(text[n:]); first == ' ' && classOf(next) == classWord {
		class = classWord
	}
	if class == classOther {
		return n
	}
	for n < len(text) {
		r, size := utf8.DecodeRuneInString(text[n:])
		if classOf(r) != class || n+size > tokenBytes {
			break
		}
		n += size
	}
	return n
}

// conversationTokens counts what the provider reads: the messages with what the template adds, the tools and the schema.
func conversationTokens(req *request) int {
	count := templateRequest + toolTokens(req) + CountTokens(req.format.schemaText)
	for i := range req.prompts[0].messages {
		count += messageTokens(&req.prompts[0].messages[i])
	}
	return count
}

func messageTokens(m *message) int {
	count := templateMessage + CountTokens(m.text) + CountTokens(m.Name) + CountTokens(m.ToolCallID)
	for _, call := range m.ToolCalls {
		count += CountTokens(call.ID) + CountTokens(call.Function.Name) + CountTokens(call.Function.Arguments)
	}
	return count
}

func toolTokens(req *request) int {
	if len(req.tools) == 0 {
		return 0
	}
	return templateTools + CountTokens(req.toolsText)
}
