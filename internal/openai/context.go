package openai

import "net/http"

const (
	// maxTokenBytes is more letters and digits than any token of a known vocabulary has: the longest have about 60.
	maxTokenBytes = 128
	// compressedContext is up to which context OpenRouter shortens prompts that are too long, unless the request says otherwise.
	compressedContext = 8192
)

// CheckContext refuses a request that surely does not fit the model's context, as OpenAI does: its completion limit, which the proxy
// lowers to maxCompletion if that is above 0, and the fewest tokens that its prompt can have are more than contextLength. All else is
// for the upstream to decide, since only it knows the tokens.
func (r *Request) CheckContext(contextLength, maxCompletion int64, provider Provider) *Error {
	limit := int64(1)
	if asked := r.CompletionLimit(); asked != nil {
		limit = *asked
	}
	if maxCompletion > 0 {
		limit = min(limit, maxCompletion)
	}
	if !r.Operation.Completes() {
		return nil // Servers of embeddings may well shorten a prompt.
	}
	// Most requests are so short that their prompt need not be looked at. Of no prompt the least is more than the most.
	if contextLength <= 0 || limit < contextLength-r.PromptBytes {
		return nil
	}
	least, content := int64(1), r.Operation.content
	if r.promptStays(contextLength, provider) {
		least = r.leastPromptTokens()
	}
	if limit <= contextLength-least {
		return nil
	}
	return newError(http.StatusBadRequest, TypeInvalidRequest, CodeContextLengthExceeded, content,
		"This model's maximum context length is %d tokens. However, you requested at least %d tokens (%d in the %s, %d in the "+
			"completion). Please reduce the length of the %[4]s or completion.",
		contextLength, saturated(least, limit), least, content, limit)
}

func saturated(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return maxInt64
}

// promptStays reports whether the upstream surely takes the prompt as it is: OpenRouter shortens prompts for small contexts, and a
// parameter that is not known may ask for the same, as vLLM's truncate_prompt_tokens does.
func (r *Request) promptStays(contextLength int64, provider Provider) bool {
	if r.truncates || provider == OpenRouter && contextLength <= compressedContext {
		return false
	}
	for i := range r.document.members {
		if m := &r.document.members[i]; m.start != 0 && m.parameter == nil {
			return false
		}
	}
	return true
}

// leastPromptTokens returns a number of tokens that the longest prompt of this request cannot be below.
func (r *Request) leastPromptTokens() int64 {
	if r.Operation.leastTokens == nil {
		return 1
	}
	return r.Operation.leastTokens(r.document.get(r.Operation.content))
}

// leastOfLetters returns how few tokens so many letters and digits of ASCII can be, and the mark that begins a prompt.
func leastOfLetters(letters int64) int64 { return letters/maxTokenBytes + 1 }

// leastOfMessages counts the letters and digits of ASCII in what a user wrote in messages. Templates trim white space, tokenizers compose
// characters and have long tokens for lines and indents; but every one of these is in the prompt, and a token holds fewer than
// maxTokenBytes of them.
func leastOfMessages(messages []byte) int64 {
	var letters int64
	s := &scanner{data: messages}
	for s.enterArray(); s.nextElement(); {
		var byUser bool
		var count int64
		for s.enterObject(); s.nextMember(); {
			switch {
			case string(s.key) == "role":
				byUser = decodeString(s.span()) == "user"
			case string(s.key) == "content":
				count = s.contentLetters()
			default:
				s.walk()
			}
		}
		if byUser {
			letters += count
		}
	}
	return leastOfLetters(letters)
}

// leastOfInput is leastOfMessages for an input, which may be the user's text itself.
func leastOfInput(input []byte) int64 {
	if s := (&scanner{data: input}); s.peek() == '"' {
		return leastOfLetters(lettersIn(s.text()))
	}
	return leastOfMessages(input)
}

// contentLetters goes over the content of a message and counts the letters and digits of its text.
func (s *scanner) contentLetters() (count int64) {
	if s.peek() == '"' {
		return lettersIn(s.text())
	}
	if s.peek() != '[' {
		s.walk()
		return 0
	}
	for s.enterArray(); s.nextElement(); {
		if s.peek() != '{' {
			s.walk()
			continue
		}
		kind, letters := "", int64(0)
		for s.enterObject(); s.nextMember(); {
			switch key := string(s.key); {
			case key == "type":
				kind = decodeString(s.span())
			case key == "text" && s.peek() == '"':
				letters = lettersIn(s.text())
			default:
				s.walk()
			}
		}
		if kind == "text" || kind == "input_text" {
			count += letters
		}
	}
	return count
}

func lettersIn(t token) (count int64) {
	for _, c := range t.decode() {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' {
			count++
		}
	}
	return count
}
