package openai

import "strings"

// These read the parameters of OpenAI's responses.

// jsonItems are the items of an input that are calls of tools which the client runs, what these returned, and reasoning; a template puts
// them into the prompt in its own way. Other items come of tools that run at the upstream, bring further tools, or change how the answer is
// made.
var jsonItems = map[string]bool{
	"function_call": true, "function_call_output": true, "custom_tool_call": true, "custom_tool_call_output": true, "reasoning": true,
}

var responseChoices = []string{"none", "auto", "required"}

// textOfResponses are the types of parts whose tokens their bytes bound.
var textOfResponses = map[string]bool{
	"input_text": true, "output_text": true, "text": true, "refusal": true, "reasoning_text": true, "summary_text": true,
}

// readItems reads an input.
func readItems(r *Request, name string, s *scanner) (total int64, problem *Error) {
	switch s.peek() {
	case '"':
		r.Messages = 1
		return s.text().plainBytes(), nil
	case '[':
	default:
		return 0, wrongType(name, "a string or an array of items", s)
	}
	if r.Messages, total, problem = readObjects(name, s, r.readItem); problem != nil {
		return 0, problem
	}
	if r.Messages == 0 && s.err == nil {
		return 0, coded(InvalidRequest(name, "Invalid '%s': empty array. Expected at least one item.", name), "empty_array")
	}
	return total, nil
}

// readItem returns how many bytes an item can put into the prompt.
func (r *Request) readItem(path string, s *scanner) (size int64, problem *Error) {
	start, kind, role := s.pos, "", ""
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "type" && s.peek() == '"':
			kind = string(s.text().decode())
		case key == "role" && s.peek() == '"':
			role = string(s.text().decode())
			size += int64(len(role))
		case key == "content", key == "output":
			content, problem := r.readParts(path+"."+key, s)
			if problem != nil {
				return 0, problem
			}
			size += content
		default:
			size += r.readPlain(s, "%s.%s", path, key)
		}
	}
	if s.err != nil {
		return size, nil //nolint:nilerr // The scanner keeps the error, and Parse tells it.
	}
	return r.weighItem(path, kind, role, s.data[start:s.pos], size)
}

// weighItem returns how many bytes an item can put into the prompt that has so many of text.
func (r *Request) weighItem(path, kind, role string, item []byte, text int64) (int64, *Error) {
	isMessage := kind == "message" || kind == "" && role != ""
	switch {
	case kind == "item_reference", kind == "" && !isMessage:
		return 0, notShared(path)
	case isMessage && verbatimRoles[role]:
		return text, nil
	case !isMessage && !jsonItems[kind]:
		r.forbid(path + ".type")
	}
	return jsonBytes(item), nil
}

// readParts reads what an item says: a text, or parts of it.
func (r *Request) readParts(path string, s *scanner) (size int64, problem *Error) {
	switch s.peek() {
	case '"':
		return s.text().plainBytes(), nil
	case '[':
	case 'n':
		s.walk()
		return 0, nil
	default:
		return 0, wrongType(path, "a string or an array of parts", s)
	}
	start := s.pos
	parts, _, problem := readObjects(path, s, func(path string, s *scanner) (int64, *Error) { return 0, r.readResponsePart(path, s) })
	if problem != nil {
		return 0, problem
	}
	return listBytes(s.data[start:s.pos], parts), nil
}

func (r *Request) readResponsePart(path string, s *scanner) *Error {
	start, kind := s.pos, ""
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "type" && s.peek() == '"':
			kind = string(s.text().decode())
		case key == "file_id" && s.peek() != 'n':
			return notShared(path + "." + key)
		default:
			r.readPlain(s, "%s.%s", path, key)
		}
	}
	if s.err == nil && !textOfResponses[kind] {
		r.unbounded(s.data[start:s.pos], "%s", path)
	}
	return nil
}

func readInstructions(_ *Request, name string, s *scanner) (int64, *Error) {
	if readNull(s) {
		return 0, nil
	}
	if s.peek() != '"' {
		return 0, wrongType(name, "a string", s)
	}
	return s.text().plainBytes(), nil
}

// readText reads how the text of the answer is to be.
func readText(r *Request, name string, s *scanner) *Error {
	r.format = false
	return eachMember(name, "an object", s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "verbosity":
			_, problem = readWord(path, verbosities, s)
		case "format":
			problem = r.readTextFormat(path, s)
		default:
			s.walk()
		}
		return problem
	})
}

// readTextFormat reads the format of a text, whose JSON schema stands beside its type. The schema itself is the upstream's to judge.
func (r *Request) readTextFormat(path string, s *scanner) *Error {
	kind, named, object := "", false, s.peek() == '{'
	problem := eachMember(path, formatsWant(openAIFormats), s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "type":
			kind, problem = readWord(path, openAIFormats, s)
		case "name":
			named = s.peek() != 'n'
			problem = upTo(maxName)(r, path, s)
		case "strict":
			_, problem = readBool(path, s)
		default:
			s.walk()
		}
		return problem
	})
	r.format = object && kind != "text"
	switch {
	case problem != nil || s.err != nil || !object:
		return problem
	case kind == "":
		return missing(path + ".type")
	case kind == "json_schema" && !named:
		return missing(path + ".name")
	}
	return nil
}

// readResponseChoice reads which tool is called: a word, or an object in which the name of a tool stands beside its type.
func readResponseChoice(_ *Request, name string, s *scanner) *Error {
	switch s.peek() {
	case '"':
		_, problem := readWord(name, responseChoices, s)
		return problem
	case '{', 'n':
	default:
		return wrongType(name, choicesWant(responseChoices), s)
	}
	kind, named, object := "", false, s.peek() == '{'
	problem := eachMember(name, "", s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "type":
			kind, problem = readWord(path, choiceTypes, s)
		case "name":
			named = true
			_, problem = readString(path, s)
		default:
			s.walk()
		}
		return problem
	})
	switch {
	case problem != nil || s.err != nil || !object:
		return problem
	case kind == "":
		return missing(name + ".type")
	case kind != "allowed_tools" && !named:
		return missing(name + ".name")
	}
	return nil
}

func readTruncation(r *Request, name string, s *scanner) *Error {
	word, problem := readWord(name, []string{"auto", "disabled"}, s)
	r.truncates = word == "auto"
	return problem
}

// readKept refuses a name of something that is kept at the upstream.
func readKept(_ *Request, name string, s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	s.walk()
	return notShared(name)
}

func readStore(_ *Request, name string, s *scanner) *Error {
	return readNever(name, "Nothing is stored here: what the upstream keeps belongs to its account, which all keys of this endpoint "+
		"share. Leave it out, and send the whole conversation with each request.", s)
}

func readBackground(_ *Request, name string, s *scanner) *Error {
	return readNever(name, "An answer in the background is billed after the request has ended, so that it could not be counted against a "+
		"budget.", s)
}

// readNever reads a boolean that must not be true, and says why.
func readNever(name, why string, s *scanner) *Error {
	is, problem := readBool(name, s)
	if problem == nil && is && s.err == nil {
		return coded(InvalidRequest(name, "Unsupported value: '%s' cannot be true. %s", name, why), "unsupported_value")
	}
	return problem
}

// isLifecycle reports whether an event of a stream has the whole response in it.
func isLifecycle(kind string) bool {
	return strings.HasPrefix(kind, "response.") && strings.Count(kind, ".") == 1
}
