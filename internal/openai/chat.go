package openai

import (
	"encoding/json"
	"errors"
)

// Chat is one chat completion request. ParseChat makes it; its fields say what the client asked, and Set keeps those of them that bound the
// cost in step with what will be sent. A Chat is for one request and one goroutine.
type Chat struct {
	// Model is the model's name as the client sent it, or as SetModel set it.
	Model string
	// Stream is true if the answer is to come as server-sent events.
	Stream bool
	// IncludeUsage is true if the client asked for the usage chunk of a stream. RequestUsage does not change it.
	IncludeUsage bool
	// MaxTokens and MaxCompletionTokens are the two names of the completion limit, in tokens per choice; nil where absent or null.
	MaxTokens, MaxCompletionTokens *int64
	// N is how many choices are asked for; 1 where absent or null.
	N int64
	// PromptBytes is an upper bound of the bytes that the request's own text takes in a prompt; PromptTokensBound adds what a template adds.
	PromptBytes int64
	// Messages is how many messages there are.
	Messages int
	// UnboundedInput is the path of the first input whose tokens its bytes do not bound, such as messages[0].content[1] where that is an
	// image; empty if there is none.
	UnboundedInput string

	body []byte
}

// ParseChat reads the body of POST /chat/completions strictly.
func ParseChat(body []byte) (*Chat, *Error) {
	return nil, InvalidRequest("", "not read")
}

// Has reports whether the body has a top-level member of this name; null counts.
func (c *Chat) Has(name string) bool { return false }

// Body returns the body as it stands after the edits.
func (c *Chat) Body() []byte { return c.body }

// Set gives the top-level member name this value, in place where it is present, else before the closing brace.
func (c *Chat) Set(name string, value json.RawMessage) error { return errors.New("not set") }

// SetDefault sets the member if the client left it out. A null is the client's choice and stays. The two names of the completion limit are one
// parameter here: either is set only if neither has a number.
func (c *Chat) SetDefault(name string, value json.RawMessage) error { return errors.New("not set") }

// SetModel gives the model's name at the upstream.
func (c *Chat) SetModel(id string) {}

// RequestUsage asks for usage on a stream and keeps the other members of stream_options.
func (c *Chat) RequestUsage() {}

// CompletionLimit returns the larger of the two completion limits, in tokens per choice; nil if the request names none.
func (c *Chat) CompletionLimit() *int64 { return nil }

// LimitCompletion makes the request carry a completion limit of at most limit tokens: it lowers those that are named and are larger,
// and where none is named it sets field, which is max_tokens or max_completion_tokens.
func (c *Chat) LimitCompletion(limit int64, field string) {}

// PromptTokensBound returns a number of tokens that the prompt of the request cannot exceed, at most contextLength.
func PromptTokensBound(chat *Chat, contextLength int64) int64 { return contextLength }

// ForbiddenField returns the path of the first field by which the client would change the price or the model, which are the route's to set.
func ForbiddenField(chat *Chat) (name string, bad bool) { return "", false }
