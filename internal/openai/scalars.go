package openai

import "strconv"

// These read the parameters of which a Request keeps something.

func readModel(r *Request, name string, s *scanner) (problem *Error) {
	r.Model, problem = readString(name, s)
	return problem
}

func readStream(r *Request, name string, s *scanner) (problem *Error) {
	r.Stream, problem = readBool(name, s)
	return problem
}

func readChoices(r *Request, name string, s *scanner) *Error {
	n, problem := readIntegerUpTo(name, s, 1, maxChoices)
	if r.N = 1; n != nil {
		r.N = *n
	}
	return problem
}

func readLogprobs(r *Request, name string, s *scanner) (problem *Error) {
	r.logprobs, problem = readBool(name, s)
	return problem
}

func readTopLogprobs(r *Request, name string, s *scanner) *Error {
	count, problem := readIntegerUpTo(name, s, 0, maxTopLogprobs)
	r.topLogprobs = count != nil && *count > 0
	return problem
}

// readTier reads service_tier. What leaving it out is, and the tier whose price is the plain one, are harmless.
func readTier(r *Request, name string, s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '"' {
		return wrongType(name, "a string", s)
	}
	switch string(s.text().decode()) {
	case "auto", "default", "standard_only":
	default:
		r.forbid(name)
	}
	return nil
}

// readMark reads a mark for caching.
func readMark(r *Request, name string, s *scanner) *Error {
	if s.peek() != 'n' && r.cacheMark == "" {
		r.cacheMark = name
	}
	return object(r, name, s)
}

const wantStop = "a string or an array of at most 4 strings"

func readStop(_ *Request, name string, s *scanner) *Error {
	switch s.peek() {
	case 'n', '"':
		s.walk()
		return nil
	case '[':
	default:
		return wrongType(name, wantStop, s)
	}
	count := 0
	for s.enterArray(); s.nextElement(); count++ {
		if count == maxStops {
			return coded(InvalidRequest(name, "Invalid '%s': array too long. Expected at most %d sequences.", name, maxStops),
				"array_above_max_length")
		}
		if s.peek() != '"' {
			return wrongType(name+"["+strconv.Itoa(count)+"]", "a string", s)
		}
		s.text()
	}
	return nil
}

func readStreamOptions(r *Request, name string, s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '{' {
		return wrongType(name, "an object", s)
	}
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "include_usage":
			asked, problem := readBool("stream_options.include_usage", s)
			if problem != nil {
				return problem
			}
			r.IncludeUsage = r.IncludeUsage || asked
		case "include_obfuscation":
			if _, problem := readBool("stream_options.include_obfuscation", s); problem != nil {
				return problem
			}
		default:
			s.walk()
		}
	}
	return nil
}

// readUsageOption reads OpenRouter's older way to ask for usage, usage: {"include": true}. It is deprecated and without effect there, so
// that anything else is no reason to refuse.
func readUsageOption(r *Request, _ string, s *scanner) *Error {
	if s.peek() != '{' {
		s.walk()
		return nil
	}
	for s.enterObject(); s.nextMember(); {
		asked := string(s.key) == "include"
		r.IncludeUsage = string(s.span()) == "true" && asked || r.IncludeUsage
	}
	return nil
}
