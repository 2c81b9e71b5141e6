package openai

import (
	"strconv"
	"strings"
)

// The largest values that OpenAI's schema allows.
const (
	maxChoices = 128
	maxStops   = 4
)

// role says what a top-level parameter is to this package.
type role int

const (
	// unknown parameters are passed on; their text is counted as if it were part of the prompt.
	unknown role = iota
	// inert parameters change neither price nor prompt.
	inert
	// prompt parameters are known to be put into the prompt.
	prompt
	// owned parameters change the price or the model and are the route's to set.
	owned
)

// roles has every parameter that this package treats in any way, from the API references of OpenAI and OpenRouter and, of the owned ones,
// from those of vLLM (best_of, chat_template), LiteLLM (fallbacks), xAI (search_parameters) and Anthropic (cache_control, speed,
// inference_geo) too.
var roles = map[string]role{
	"model": inert, "stream": inert, "stream_options": inert, "n": inert, "stop": inert, "max_tokens": inert,
	"max_completion_tokens": inert, "temperature": inert, "top_p": inert, "top_k": inert, "min_p": inert, "top_a": inert,
	"frequency_penalty": inert,
	"presence_penalty":  inert, "repetition_penalty": inert, "logit_bias": inert, "logprobs": inert, "top_logprobs": inert, "seed": inert,
	"metadata": inert, "user": inert, "safety_identifier": inert, "prompt_cache_key": inert, "session_id": inert, "store": inert,
	"parallel_tool_calls": inert, "reasoning_effort": inert, "reasoning": inert, "include_reasoning": inert, "verbosity": inert,
	"structured_outputs": inert, "usage": inert,

	"messages": prompt, "tools": prompt, "functions": prompt, "tool_choice": prompt, "function_call": prompt, "response_format": prompt,

	"models": owned, "route": owned, "provider": owned, "plugins": owned, "transforms": owned, "preset": owned, "fallbacks": owned,
	"service_tier": owned, "web_search_options": owned, "search_parameters": owned, "prediction": owned, "modalities": owned,
	"audio": owned, "cache_control": owned, "speed": owned, "inference_geo": owned, "best_of": owned, "chat_template": owned,
}

// parameter returns the name if it is a known parameter, else nothing.
func parameter(name []byte) string {
	if _, known := roles[string(name)]; known {
		return string(name)
	}
	return ""
}

// read reads the value of a top-level parameter and returns how many bytes it can put into the prompt.
func (c *Chat) read(name string, s *scanner) (promptBytes int64, problem *Error) {
	switch name {
	case "messages":
		return c.readMessages(s)
	case "tools", "functions":
		return c.readTools(name, s)
	case "model":
		c.Model, problem = readString(name, s)
	case "stream":
		c.Stream, problem = readBool(name, s)
	case "n":
		c.N, problem = readChoices(s)
	case "max_tokens":
		c.MaxTokens, problem = readInteger(name, s, 1)
	case "max_completion_tokens":
		c.MaxCompletionTokens, problem = readInteger(name, s, 1)
	case "stop":
		problem = readStop(s)
	case "stream_options":
		problem = c.readStreamOptions(s)
	case "usage":
		c.readUsageOption(s)
	default:
		return c.readOther(name, s), nil
	}
	return 0, problem
}

// readOther reads a parameter that has no field of its own in Chat.
func (c *Chat) readOther(name string, s *scanner) int64 {
	value := s.span()
	switch roles[name] {
	case inert:
		return 0
	case owned:
		if !harmless(name, value) {
			c.forbid(name)
		}
	case unknown, prompt:
		c.format = c.format || (name == "response_format" && string(value) != "null")
	}
	return jsonBytes(value)
}

// harmless reports whether an owned parameter has the value that leaving it out has too.
func harmless(name string, value []byte) bool {
	switch text := string(value); name {
	case "service_tier":
		return text == "null" || text == `"auto"` || text == `"default"`
	case "modalities":
		return text == "null" || strings.Join(strings.Fields(text), "") == `["text"]`
	default:
		return text == "null"
	}
}

func (c *Chat) forbid(path string) {
	if c.forbidden == "" {
		c.forbidden = path
	}
}

// ForbiddenField returns the path of the first field by which the client would change the price or the model, which are the route's
// to set: OpenRouter's routing and plugins, service tiers, predictions, searches, output other than text, tools that run at the
// upstream, caching marks, and the like. A null is harmless. What the route itself sets is not reported.
//
// The list is of what is known today. A budget that must hold against a parameter that nobody knows yet needs a list of the
// parameters that are allowed.
func ForbiddenField(chat *Chat) (name string, bad bool) { return chat.forbidden, chat.forbidden != "" }

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

func readChoices(s *scanner) (int64, *Error) {
	n, problem := readInteger("n", s, 1)
	switch {
	case problem != nil:
		return 1, problem
	case n == nil:
		return 1, nil
	case *n > maxChoices:
		return 1, coded(InvalidRequest("n", "Invalid 'n': integer above maximum value. Expected a value <= %d, but got %d instead.",
			maxChoices, *n), "integer_above_max_value")
	}
	return *n, nil
}

func readStop(s *scanner) *Error {
	const want = "a string or an array of at most 4 strings"
	switch s.peek() {
	case 'n', '"':
		s.walk()
		return nil
	case '[':
	default:
		return wrongType("stop", want, s)
	}
	count := 0
	for s.enterArray(); s.nextElement(); count++ {
		if count == maxStops {
			return coded(InvalidRequest("stop", "Invalid 'stop': array too long. Expected at most %d sequences.", maxStops),
				"array_above_max_length")
		}
		if s.peek() != '"' {
			return wrongType("stop["+strconv.Itoa(count)+"]", "a string", s)
		}
		s.text()
	}
	return nil
}

func (c *Chat) readStreamOptions(s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '{' {
		return wrongType("stream_options", "an object", s)
	}
	for s.enterObject(); s.nextMember(); {
		if string(s.key) != "include_usage" {
			s.walk()
			continue
		}
		asked, problem := readBool("stream_options.include_usage", s)
		if problem != nil {
			return problem
		}
		c.IncludeUsage = c.IncludeUsage || asked
	}
	return nil
}

// readUsageOption reads OpenRouter's older way to ask for usage, usage: {"include": true}.
func (c *Chat) readUsageOption(s *scanner) {
	if s.peek() != '{' {
		s.walk()
		return
	}
	for s.enterObject(); s.nextMember(); {
		asked := string(s.key) == "include"
		c.IncludeUsage = string(s.span()) == "true" && asked || c.IncludeUsage
	}
}
