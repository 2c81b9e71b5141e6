package openai

import "fmt"

// verbatimRoles are the roles whose text templates put into the prompt as it is. The text of a tool's answer is put there as JSON
// by some.
var verbatimRoles = map[string]bool{"system": true, "developer": true, "user": true, "assistant": true}

// textParts are the types of content parts whose tokens their bytes bound.
var textParts = map[string]bool{"text": true, "refusal": true, "thinking": true}

// toolTypes are the types of tools that the client runs itself. All others run at the upstream and have a price of their own.
var toolTypes = map[string]bool{"function": true, "custom": true}

// partOverhead bounds the bytes that a server which writes the parts of a content out as a list adds to each of them.
const partOverhead = 8

// readMessages reads the messages of a chat.
func readMessages(r *Request, name string, s *scanner) (int64, *Error) {
	if s.peek() != '[' {
		return 0, wrongType(name, "an array of messages", s)
	}
	r.Messages = 0
	var total int64
	for s.enterArray(); s.nextElement(); r.Messages++ {
		if s.peek() != '{' {
			return 0, wrongType(fmt.Sprintf("messages[%d]", r.Messages), "an object", s)
		}
		total += r.readMessage(s)
	}
	if r.Messages == 0 && s.err == nil {
		return 0, coded(InvalidRequest("messages", "Invalid 'messages': empty array. Expected at least one message."), "empty_array")
	}
	return total, nil
}

// readMessage returns how many bytes a message can put into the prompt.
func (r *Request) readMessage(s *scanner) int64 {
	start := s.pos
	var verbatim int64
	var role string
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); key {
		case "role":
			if s.peek() == '"' {
				role = string(s.text().decode())
				verbatim += int64(len(role))
				continue
			}
			s.walk()
		case "content":
			verbatim += r.readContent(s)
		case "audio", "file", "files", "image", "images", "video":
			value := s.span()
			verbatim += jsonBytes(value)
			r.unbounded(value, "messages[%d].%s", r.Messages, key)
		default:
			verbatim += r.readPlain(s, "messages[%d].%s", r.Messages, key)
		}
	}
	if s.err == nil && !verbatimRoles[role] {
		return jsonBytes(s.data[start:s.pos])
	}
	return verbatim
}

// readContent reads the content of a message: text, null, or a list of parts.
func (r *Request) readContent(s *scanner) int64 {
	switch s.peek() {
	case '"':
		return s.text().plainBytes()
	case '[':
	default:
		value := s.span()
		r.unbounded(value, "messages[%d].content", r.Messages)
		return jsonBytes(value)
	}
	start, parts := s.pos, 0
	for s.enterArray(); s.nextElement(); parts++ {
		switch s.peek() {
		case '"':
			s.text()
		case '{':
			r.readPart(s, parts)
		default:
			r.unbounded(s.span(), "messages[%d].content[%d]", r.Messages, parts)
		}
	}
	return listBytes(s.data[start:s.pos], parts)
}

// readPart reads a part of a content. A part without a type is no text to those servers that guess the type from its other members.
func (r *Request) readPart(s *scanner, index int) {
	start, text := s.pos, false
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "type" && s.peek() == '"':
			text = textParts[string(s.text().decode())]
		default:
			r.readPlain(s, "messages[%d].content[%d].%s", r.Messages, index, key)
		}
	}
	if !text && s.err == nil {
		r.unbounded(s.data[start:s.pos], "messages[%d].content[%d]", r.Messages, index)
	}
}

// readPlain reads a member that is nothing special unless it is a caching mark, and returns how many bytes it can put into the
// prompt. The path is of the member, its last argument the member's key.
func (r *Request) readPlain(s *scanner, path string, args ...any) int64 {
	if s.peek() == '"' {
		return s.text().plainBytes()
	}
	value := s.span()
	if args[len(args)-1] == "cache_control" && string(value) != "null" && r.cacheMark == "" {
		r.cacheMark = fmt.Sprintf(path, args...)
	}
	return jsonBytes(value)
}

// unbounded notes the path of an input whose tokens its bytes do not bound, unless its value is null.
func (r *Request) unbounded(value []byte, path string, args ...any) {
	if r.UnboundedInput == "" && string(value) != "null" {
		r.UnboundedInput = fmt.Sprintf(path, args...)
	}
}

// readTools reads tools or functions.
func readTools(r *Request, name string, s *scanner) *Error {
	count := 0
	if !readNull(s) {
		if s.peek() != '[' {
			return wrongType(name, "an array", s)
		}
		for s.enterArray(); s.nextElement(); count++ {
			if s.peek() != '{' {
				return wrongType(fmt.Sprintf("%s[%d]", name, count), "an object", s)
			}
			r.readTool(s, name, count)
		}
	}
	if name == "tools" {
		r.tools = count
	} else {
		r.functions = count
	}
	return nil
}

func (r *Request) readTool(s *scanner, name string, index int) {
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "type" && name == "tools":
			value := s.span()
			if s.err == nil && !toolTypes[decodeString(value)] {
				r.forbid(fmt.Sprintf("tools[%d].type", index))
			}
		default:
			r.readPlain(s, "%s[%d].%s", name, index, key)
		}
	}
}

// decodeString returns the string that a JSON value is, empty if it is none.
func decodeString(value []byte) string {
	s := scanner{data: value}
	return string(s.text().decode())
}
