package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Chat is one chat completion request. ParseChat makes it; its fields say what the client asked, and Set keeps those of them that
// bound the cost in step with what will be sent. A Chat is for one request and one goroutine.
type Chat struct {
	// Model is the model's name as the client sent it, or as SetModel set it.
	Model string
	// Stream is true if the answer is to come as server-sent events.
	Stream bool
	// IncludeUsage is true if the client asked for the usage of a stream, with stream_options.include_usage or with OpenRouter's older
	// usage.include. RequestUsage does not change it.
	IncludeUsage bool
	// MaxTokens and MaxCompletionTokens are the two names of the completion limit, in tokens per choice; nil where absent or null.
	MaxTokens, MaxCompletionTokens *int64
	// N is how many choices are asked for; 1 where absent or null.
	N int64
	// PromptBytes is an upper bound of the bytes that the request's own text takes in a prompt; PromptTokensBound adds what a template
	// adds.
	PromptBytes int64
	// Messages is how many messages there are.
	Messages int
	// UnboundedInput is the path of the first input whose tokens its bytes do not bound, such as messages[0].content[1] where that is an
	// image; empty if there is none.
	UnboundedInput string

	document  document
	edited    []byte // what Body returns; nil if it has to be made
	tools     int    // how many tools and functions are offered
	format    bool   // a response format is asked for
	forbidden string // what ForbiddenField returns
}

// byteOrderMark is U+FEFF as some editors put it before a text. RFC 8259 forbids it in front of JSON.
const byteOrderMark = "\ufeff"

// ParseChat reads the body of POST /chat/completions strictly; the error says what to change. The Chat keeps the body, which must not
// be written to any more.
//
// Where two readers of a body could see different things, it is refused: a key twice in one object (in messages and at the top level also
// keys that differ only in case, since some servers ignore case), a known parameter spelt in another case, numbers that are not plainly
// integers where an integer is meant (1.0 and 1e3 are integers to some readers and not to others), text that is no UTF-8. Parameters are
// case-sensitive. Members that this package does not know are neither read nor changed.
func ParseChat(body []byte) (*Chat, *Error) {
	if problem := checkText(body); problem != nil {
		return nil, problem
	}
	s := &scanner{data: body, unique: true, fold: true}
	c := &Chat{N: 1, document: document{raw: body}}
	if kind := s.kind(); kind != "an object" {
		return nil, notAnObject(s, kind)
	}
	for s.enterObject(); s.nextMember(); {
		if problem := c.readMember(s); problem != nil {
			return nil, problem
		}
	}
	c.document.end = s.pos - 1
	s.end()
	if s.err != nil {
		return nil, badJSON(s.err)
	}
	return c, c.checkRequired()
}

func checkText(body []byte) *Error {
	switch {
	case len(body) == 0:
		return InvalidRequest("", "The body is empty; send a JSON object with model and messages.")
	case len(body) >= len(byteOrderMark) && string(body[:len(byteOrderMark)]) == byteOrderMark:
		return InvalidRequest("", "The body begins with a byte order mark; send UTF-8 without one.")
	case !utf8.Valid(body):
		return InvalidRequest("", "The body is not valid UTF-8: the first bad byte is at %d.", firstInvalid(body))
	}
	return nil
}

func firstInvalid(body []byte) int {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(body)
}

func notAnObject(s *scanner, kind string) *Error {
	if s.walk(); kind == "" || s.err != nil {
		s.fail(s.pos, "expected a JSON object")
		return badJSON(s.err)
	}
	return InvalidRequest("", "The body must be a JSON object with model and messages, but it is %s.", kind)
}

func badJSON(err *syntaxError) *Error {
	if err.key != "" {
		return coded(InvalidRequest(err.key, "A reader of the body could take either value: %s.", err), "duplicate_key")
	}
	return coded(InvalidRequest("", "The body is not valid JSON: %s.", err), "invalid_json")
}

func (c *Chat) checkRequired() *Error {
	for _, name := range []string{"model", "messages"} {
		if !c.Has(name) {
			return coded(InvalidRequest(name, "Missing required parameter: '%s'.", name), "missing_required_parameter")
		}
	}
	return nil
}

