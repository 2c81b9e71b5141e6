package openai

import "github.com/modelroute/modelroute/internal/pricing"

// readCompletion reads a completion or a chunk of one, of a chat or of a text. Each usage is whole, so what came before is of no account.
func readCompletion(s *scanner, _ *pricing.Usage) outcome {
	var o outcome
	var inChoice *ReportedError
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "usage":
			if value := s.span(); s.err == nil && string(value) != "null" {
				o.usage, o.usageErr = completionUsage.parse(value)
			}
		case "error":
			if value := s.span(); s.err == nil && !isFalsy(value) {
				o.reported = parseReported(value)
			}
		case "provider":
			o.provider = s.span()
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
		o.generated = true
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
		case "text":
			o.produced += s.walk()
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
