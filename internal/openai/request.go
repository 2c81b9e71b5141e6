package openai

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Request is one request of an Operation. Operation.Parse makes it; its fields say what the client asked, and Set keeps those of them that
// bound the cost in step with what will be sent. A Request is for one request and one goroutine.
type Request struct {
	// Operation is what is asked for.
	Operation *Operation
	// Model is the model's name as the client sent it, or as SetModel set it.
	Model string
	// Stream is true if the answer is to come as server-sent events.
	Stream bool
	// IncludeUsage is true if a stream is to have its usage: because the client asked for it, with stream_options.include_usage or with
	// OpenRouter's older usage.include, or because streams of the operation always have it. RequestUsage does not change it.
	IncludeUsage bool
	// N is how many choices are asked for of each prompt; 1 where absent or null.
	N int64
	// Prompts is how many prompts there are, each of which is answered by itself: 1 of a chat.
	Prompts int64
	// PromptBytes is an upper bound of the bytes that the request's own text takes in its prompts; PromptTokensBound adds what stands
	// around it.
	PromptBytes int64
	// Messages is how many messages of a chat there are.
	Messages int
	// UnboundedInput is the path of the first input whose tokens its bytes do not bound, such as messages[0].content[1] where that is an
	// image; empty if there is none.
	UnboundedInput string

	document         document
	bestOf           int64      // of how many choices the best are returned; 0 where absent or null
	limits           [2]*int64  // the completion limits, in the order of the operation's names; nil where absent or null
	edited           []byte     // what Body returns; nil if it has to be made
	tools, functions int        // how many of them are offered
	toolTokens       int64      // the most tokens that the upstream itself adds to describe some of them
	format           bool       // a response format is asked for,
	olderFormat      bool       // and so it is under an older name
	thinkingBudget   int64      // how many tokens of the completion limit are for thinking; 0 where that is not said
	truncates        bool       // the upstream may shorten the prompt
	forbidden        string     // the path of the first field that is the route's
	cacheMark        string     // the path of the first mark for caching
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

// Parse reads the body of a request strictly; the error says what to change. The Request keeps the body, which must not be written to any
// more.
//
// Where two readers of a body could see different things, it is refused: a key twice in one object (in the prompt's own objects and at the
// top level also keys that differ only in case, since some servers ignore case), a known parameter spelt in another case, numbers that are
// not plainly integers where an integer is meant (1.0 and 1e3 are integers to some readers and not to others), text that is no UTF-8.
// Parameters are case-sensitive. Members that this package does not know are neither read nor changed.
func (o *Operation) Parse(body []byte) (*Request, *Error) {
	if problem := o.checkText(body); problem != nil {
		return nil, problem
	}
	s := &scanner{data: body, unique: true, fold: true}
	r := &Request{Operation: o, IncludeUsage: !o.usageOption, N: 1, Prompts: 1}
	r.document = document{raw: body, members: make([]member, 0, usualMembers)}
	if kind := s.kind(); kind != "an object" {
		return nil, o.notAnObject(s, kind)
	}
	for s.enterObject(); s.nextMember(); {
		if problem := r.readMember(s); problem != nil {
			return nil, problem
		}
	}
	r.document.end = s.pos - 1
	s.end()
	if s.err != nil {
		return nil, badJSON(s.err)
	}
	for _, name := range o.required {
		if !r.Has(name) {
			return nil, missing(name)
		}
	}
	if o.check != nil {
		if problem := o.check(r); problem != nil {
			return nil, problem
		}
	}
	return r, nil
}

func (o *Operation) checkText(body []byte) *Error {
	switch {
	case len(body) == 0:
		return InvalidRequest("", "The body is empty; send a JSON object with %s.", o.requirements())
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

func (o *Operation) notAnObject(s *scanner, kind string) *Error {
	if s.walk(); kind == "" || s.err != nil {
		s.fail(s.pos, "expected a JSON object")
		return badJSON(s.err)
	}
	return InvalidRequest("", "The body must be a JSON object with %s, but it is %s.", o.requirements(), kind)
}

func badJSON(err *syntaxError) *Error {
	if err.key != "" {
		return coded(InvalidRequest(err.key, "A reader of the body could take either value: %s.", err), "duplicate_key")
	}
	return coded(InvalidRequest("", "The body is not valid JSON: %s.", err), "invalid_json")
}

// readMember reads the member that the scanner has found and notes where it is.
func (r *Request) readMember(s *scanner) *Error {
	known := r.Operation.parameters
	m := member{parameter: known.byName[string(s.key)], key: s.keyStart, keyEnd: s.keyEnd}
	if m.parameter != nil {
		m.name = m.parameter.name
	} else {
		m.name = string(s.key)
		if other := known.byName[string(foldName(s.key))]; other != nil {
			return coded(InvalidRequest(m.name, "Unknown parameter: '%s'. Did you mean '%s'?", m.name, other.name), "unknown_parameter")
		}
	}
	s.peek()
	m.start = s.pos
	s.fold = m.parameter.isContent() // the keys of a JSON schema may well differ only in case
	var problem *Error
	if m.prompt, problem = r.read(m.name, m.parameter, s); problem != nil {
		return problem
	}
	if m.end = s.pos; s.err == nil {
		r.PromptBytes += m.prompt
		r.document.members = append(r.document.members, m)
	}
	return nil
}

// Choices is how many choices are made of each prompt, and paid for. It may be more than are returned.
func (r *Request) Choices() int64 { return max(r.N, r.bestOf) }

// Has reports whether the body has a top-level member of this name; null counts.
func (r *Request) Has(name string) bool { return r.document.find(name) != nil }

// Body returns the body as it stands after the edits. Every byte that no edit replaced is as the client sent it. The slice must not be
// written to; later edits leave it alone.
func (r *Request) Body() []byte {
	if r.edited == nil {
		r.edited = r.document.bytes()
	}
	return r.edited
}

// Set gives the top-level member name this value, in place where it is present, else before the closing brace. It fails if the
// value is not one JSON value or is of a wrong type for the parameter, which is a mistake in the route. The content of the prompt, such as
// messages, cannot be set.
func (r *Request) Set(name string, value json.RawMessage) error {
	known := r.Operation.parameters.byName[name]
	if known.isContent() {
		return fmt.Errorf("setting %s: it is the client's", name)
	}
	s := &scanner{data: value, unique: true}
	next := *r
	prompt, problem := next.read(name, known, s)
	if problem != nil {
		return fmt.Errorf("setting %s: %s", name, problem.Message)
	}
	if s.end(); s.err != nil {
		return fmt.Errorf("setting %s: %w", name, s.err)
	}
	next.forbidden, next.cacheMark, next.IncludeUsage = r.forbidden, r.cacheMark, r.IncludeUsage
	next.modalities, next.voice = r.modalities, r.voice
	*r = next
	m := r.document.set(name, value)
	r.PromptBytes += prompt - m.prompt
	m.prompt = prompt
	r.edited = nil
	return nil
}

// SetModel gives the model's name at the upstream.
func (r *Request) SetModel(id string) {
	r.Model = id
	r.replace("model", quote(id))
}

// RequestUsage asks for usage on a stream, where it has to be asked for, and keeps the other members of stream_options.
func (r *Request) RequestUsage() {
	if !r.Operation.usageOption {
		return
	}
	options := []byte(`{"include_usage":true}`)
	if old := r.document.get("stream_options"); old != nil && string(old) != "null" {
		object := parseObject(old)
		if string(object.get("include_usage")) == "true" {
			return
		}
		object.set("include_usage", []byte("true"))
		options = object.bytes()
	}
	r.replace("stream_options", options)
}

// replace sets a member that puts nothing into the prompt.
func (r *Request) replace(name string, value []byte) {
	r.document.set(name, value)
	r.edited = nil
}
