package openai

import (
	"strings"
	"unicode/utf8"
)

// These read the parameters that are objects or one of several things.

const (
	// maxName is how many characters the name of a JSON schema may have.
	maxName = 64

	maxMetadata, maxMetadataKey, maxMetadataValue = 16, 64, 512
)

const (
	wantBias       = "an object of numbers from -100 to 100"
	wantMetadata   = "an object of at most 16 strings"
	wantCall       = "'none', 'auto' or an object with the name of a function"
	wantEffort     = "one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' and 'max'"
	wantVerbosity  = "one of 'low', 'medium', 'high', 'xhigh' and 'max'"
	wantModalities = "an array of 'text', 'image' and 'audio'"
)

var (
	efforts     = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}
	verbosities = []string{"low", "medium", "high", "xhigh", "max"}
	summaries   = []string{"auto", "concise", "detailed"}

	openAIFormats     = []string{"text", "json_object", "json_schema"}
	openRouterFormats = []string{"text", "json_object", "json_schema", "grammar", "python"}
	// allFormats has vLLM's structural_tag too.
	allFormats = []string{"text", "json_object", "json_schema", "grammar", "python", "structural_tag"}

	// allChoices has Mistral's any too.
	allChoices  = []string{"none", "auto", "required", "any"}
	callChoices = []string{"none", "auto"}
	choiceTypes = []string{"function", "custom", "allowed_tools"}
)

func readBias(_ *Request, name string, s *scanner) *Error {
	return eachScalar(name, wantBias, s, func(path string) *Error {
		return readNumber(path, "a number from -100 to 100", -100, 100, s)
	})
}

// readIntegerBias is for OpenAI, whose biases are integers.
func readIntegerBias(_ *Request, name string, s *scanner) *Error {
	return eachScalar(name, wantBias, s, func(path string) *Error {
		_, problem := readIntegerUpTo(path, s, -100, 100)
		return problem
	})
}

// eachMember reads an object or null, and calls read at each of its values.
func eachMember(name, want string, s *scanner, read func(path string) *Error) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '{' {
		return wrongType(name, want, s)
	}
	for s.enterObject(); s.nextMember(); {
		if problem := read(name + "." + string(s.key)); problem != nil {
			return problem
		}
	}
	return nil
}

// eachScalar is eachMember for values that are no containers. There may be many, so their paths are only made of those that are wrong.
func eachScalar(name, want string, s *scanner, read func(path string) *Error) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '{' {
		return wrongType(name, want, s)
	}
	for s.enterObject(); s.nextMember(); {
		at := s.pos
		if read("") != nil {
			s.pos = at
			return read(name + "." + string(s.key))
		}
	}
	return nil
}

func readMetadata(_ *Request, name string, s *scanner) *Error {
	count := 0
	return eachScalar(name, wantMetadata, s, func(path string) *Error {
		if path == "" {
			count++
		}
		if count > maxMetadata {
			return coded(InvalidRequest(name, "Invalid '%s': too many properties. Expected at most %d.", name, maxMetadata),
				"object_above_max_properties")
		}
		if utf8.RuneCount(s.key) > maxMetadataKey {
			return coded(InvalidRequest(name, "Invalid '%s': a key is too long. Expected at most %d characters.", name, maxMetadataKey),
				"string_above_max_length")
		}
		if s.peek() != '"' {
			return wrongType(path, "a string", s)
		}
		if value := s.text(); value.decoded > maxMetadataValue && utf8.RuneCount(value.decode()) > maxMetadataValue {
			return tooLong(path, maxMetadataValue)
		}
		return nil
	})
}

var readFormat = formatOf(allFormats)

func formatsWant(types []string) string { return "an object whose type is " + listOf(types) }

// formatOf makes the reader of a response_format whose type is one of these.
func formatOf(types []string) reader {
	want := formatsWant(types)
	return func(r *Request, name string, s *scanner) *Error {
		kind, schema, typed := "", false, false
		r.format = s.peek() == '{'
		problem := eachMember(name, want, s, func(path string) (problem *Error) {
			switch {
			case string(s.key) == "type":
				typed = s.peek() != 'n'
				kind, problem = readWord(path, types, s)
			case string(s.key) == "json_schema" && s.peek() != 'n':
				schema = true
				problem = readSchema(path, s)
			default:
				s.walk()
			}
			return problem
		})
		switch {
		case problem != nil || s.err != nil || !r.format:
			return problem
		case !typed:
			return missing(name + ".type")
		case kind == "json_schema" && !schema:
			return missing(name + ".json_schema")
		}
		return nil
	}
}

func missing(path string) *Error {
	return coded(InvalidRequest(path, "Missing required parameter: '%s'.", path), "missing_required_parameter")
}

// readSchema reads response_format.json_schema. The schema itself is the upstream's to judge.
func readSchema(path string, s *scanner) *Error {
	named := false
	problem := eachMember(path, "an object with a name and a schema", s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "name":
			named = true
			problem = readName(path, s)
		case "strict":
			_, problem = readBool(path, s)
		case "schema":
			problem = object(nil, path, s)
		default:
			s.walk()
		}
		return problem
	})
	if problem == nil && s.err == nil && !named {
		return missing(path + ".name")
	}
	return problem
}

