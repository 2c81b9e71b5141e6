package openai

import (
	"encoding/json"
	"fmt"
)

// completion is a JSON answer, as far as it has to be taken apart. Its other members are kept as they are.
type completion map[string]json.RawMessage

// chatStream turns a whole completion into a stream.
func chatStream(body []byte, includeUsage bool) ([]byte, error) {
	return streamOf(body, includeUsage, "chat.completion.chunk", toDelta)
}

// streamOf turns an answer with choices into a stream of these objects: one chunk with everything that was generated, the usage if the
// client wants it, and the end.
func streamOf(body []byte, includeUsage bool, object string, toChunk func(choice completion) error) ([]byte, error) {
	var answer completion
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("reading a completion: %w", err)
	}
	var choices []completion
	if err := json.Unmarshal(answer["choices"], &choices); err != nil {
		return nil, fmt.Errorf("reading the choices of a completion: %w", err)
	}
	for _, choice := range choices {
		if err := toChunk(choice); err != nil {
			return nil, err
		}
	}
	usage := answer["usage"]
	delete(answer, "usage")
	answer.set("object", object)
	stream := answer.event(nil, choices)
	if includeUsage && !isNothing(usage) {
		answer["usage"] = usage
		stream = answer.event(stream, []completion{})
	}
	return append(stream, doneEvent...), nil
}

// toDelta makes a choice of a completion one of a chunk: its message becomes the delta, and its tool calls get the indexes that chunks
// join them by.
func toDelta(choice completion) error {
	var delta completion
	if err := json.Unmarshal(choice["message"], &delta); err != nil {
		return fmt.Errorf("reading the message of a completion: %w", err)
	}
	if !isNothing(delta["tool_calls"]) {
		var calls []completion
		if err := json.Unmarshal(delta["tool_calls"], &calls); err != nil {
			return fmt.Errorf("reading the tool calls of a completion: %w", err)
		}
		for i, call := range calls {
			if call["index"] == nil {
				call["index"] = fmt.Append(nil, i)
			}
		}
		delta.set("tool_calls", calls)
	}
	delete(choice, "message")
	choice.set("delta", delta)
	return nil
}

func (c completion) set(name string, value any) { c[name] = encode(value) }

// event appends the completion to a stream, as a chunk with these choices.
func (c completion) event(stream []byte, choices []completion) []byte {
	c.set("choices", choices)
	return fmt.Appendf(stream, "data: %s\n\n", encode(c))
}

// isNothing reports whether a member is absent or null.
func isNothing(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }
