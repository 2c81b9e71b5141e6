package openai

import (
	"fmt"
	"strings"
)

// These read the parameters of Anthropic's messages.

const (
	wantMessageChoice = "an object whose type is one of 'auto', 'any', 'tool' and 'none'"
	wantThinking      = "an object whose type is one of 'enabled', 'disabled', 'adaptive' and 'between_tools'"

	wantMessageFormat = "an object with a type and a schema"

	// maxUserID is how many characters metadata.user_id may have.
	maxUserID = 512
)

var (
	messageChoices = []string{"auto", "any", "tool", "none"}
	thinkingTypes  = []string{"enabled", "disabled", "adaptive", "between_tools"}
	messageEfforts = []string{"low", "medium", "high", "xhigh", "max"}
)

// blockKinds says what a block of content is to the prompt, by its type. Blocks that are not here come of tools that run at the upstream,
// or name what belongs to its account.
var blockKinds = map[string]blockKind{
	"text": textBlock, "thinking": textBlock, "redacted_thinking": textBlock,
	"tool_use": jsonBlock, "tool_result": jsonBlock, "search_result": jsonBlock,
	"image": mediaBlock, "document": mediaBlock,
}

type blockKind int

const (
	// foreignBlock is not the client's to send.
	foreignBlock blockKind = iota
	// textBlock is put into the prompt as it is, jsonBlock perhaps as JSON.
	textBlock
	jsonBlock
	// mediaBlock has tokens that its bytes do not bound.
	mediaBlock
)

// clientTools has the tools of Anthropic's that the client runs, by how their types begin, and the most tokens that the description which
// the upstream adds to the prompt has; the largest that is published has about 700.
var clientTools = map[string]int64{"bash_": 2048, "text_editor_": 2048, "memory_": 2048}

// readDialogue reads the messages of a conversation.
func readDialogue(r *Request, name string, s *scanner) (total int64, problem *Error) {
	if s.peek() != '[' {
		return 0, wrongType(name, "an array of messages", s)
	}
	if r.Messages, total, problem = readObjects(name, s, r.readTurn); problem != nil {
		return 0, problem
	}
	if r.Messages == 0 && s.err == nil {
		return 0, coded(InvalidRequest(name, "Invalid '%s': empty array. Expected at least one message.", name), "empty_array")
	}
	return total, nil
}

// readTurn returns how many bytes a message can put into the prompt.
func (r *Request) readTurn(path string, s *scanner) (size int64, problem *Error) {
	start, role := s.pos, ""
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "role" && s.peek() == '"':
			role = string(s.text().decode())
			size += int64(len(role))
		case key == "content":
			content, problem := r.readBlocks(path+".content", s)
			if problem != nil {
				return 0, problem
			}
			size += content
		default:
			size += r.readPlain(s, "%s.%s", path, key)
		}
	}
	if s.err == nil && !verbatimRoles[role] {
		return jsonBytes(s.data[start:s.pos]), nil
	}
	return size, nil
}

// readBlocks reads a content: a text, or blocks of it.
func (r *Request) readBlocks(path string, s *scanner) (size int64, problem *Error) {
	switch s.peek() {
	case '"':
		return s.text().plainBytes(), nil
	case '[':
	default:
		return 0, wrongType(path, "a string or an array of blocks", s)
	}
	_, size, problem = readObjects(path, s, r.readBlock)
	return size, problem
}

// readBlock returns how many bytes a block can put into the prompt. The blocks within a tool's result, or within another block, are read
// as blocks too.
func (r *Request) readBlock(path string, s *scanner) (size int64, problem *Error) {
	start, kind := s.pos, ""
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "type" && s.peek() == '"':
			kind = string(s.text().decode())
		case key == "content" && s.peek() == '[':
			_, problem = r.readBlocks(path+".content", s)
		case key == "source" && s.peek() == '{':
			problem = r.readSource(path+".source", s)
		default:
			r.readPlain(s, "%s.%s", path, key)
		}
		if problem != nil {
			return 0, problem
		}
	}
	if s.err == nil {
		size = r.weighBlock(path, kind, s.data[start:s.pos])
	}
	return size, nil
}

func (r *Request) weighBlock(path, kind string, block []byte) int64 {
	switch blockKinds[kind] {
	case textBlock:
		return listBytes(block, 1)
	case mediaBlock:
		r.unbounded(block, "%s", path)
	case foreignBlock:
		r.forbid(path + ".type")
	case jsonBlock:
	}
	return jsonBytes(block)
}

// readSource reads where an image or a document is from.
func (r *Request) readSource(path string, s *scanner) *Error {
	for s.enterObject(); s.nextMember(); {
		if key := string(s.key); key == "file_id" && s.peek() != 'n' {
			return notShared(path + "." + key)
		}
		s.walk()
	}
	return nil
}