// readName reads a name that must not be empty.
func readName(path string, s *scanner) *Error {
	name, problem := readString(path, s)
	if problem == nil && utf8.RuneCountInString(name) > maxName {
		return tooLong(path, maxName)
	}
	return problem
}

var readToolChoice = choiceOf(allChoices)

func choicesWant(words []string) string { return listOf(words) + ", or an object that names a tool" }

// choiceOf makes the reader of a tool_choice that is one of the words or an object that names a tool.
func choiceOf(words []string) reader {
	want := choicesWant(words)
	return func(_ *Request, name string, s *scanner) *Error {
		switch s.peek() {
		case '"':
			_, problem := readWord(name, words, s)
			return problem
		case '{', 'n':
			return readChoice(name, s)
		}
		return wrongType(name, want, s)
	}
}

// readChoice reads {"type": T, T: {...}}; a function or a custom tool is named there.
func readChoice(name string, s *scanner) *Error {
	kind, object, have := "", s.peek() == '{', [3]bool{}
	problem := eachMember(name, "", s, func(path string) (problem *Error) {
		switch key := string(s.key); key {
		case "type":
			if s.peek() == 'n' {
				return wrongType(path, "a string", s)
			}
			kind, problem = readWord(path, choiceTypes, s)
			return problem
		case "function", "custom":
			have[indexOf(choiceTypes, key)] = true
			return readNamed(path, s)
		case "allowed_tools":
			have[2] = true
		}
		s.walk()
		return nil
	})
	switch {
	case problem != nil || s.err != nil || !object:
		return problem
	case kind == "":
		return missing(name + ".type")
	case !have[indexOf(choiceTypes, kind)]:
		return missing(name + "." + kind)
	}
	return nil
}

func indexOf(words []string, word string) int {
	for i := range words {
		if words[i] == word {
			return i
		}
	}
	return 0
}

// readNamed reads an object with a name.
func readNamed(path string, s *scanner) *Error {
	if s.peek() != '{' {
		return wrongType(path, "an object with a name", s)
	}
	named := false
	problem := eachMember(path, "", s, func(path string) (problem *Error) {
		if string(s.key) != "name" {
			s.walk()
			return nil
		}
		named = true
		_, problem = readString(path, s)
		return problem
	})
	if problem == nil && s.err == nil && !named {
		return missing(path + ".name")
	}
	return problem
}

func readFunctionCall(_ *Request, name string, s *scanner) *Error {
	switch s.peek() {
	case 'n':
		s.walk()
		return nil
	case '"':
		_, problem := readWord(name, callChoices, s)
		return problem
	case '{':
		return readNamed(name, s)
	}
	return wrongType(name, wantCall, s)
}

func readEffort(r *Request, name string, s *scanner) (problem *Error) {
	r.effort, problem = readWord(name, efforts, s)
	return problem
}

func readReasoning(r *Request, name string, s *scanner) *Error {
	r.reasoningEffort = ""
	tokens := false
	problem := eachMember(name, "an object", s, func(path string) (problem *Error) {
		switch string(s.key) {
		case "effort":
			r.reasoningEffort, problem = readWord(path, efforts, s)
		case "max_tokens":
			var most *int64
			most, problem = readInteger(path, s, 0)
			tokens = most != nil
		case "exclude", "enabled":
			_, problem = readBool(path, s)
		case "summary":
			_, problem = readWord(path, summaries, s)
		default:
			s.walk()
		}
		return problem
	})
	if problem == nil && s.err == nil && tokens && r.reasoningEffort != "" {
		return conflict(name, "reasoning.effort and reasoning.max_tokens say the same thing in two ways: send one of them.")
	}
	return problem
}

func conflict(param, message string) *Error {
	return coded(InvalidRequest(param, "%s", message), "invalid_value")
}

// modalities is a set of kinds of output.
type modalities uint8

const (
	textOutput modalities = 1 << iota
	imageOutput
	audioOutput
)

var outputs = map[string]modalities{"text": textOutput, "image": imageOutput, "audio": audioOutput}

// modalitiesOf returns the kinds of these names, and text.
func modalitiesOf(names []string) modalities {
	set := textOutput
	for _, name := range names {
		set |= outputs[name]
	}
	return set
}

func readModalities(r *Request, name string, s *scanner) *Error {
	if readNull(s) {
		return nil
	}
	if s.peek() != '[' {
		return wrongType(name, wantModalities, s)
	}
	for s.enterArray(); s.nextElement(); {
		if s.peek() != '"' {
			return wrongType(name, wantModalities, s)
		}
		word := s.text().decode()
		kind, known := outputs[string(word)]
		if !known && s.err == nil {
			return notSupported(name, string(word), strings.TrimPrefix(wantModalities, "an array of "))
		}
		r.modalities |= kind
	}
	return nil
}

// readVoice reads audio, which goes with output that is spoken.
func readVoice(r *Request, name string, s *scanner) *Error {
	r.voice = r.voice || s.peek() != 'n'
	return object(r, name, s)
}
