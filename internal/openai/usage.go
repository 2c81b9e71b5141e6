package openai

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

// maxReportedTokens is the largest count of tokens that is believed. No context comes near it; a larger figure is a fault, and booking it
// would empty a budget.
const maxReportedTokens = 1_000_000_000

// maxReportedText bounds the text that is kept of a reported error.
const maxReportedText = 4 << 10

// ReportedError is an error that the upstream reports inside of an answer whose status is 200. It is the upstream's text: it may name
// things that tenants should not see.
type ReportedError struct {
	// Code, Type and Message are as the upstream has them; a number is given as its text. Each may be empty.
	Code, Type, Message string
}

// Error returns code and message.
func (e *ReportedError) Error() string {
	return fmt.Sprintf("upstream reports error %q (%s): %s", e.Code, e.Type, e.Message)
}

// UsageFromResponse reads the JSON answer of a chat completion. usage is nil if the answer has none or one that cannot be booked,
// in which case err says why; it is never guessed. err is also set if the answer is no JSON object. reported is the error that the
// answer carries in spite of its status, nil if there is none.
func UsageFromResponse(body []byte) (usage *pricing.Usage, reported *ReportedError, err error) {
	s := &scanner{data: body}
	o := readOutcome(s)
	if s.end(); s.err != nil {
		return nil, nil, fmt.Errorf("reading the upstream's answer: %w", s.err)
	}
	return o.usage, o.reported, o.usageErr
}

// outcome is what one JSON answer, or one chunk of a stream, tells.
type outcome struct {
	// usage is what the last member usage says; usageErr why it cannot be booked. Both are nil if there is none or it is null.
	usage    *pricing.Usage
	usageErr error
	reported *ReportedError
	finished bool
	// produced is how many bytes of text the deltas have.
	produced int64
}

// readOutcome reads an object; the scanner's error must be looked at before the outcome is believed.
func readOutcome(s *scanner) outcome {
	var o outcome
	var inChoice *ReportedError
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "usage":
			if value := s.span(); s.err == nil && string(value) != "null" {
				o.usage, o.usageErr = parseUsage(value)
			}
		case "error":
			if value := s.span(); s.err == nil && !isFalsy(value) {
				o.reported = parseReported(value)
			}
		case "choices":
			inChoice = o.readChoices(s)
		default:
			s.walk()
		}
	}
	if o.reported == nil {
		o.reported = inChoice
	}
	return o
}

func (o *outcome) readChoices(s *scanner) (reported *ReportedError) {
	if s.peek() != '[' {
		s.walk()
		return nil
	}
	for s.enterArray(); s.nextElement(); {
		if s.peek() != '{' {
			s.walk()
			continue
		}
		if found := o.readChoice(s); reported == nil {
			reported = found
		}
	}
	return reported
}

func (o *outcome) readChoice(s *scanner) (reported *ReportedError) {
	failed := false
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "finish_reason":
			reason := s.span()
			o.finished = o.finished || !isEmpty(reason)
			failed = failed || string(reason) == `"error"`
		case "error":
			if value := s.span(); s.err == nil && !isFalsy(value) {
				reported = parseReported(value)
			}
		case "delta":
			o.produced += deltaBytes(s)
		default:
			s.walk()
		}
	}
	if reported == nil && failed {
		reported = &ReportedError{Message: "the answer ended with the finish reason \"error\""}
	}
	return reported
}

// deltaBytes returns how many bytes of text a delta has: content, reasoning, refusal, tool calls with their arguments. OpenRouter gives
// reasoning twice, as text and in detail; the larger counts.
func deltaBytes(s *scanner) int64 {
	if s.peek() != '{' {
		return s.walk()
	}
	var text, reasoning, details int64
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "role", "obfuscation":
			s.walk()
		case "reasoning", "reasoning_content":
			reasoning = max(reasoning, s.walk())
		case "reasoning_details":
			details += s.walk()
		default:
			text += s.walk()
		}
	}
	return text + max(reasoning, details)
}