// readMember reads the member that the scanner has found and notes where it is.
func (c *Chat) readMember(s *scanner) *Error {
	name := string(s.key)
	if known := parameter(foldName(s.key)); known != "" && known != name {
		return coded(InvalidRequest(name, "Unknown parameter: '%s'. Did you mean '%s'?", name, known), "unknown_parameter")
	}
	s.peek()
	start := s.pos
	s.fold = name == "messages" // the keys of a JSON schema may well differ only in case
	prompt, problem := c.read(name, s)
	if problem != nil {
		return problem
	}
	if s.err == nil {
		c.PromptBytes += prompt
		c.document.members = append(c.document.members, member{name: name, start: start, end: s.pos, prompt: prompt})
	}
	return nil
}

// Has reports whether the body has a top-level member of this name; null counts.
func (c *Chat) Has(name string) bool { return c.document.find(name) != nil }

// Body returns the body as it stands after the edits. Every byte that no edit replaced is as the client sent it. The slice must not be
// written to; later edits leave it alone.
func (c *Chat) Body() []byte {
	if c.edited == nil {
		c.edited = c.document.bytes()
	}
	return c.edited
}

// Set gives the top-level member name this value, in place where it is present, else before the closing brace. It fails if the
// value is not one JSON value or is of a wrong type for the parameter, which is a mistake in the route. The messages cannot be set.
func (c *Chat) Set(name string, value json.RawMessage) error {
	if name == "messages" {
		return errors.New("setting messages: they are the client's")
	}
	s := &scanner{data: value, unique: true}
	next := *c
	prompt, problem := next.read(name, s)
	s.end()
	if s.err != nil {
		return fmt.Errorf("setting %s: %w", name, s.err)
	}
	if problem != nil {
		return fmt.Errorf("setting %s: %s", name, problem.Message)
	}
	m := next.document.set(name, value)
	next.PromptBytes += prompt - m.prompt
	m.prompt = prompt
	next.edited, next.forbidden, next.IncludeUsage = nil, c.forbidden, c.IncludeUsage
	*c = next
	return nil
}

// SetDefault sets the member if the client left it out. A null is the client's choice and stays. The two names of the completion
// limit are one parameter here, and null names none: either is set only if neither has a number.
func (c *Chat) SetDefault(name string, value json.RawMessage) error {
	if isLimit(name) {
		if c.CompletionLimit() != nil {
			return nil
		}
	} else if c.Has(name) {
		return nil
	}
	return c.Set(name, value)
}

// SetModel gives the model's name at the upstream.
func (c *Chat) SetModel(id string) {
	c.Model = id
	c.replace("model", quote(id))
}

// RequestUsage asks for usage on a stream and keeps the other members of stream_options.
func (c *Chat) RequestUsage() {
	options := []byte(`{"include_usage":true}`)
	if old := c.document.get("stream_options"); old != nil && string(old) != "null" {
		object := parseObject(old)
		if string(object.get("include_usage")) == "true" {
			return
		}
		object.set("include_usage", []byte("true"))
		options = object.bytes()
	}
	c.replace("stream_options", options)
}

// CompletionLimit returns the larger of the two completion limits, in tokens per choice; nil if the request names none. The larger counts
// because upstreams differ in which of the two they obey.
func (c *Chat) CompletionLimit() *int64 {
	if c.MaxTokens == nil || (c.MaxCompletionTokens != nil && *c.MaxCompletionTokens > *c.MaxTokens) {
		return c.MaxCompletionTokens
	}
	return c.MaxTokens
}

// LimitCompletion makes the request carry a completion limit of at most limit tokens: it lowers those that are named and are larger,
// and where none is named it sets field, which is max_tokens or max_completion_tokens.
func (c *Chat) LimitCompletion(limit int64, field string) {
	if c.CompletionLimit() == nil {
		c.setLimit(field, limit)
		return
	}
	if c.MaxTokens != nil && *c.MaxTokens > limit {
		c.setLimit("max_tokens", limit)
	}
	if c.MaxCompletionTokens != nil && *c.MaxCompletionTokens > limit {
		c.setLimit("max_completion_tokens", limit)
	}
}

func (c *Chat) setLimit(field string, limit int64) {
	if field == "max_tokens" {
		c.MaxTokens = &limit
	} else {
		field, c.MaxCompletionTokens = "max_completion_tokens", &limit
	}
	c.replace(field, strconv.AppendInt(nil, limit, 10))
}

// replace sets a member that puts nothing into the prompt.
func (c *Chat) replace(name string, value []byte) {
	c.document.set(name, value)
	c.edited = nil
}

func isLimit(name string) bool { return name == "max_tokens" || name == "max_completion_tokens" }
