package upstream

import (
	"encoding/json"
	"strings"
)

type tool struct {
	Type     string       `json:"type"`
	Function toolFunction `json:"function"`

	CacheControl json.RawMessage `json:"cache_control"`
}

// typeFunction is the type of tools that the caller runs.
const typeFunction = "function"

type toolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// toolCall is a call as it stands in a message: whole, with its arguments as the text of a JSON object.
type toolCall struct {
	Index    *int             `json:"index,omitempty"` // only in the deltas of a stream
	ID       string           `json:"id,omitempty"`
	Type     string           `json:"type,omitempty"`
	Function toolCallFunction `json:"function"`
}

type toolCallFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// toolChoice says whether tools are called: mode is none, auto or required, and name is the one function asked for.
type toolChoice struct {
	mode string
	name string
}

const (
	choiceNone     = "none"
	choiceAuto     = "auto"
	choiceRequired = "required"
)

func (c *toolChoice) UnmarshalJSON(data []byte) error {
	var mode string
	if json.Unmarshal(data, &mode) == nil {
		switch mode {
		case "any": // Mistral's own name for it
			mode = choiceRequired
		case choiceNone, choiceAuto, choiceRequired:
		default:
			return badRequest(`Invalid input for "tool_choice": expected none, auto, required or a function`)
		}
		*c = toolChoice{mode: mode}
		return nil
	}
	var named tool
	if json.Unmarshal(data, &named) != nil || named.Type != typeFunction || named.Function.Name == "" {
		return badRequest(`Invalid input for "tool_choice": expected none, auto, required or a function`)
	}
	*c = toolChoice{mode: choiceRequired, name: named.Function.Name}
	return nil
}

func readTools(f fields, req *request) error {
	var (
		tools  []tool
		choice toolChoice
	)
	if err := firstError(
		func() error { return read(f, "tools", &tools) },
		func() error { return read(f, "tool_choice", &choice) },
	); err != nil {
		return err
	}
	return req.takeTools(f, tools, choice)
}

// takeTools keeps the tools that stand in a request, and refuses those that cannot be called. A choice without a mode is the
// default.
func (r *request) takeTools(f fields, tools []tool, choice toolChoice) error {
	for i, t := range tools {
		if t.Type != typeFunction || t.Function.Name == "" {
			return badRequest("Invalid input for tools[%d]: expected a function with a name", i)
		}
		if _, err := parseSchema(t.Function.Parameters); err != nil {
			return badRequest("Invalid input for tools[%d].function.parameters: %v", i, err)
		}
		r.toolsMarked = r.toolsMarked || isSet(t.CacheControl)
	}
	r.tools, r.toolChoice = tools, choice
	switch {
	case len(tools) == 0 && choice.mode == "":
		r.toolChoice.mode = choiceNone
	case choice.mode == "":
		r.toolChoice.mode = choiceAuto
	}
	if len(tools) > 0 {
		r.toolsText = compact(f["tools"])
	}
	if r.toolChoice.mode == choiceRequired && r.chosenTool() == nil {
		return badRequest(`Invalid input for "tool_choice": no such tool in "tools"`)
	}
	return nil
}

// chosenTool is the function that the answer calls, or nil for an answer in words. A tool left to choice is called when
// the user's message shares a word with its name or description, and not again once it has been answered.
func (r *request) chosenTool() *toolFunction {
	switch r.toolChoice.mode {
	case choiceNone:
		return nil
	case choiceRequired:
		for i := range r.tools {
			if r.toolChoice.name == "" || r.tools[i].Function.Name == r.toolChoice.name {
				return &r.tools[i].Function
			}
		}
		return nil
	}
	if r.prompts[0].afterTool() {
		return nil
	}
	asked := longWords(r.prompts[0].lastUser())
	for i := range r.tools {
		function := &r.tools[i].Function
		for word := range longWords(function.Name + " " + function.Description) {
			if asked[word] {
				return function
			}
		}
	}
	return nil
}

// longWords is the set of the words of at least four letters, in lower case. A snake_case name is several words.
func longWords(text string) map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return classOf(r) != classWord }) {
		if len(word) >= 4 {
			words[word] = true
		}
	}
	return words
}
