package openai

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A prompt is the request's own text and what the model's chat template adds to it. Byte-level and byte-fallback tokenizers, which
// is what language models have, never make more tokens than there are bytes of what they read. (Some of them, Qwen's for one, read
// the text in normal form C; see plainBytes. Form KC, which some models before 2021 read, is not covered.) The figures below bound
// what templates add, in tokens; they are above what is known of published templates, and small beside any prompt that matters.
const (
	// messageOverhead is for the marks around one message; ChatML needs 4 to 7.
	messageOverhead = 16
	// requestOverhead is for what stands in every prompt: the begin mark, the opening of the answer, and a system text that the
	// template brings along, as those of Llama 3.1 (dates, about 30), Qwen 2.5 (a default system message, about 20) and gpt-oss
	// (channels and effort, about 100) do.
	requestOverhead = 256
	// toolsOverhead is for the instructions that come with tools, functions or a response format; Qwen 2.5 has about 180, Claude 3
	// Opus 530.
	toolsOverhead = 1024
	// toolOverhead is for the marks around one tool.
	toolOverhead = 32
)

// PromptTokensBound returns a number of tokens that the prompts of the request cannot exceed together: at most contextLength for each,
// which no prompt exceeds, and at most one token for each byte of PromptBytes with what stands around it. A contextLength of 0 or less
// means that it is not known. Input that is no text (UnboundedInput) is bounded by contextLength alone.
func PromptTokensBound(request *Request, contextLength int64) int64 {
	content := int64(0)
	if m := request.document.find(request.Operation.content); m != nil {
		content = m.prompt
	}
	// What else puts something into a prompt, such as a suffix, puts it into each of them.
	bound := content + request.Prompts*(request.PromptBytes-content+request.Operation.overhead(request))
	if most := request.Prompts * contextLength; contextLength > 0 && (bound > most || request.UnboundedInput != "") {
		return most
	}
	return bound
}

// chatOverhead is what the template of a chat adds.
func chatOverhead(r *Request) int64 {
	overhead := requestOverhead + messageOverhead*int64(r.Messages)
	if tools := r.tools + r.functions; tools > 0 || r.format || r.olderFormat {
		overhead += toolsOverhead + toolOverhead*int64(tools) + r.toolTokens
	}
	return overhead
}

// What a byte of JSON can become when a template writes the value out again, in tokens.
const (
	// structureWeight: a comma or a bracket stays one token, and an indenting writer puts a line feed and one run of spaces beside it.
	structureWeight = 3
	// escapeWeight: a writer for ASCII only makes the six bytes of \u00e9 of the two of é, and as much or less of longer characters.
	escapeWeight = 3
	// markupWeight: a writer for HTML makes \u003c of <. DEL is escaped in the same way.
	markupWeight = 6
	// exponentWeight: 1e20 becomes 100000000000000000000.0 at most; beyond, writers use an exponent themselves.
	exponentWeight = 24
)

// jsonWeights has the weight of every byte wherever it stands, so that JSON inside of a string, such as the arguments of a tool call, is
// covered as well.
var jsonWeights = func() (weights [256]int64) {
	for c := range weights {
		weights[c] = 1
		if c >= 0x80 {
			weights[c] = escapeWeight
		}
	}
	for _, c := range "{}[],:" {
		weights[c] = structureWeight
	}
	for _, c := range "<>&'\x7f" {
		weights[c] = markupWeight
	}
	return weights
}()

// jsonBytes bounds the tokens of a JSON value that a template parses and writes out again in a style of its own.
func jsonBytes(raw []byte) int64 {
	var total int64
	afterDigit := false
	for _, c := range raw {
		if afterDigit && (c == 'e' || c == 'E') {
			total += exponentWeight
		}
		total += jsonWeights[c]
		afterDigit = '0' <= c && c <= '9'
	}
	return total
}

// normalGrowth is by how much the normal form C of a text can be longer than the text (Unicode Standard Annex 15, "Stability of
// normalized forms").
const normalGrowth = 3

// plainBytes bounds the tokens of text that is put into the prompt as it is.
func (t token) plainBytes() int64 {
	if isASCII(t.inner) && !t.wide || norm.NFC.IsNormal(t.decode()) {
		return int64(t.decoded)
	}
	return normalGrowth * int64(t.decoded)
}

// listBytes bounds the tokens of a list of parts, of which a template takes the texts, or which a server writes out as a list. Escaped
// characters take as many bytes in the list as their normal form has at most.
func listBytes(raw []byte, parts int) int64 {
	size := int64(len(raw)) + int64(parts)*partOverhead
	if norm.NFC.IsNormal(raw) {
		return size
	}
	return normalGrowth * size
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