// parseReported reads the error that an upstream reports: an object or a text.
func parseReported(value []byte) *ReportedError {
	if value[0] != '{' {
		return &ReportedError{Message: plainText(value)}
	}
	e := &ReportedError{}
	s := &scanner{data: value}
	for s.enterObject(); s.nextMember(); {
		key := string(s.key)
		switch text := s.span(); key {
		case "code":
			e.Code = plainText(text)
		case "type":
			e.Type = plainText(text)
		case "message":
			e.Message = plainText(text)
		case "metadata":
			if metadata := parseObjectValue(text); e.Type == "" && metadata != nil {
				e.Type = plainText(metadata.get("error_type"))
			}
		}
	}
	return e
}

// plainText returns a string's own text, and the JSON text of other values; null is empty.
func plainText(value []byte) string {
	text := string(value)
	switch {
	case text == "null":
		return ""
	case len(value) > 0 && value[0] == '"':
		text = decodeString(value)
	}
	return shorten(text)
}

// shorten cuts a text at maxReportedText, between two characters.
func shorten(text string) string {
	if len(text) <= maxReportedText {
		return text
	}
	return strings.ToValidUTF8(text[:maxReportedText], "")
}

// parseObjectValue returns the object that a JSON value is, nil if it is none.
func parseObjectValue(value []byte) *document {
	if len(value) == 0 || value[0] != '{' {
		return nil
	}
	object := parseObject(value)
	return &object
}

// parseUsage reads a usage object. Whatever in it cannot be believed makes all of it unknown, so that a fault of the upstream never
// makes a request free.
func parseUsage(value []byte) (*pricing.Usage, error) {
	object := parseObjectValue(value)
	if object == nil {
		return nil, fmt.Errorf("usage is no object: %.40s", value)
	}
	var u pricing.Usage
	var errs [5]error
	u.PromptTokens, errs[0] = tokenCount(object, "prompt_tokens")
	u.CompletionTokens, errs[1] = tokenCount(object, "completion_tokens")
	u.Cost, errs[2] = usdNumber(object, "cost")
	u.IsBYOK, errs[3] = flag(object, "is_byok")
	if details := parseObjectValue(object.last("cost_details")); details != nil {
		u.UpstreamInferenceCost, errs[4] = usdNumber(details, "upstream_inference_cost")
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("usage cannot be booked: %w", err)
	}
	u.CachedTokens = partOf(object, "prompt_tokens_details", "cached_tokens", u.PromptTokens)
	u.ReasoningTokens = partOf(object, "completion_tokens_details", "reasoning_tokens", u.CompletionTokens)
	return &u, nil
}

// partOf reads how many of all tokens are of a kind. Nothing is booked by it, so one that cannot be believed is none.
func partOf(object *document, details, name string, all int64) int64 {
	parts := parseObjectValue(object.last(details))
	if parts == nil {
		return 0
	}
	count, err := tokenCount(parts, name)
	if err != nil || count > all {
		return 0
	}
	return count
}

func tokenCount(object *document, name string) (int64, error) {
	text := string(object.last(name))
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || count < 0 || count > maxReportedTokens {
		return 0, fmt.Errorf("%s is %.40q, which is no count of tokens", name, text)
	}
	return count, nil
}

// usdNumber reads an amount in USD from the number's own text; nil if it is absent or null.
func usdNumber(object *document, name string) (*money.Amount, error) {
	value := object.last(name)
	if value == nil || string(value) == "null" {
		return nil, nil
	}
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return nil, fmt.Errorf("%s is %.40s, which is no number", name, value)
	}
	amount, err := money.ParseUSDNumber(string(value))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &amount, nil
}

func flag(object *document, name string) (bool, error) {
	switch value := object.last(name); string(value) {
	case "true":
		return true, nil
	case "", "false", "null":
		return false, nil
	default:
		return false, fmt.Errorf("%s is %.40s, which is no boolean", name, value)
	}
}
