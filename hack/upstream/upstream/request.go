package upstream

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
)

// request is what every endpoint's body comes down to: what decides the answer and its price.
type request struct {
	model, user, serviceTier string
	models                   []string
	prompts                  []prompt // at least one
	maxTokens                int      // of each choice; 0: the caller set no limit
	n                        int      // choices of each prompt that are answered; 0 where no text is asked for
	bestOf                   int      // choices of each prompt that are made, if more than n
	seed                     *int64
	temperature              *float64
	stop                     []string
	stream                   bool
	tools                    []tool
	toolsText                string // compact JSON: what the provider reads
	toolsMarked              bool   // to be cached up to the end of the tools
	markedWhole              bool   // to be cached as a whole
	toolChoice               toolChoice
	format                   responseFormat
	provider                 providerPreferences
	webSearch                bool
	detail                   any // what only the endpoint that was asked knows of it
}

// made is how many choices the provider makes for all prompts together.
func (r *request) made() int { return len(r.prompts) * max(r.n, r.bestOf) }

// promptTokens is what the provider reads for all prompts together.
func (r *request) promptTokens() int {
	sum := 0
	for i := range r.prompts {
		sum += r.prompts[i].tokens
	}
	return sum
}

// longestPrompt is in tokens. Each prompt has a context of its own.
func (r *request) longestPrompt() int {
	longest := 0
	for i := range r.prompts {
		longest = max(longest, r.prompts[i].tokens)
	}
	return longest
}

// prompt is one thing to answer. A conversation is one; of texts to complete or to embed a request may have many.
type prompt struct {
	messages []message // at least one
	text     string    // what chance in the answer depends on
	tokens   int       // what the provider reads
}

// lastUser is the text of the last message of a user, which the answer is about.
func (p *prompt) lastUser() string {
	for _, m := range slices.Backward(p.messages) {
		if m.Role == roleUser {
			return m.text
		}
	}
	return ""
}

// afterTool is true where the answer is to what a tool returned.
func (p *prompt) afterTool() bool { return p.messages[len(p.messages)-1].Role == roleTool }

type role string

const (
	roleSystem    role = "system"
	roleDeveloper role = "developer"
	roleUser      role = "user"
	roleAssistant role = "assistant"
	roleTool      role = "tool"
)

// fields is a JSON object by its exact names. (Decoding into a struct would take "MAX_TOKENS" for "max_tokens".)
type fields map[string]json.RawMessage

// absent is true for a name that is missing or null: null is legal for every parameter and means "not set".
func (f fields) absent(name string) bool {
	raw, ok := f[name]
	return !ok || bytes.Equal(raw, jsonNull)
}

func read[T any](f fields, name string, into *T) error {
	if f.absent(name) {
		return nil
	}
	if err := json.Unmarshal(f[name], into); err != nil {
		if e := asAPIError(err); e.status < 500 {
			return e
		}
		return badRequest("Invalid input for %q: expected %s", name, typeName(into))
	}
	return nil
}

func typeName(v any) string {
	switch v.(type) {
	case *string:
		return "string"
	case **int64:
		return "integer"
	case *bool:
		return "boolean"
	case *[]string, *[]message, *[]tool, *[]plugin:
		return kindArray
	default:
		return kindObject
	}
}

// numberRange is what a numeric parameter may be. Source: OpenRouter's parameter reference and OpenAI's schema.
type numberRange struct {
	name      string
	low, high float64
	integer   bool
}

// samplingRanges are those of the parameters that most endpoints share.
var samplingRanges = []numberRange{
	{"temperature", 0, 2, false},
	{"top_p", 0, 1, false},
	{"top_k", 0, math.MaxInt32, true},
	{"min_p", 0, 1, false},
	{"top_a", 0, 1, false},
	{"frequency_penalty", -2, 2, false},
	{"presence_penalty", -2, 2, false},
	{"repetition_penalty", 0, 2, false},
}

// limitRanges are those of the parameters by which completions of both kinds say how much they want.
var limitRanges = []numberRange{
	{"max_tokens", 1, math.MaxInt32, true},
	{"n", 1, 128, true},
}

func checkNumbers(f fields, ranges ...numberRange) error {
	for _, limit := range ranges {
		name := limit.name
		if f.absent(name) {
			continue
		}
		var value float64
		if err := json.Unmarshal(f[name], &value); err != nil {
			return badRequest("Invalid input for %q: expected number", name)
		}
		if limit.integer && value != math.Trunc(value) {
			return badRequest("Invalid input for %q: expected integer", name)
		}
		if value < limit.low || value > limit.high {
			return badRequest("Invalid input for %q: %s is not between %.0f and %.0f", name, f[name], limit.low, limit.high)
		}
	}
	return nil
}

// integer is the value of a parameter that checkNumbers has accepted, or 0.
func (f fields) integer(name string) int {
	var value float64
	if f.absent(name) || json.Unmarshal(f[name], &value) != nil {
		return 0
	}
	return int(value)
}

func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

// parseObject reads a body that must be one JSON object.
func parseObject(body []byte) (fields, error) {
	var f fields
	if err := json.Unmarshal(body, &f); err != nil || f == nil {
		return nil, badRequest("Invalid JSON: the body is not one JSON object")
	}
	return f, nil
}

// readShared reads what OpenRouter takes at every endpoint.
func readShared(f fields, req *request) error {
	return firstError(
		func() error { return read(f, "model", &req.model) },
		func() error { return read(f, "models", &req.models) },
		func() error { return read(f, "user", &req.user) },
		func() error { return read(f, "service_tier", &req.serviceTier) },
		func() error { return read(f, "stream", &req.stream) },
		func() error { return read(f, "seed", &req.seed) },
		func() error { return read(f, "temperature", &req.temperature) },
		func() error { return read(f, "provider", &req.provider) },
		func() error { return readWebSearch(f, req) },
	)
}

// firstError takes the steps in order, up to the first that fails.
func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

const maxStops = 4

func readStop(f fields, req *request) error {
	var one string
	if f.absent("stop") {
		return nil
	}
	if json.Unmarshal(f["stop"], &one) == nil {
		req.stop = []string{one}
	} else if json.Unmarshal(f["stop"], &req.stop) != nil {
		return badRequest(`Invalid input for "stop": expected string or array of strings`)
	}
	if len(req.stop) > maxStops {
		return badRequest(`Invalid input for "stop": expected at most %d sequences, got %d`, maxStops, len(req.stop))
	}
	req.stop = slices.DeleteFunc(req.stop, func(s string) bool { return s == "" })
	return nil
}