// notShared refuses a name of something that is kept at the upstream.
func notShared(path string) *Error {
	return coded(InvalidRequest(path, "Unsupported parameter: '%s'. What is kept at the upstream belongs to its account, which all keys "+
		"of this endpoint share, so that one client could read another's. Send the content itself.", path), CodeUnsupportedParameter)
}

// readSystem reads the text that stands before the conversation.
func readSystem(r *Request, name string, s *scanner) (int64, *Error) {
	if readNull(s) {
		return 0, nil
	}
	return r.readBlocks(name, s)
}

// readMessageTools reads the tools. Those that have no type have a schema of their own.
func readMessageTools(r *Request, name string, s *scanner) *Error {
	r.tools, r.toolTokens = 0, 0
	if readNull(s) {
		return nil
	}
	if s.peek() != '[' {
		return wrongType(name, "an array", s)
	}
	for s.enterArray(); s.nextElement(); r.tools++ {
		path := fmt.Sprintf("%s[%d]", name, r.tools)
		if s.peek() != '{' {
			return wrongType(path, "an object", s)
		}
		for s.enterObject(); s.nextMember(); {
			switch key := string(s.key); key {
			case "type":
				value := s.span()
				if s.err == nil && string(value) != "null" && !r.runsAtClient(decodeString(value)) {
					r.forbid(path + ".type")
				}
			default:
				r.readPlain(s, "%s.%s", path, key)
			}
		}
	}
	return nil
}

// runsAtClient reports whether the client runs tools of this type, and notes what they add to the prompt.
func (r *Request) runsAtClient(kind string) bool {
	if kind == "custom" {
		return true
	}
	for prefix, tokens := range clientTools {
		if strings.HasPrefix(kind, prefix) {
			r.toolTokens += tokens
			return true
		}
	}
	return false
}

// readMessageChoice reads which tool is called.
func readMessageChoice(_ *Request, name string, s *scanner) *Error {
	kind, named, object := "", false, s.peek() == '{'
	problem := eachMember(name, wantMessageChoice, s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "type":
			kind, problem = readWord(path, messageChoices, s)
		case "name":
			named = true
			_, problem = readString(path, s)
		case "disable_parallel_tool_use":
			_, problem = readBool(path, s)
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
	case kind == "tool" && !named:
		return missing(name + ".name")
	}
	return nil
}

// readThinking reads thinking, whose budget must leave something of max_tokens.
func readThinking(r *Request, name string, s *scanner) *Error {
	r.thinkingBudget = 0
	kind, object := "", s.peek() == '{'
	problem := eachMember(name, wantThinking, s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "type":
			kind, problem = readWord(path, thinkingTypes, s)
		case "budget_tokens":
			var budget *int64
			if budget, problem = readInteger(path, s, 1); budget != nil {
				r.thinkingBudget = *budget
			}
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
	case kind == "enabled" && r.thinkingBudget == 0:
		return missing(name + ".budget_tokens")
	}
	return nil
}

func readOutputConfig(r *Request, name string, s *scanner) *Error {
	r.format = false
	return eachMember(name, "an object", s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "effort":
			_, problem = readWord(path, messageEfforts, s)
		case "format":
			r.format = s.peek() == '{'
			problem = readMessageFormat(path, s)
		default:
			s.walk()
		}
		return problem
	})
}

func readOutputFormat(r *Request, name string, s *scanner) *Error {
	r.olderFormat = s.peek() == '{'
	return readMessageFormat(name, s)
}

// readMessageFormat reads the JSON schema that an answer follows. The schema itself is the upstream's to judge.
func readMessageFormat(path string, s *scanner) *Error {
	return eachMember(path, wantMessageFormat, s, func(path string) *Error {
		switch string(s.key) {
		case "type":
			_, problem := readString(path, s)
			return problem
		case "schema":
			return object(nil, path, s)
		}
		s.walk()
		return nil
	})
}

func readUserID(r *Request, name string, s *scanner) *Error {
	return eachMember(name, "an object with a user_id", s, func(path string) *Error {
		if string(s.key) == "user_id" {
			return upTo(maxUserID)(r, path, s)
		}
		s.walk()
		return nil
	})
}

// stringList reads an array of strings.
func stringList(_ *Request, name string, s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '[' {
		return wrongType(name, "an array of strings", s)
	}
	index := 0
	for s.enterArray(); s.nextElement(); index++ {
		if s.peek() != '"' {
			return wrongType(fmt.Sprintf("%s[%d]", name, index), "a string", s)
		}
		s.text()
	}
	return nil
}
