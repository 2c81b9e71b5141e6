package openai

import (
	"encoding/json"
	"errors"
	"fmt"
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

	document         document
	edited           []byte     // what Body returns; nil if it has to be made
	tools, functions int        // how many of them are offered
	format           bool       // a response format is asked for
	forbidden        string     // the path of the first field that is the route's
	modalities       modalities // the kinds of output that are asked for by name
	voice            bool       // spoken output is described
	logprobs         bool       // log probabilities are asked for,
	topLogprobs      bool       // and those of other tokens
	// effort is reasoning_effort, reasoningEffort is reasoning.effort.
	effort, reasoningEffort string
}

// byteOrderMark is U+FEFF as some editors put it before a text. RFC 8259 forbids it in front of JSON.
const byteOrderMark = "\ufeff"

// usualMembers is how many members a request has room for at first, with those that are added to it.
const usualMembers = 12

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
	c := &Chat{N: 1, document: document{raw: body, members: make([]member, 0, usualMembers)}}
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
	if problem := c.checkRequired(); problem != nil {
		return nil, problem
	}
	if problem := c.checkTogether(); problem != nil {
		return nil, problem
	}
	return c, nil
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
			return missing(name)
		}
	}
	return nil
}

// checkTogether checks parameters of which one says what another may be.
func (c *Chat) checkTogether() *Error {
	switch {
	case c.topLogprobs && !c.logprobs:
		return conflict("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.")
	case c.effort != "" && c.reasoningEffort != "" && c.effort != c.reasoningEffort:
		return conflict("reasoning_effort", "'reasoning_effort' and 'reasoning.effort' contradict each other: send one of them.")
	}
	return nil
}

// readMember reads the member that the scanner has found and notes where it is.
func (c *Chat) readMember(s *scanner) *Error {
	m := member{parameter: byName[string(s.key)], key: s.keyStart, keyEnd: s.keyEnd}
	if m.parameter != nil {
		m.name = m.parameter.name
	} else {
		m.name = string(s.key)
		if known := byName[string(foldName(s.key))]; known != nil {
			return coded(InvalidRequest(m.name, "Unknown parameter: '%s'. Did you mean '%s'?", m.name, known.name), "unknown_parameter")
		}
	}
	s.peek()
	m.start = s.pos
	s.fold = m.name == "messages" // the keys of a JSON schema may well differ only in case
	var problem *Error
	if m.prompt, problem = c.read(m.name, m.parameter, s); problem != nil {
		return problem
	}
	if m.end = s.pos; s.err == nil {
		c.PromptBytes += m.prompt
		c.document.members = append(c.document.members, m)
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
	prompt, problem := next.read(name, byName[name], s)
	if problem != nil {
		return fmt.Errorf("setting %s: %s", name, problem.Message)
	}
	if s.end(); s.err != nil {
		return fmt.Errorf("setting %s: %w", name, s.err)
	}
	next.forbidden, next.IncludeUsage, next.modalities, next.voice = c.forbidden, c.IncludeUsage, c.modalities, c.voice
	*c = next
	m := c.document.set(name, value)
	c.PromptBytes += prompt - m.prompt
	m.prompt = prompt
	c.edited = nil
	return nil
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

// replace sets a member that puts nothing into the prompt.
func (c *Chat) replace(name string, value []byte) {
	c.document.set(name, value)
	c.edited = nil
}
