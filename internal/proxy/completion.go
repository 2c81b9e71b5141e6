package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// completion is a JSON answer, as far as it has to be taken apart. Its other members are kept as they are.
type completion map[string]json.RawMessage

// isJSONObject says whether an answer is JSON at all and may be passed on.
func isJSONObject(body []byte) bool {
	return json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// hasChoices says whether an answer holds anything that was generated.
func hasChoices(body []byte) bool {
	var answer struct {
		Choices []json.RawMessage `json:"choices"`
	}
	return json.Unmarshal(body, &answer) == nil && len(answer.Choices) > 0
}

// eventsOf turns a whole completion into the stream that the client asked for and the upstream did not give: one chunk with everything
// that was generated, the usage if the client wants it, and the end. Passed on as JSON it would be read as a stream without events, which
// the SDKs take for an empty answer without saying so.
func eventsOf(body []byte, includeUsage bool) ([]byte, error) {
	var answer completion
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("reading a completion: %w", err)
	}
	var choices []completion
	if err := json.Unmarshal(answer["choices"], &choices); err != nil {
		return nil, fmt.Errorf("reading the choices of a completion: %w", err)
	}
	for _, choice := range choices {
		if err := toDelta(choice); err != nil {
			return nil, err
		}
	}
	usage := answer["usage"]
	delete(answer, "usage")
	answer["object"] = json.RawMessage(`"chat.completion.chunk"`)
	var stream bytes.Buffer
	if err := answer.writeEvent(&stream, choices); err != nil {
		return nil, err
	}
	if includeUsage && !absent(usage) {
		answer["usage"] = usage
		if err := answer.writeEvent(&stream, []completion{}); err != nil {
			return nil, err
		}
	}
	stream.WriteString(doneEvent)
	return stream.Bytes(), nil
}

// toDelta makes a choice of a completion one of a chunk: its message becomes the delta, and its tool calls get the indexes that chunks
// join them by.
func toDelta(choice completion) error {
	var delta completion
	if err := json.Unmarshal(choice["message"], &delta); err != nil {
		return fmt.Errorf("reading the message of a completion: %w", err)
	}
	if !absent(delta["tool_calls"]) {
		var calls []completion
		if err := json.Unmarshal(delta["tool_calls"], &calls); err != nil {
			return fmt.Errorf("reading the tool calls of a completion: %w", err)
		}
		for i, call := range calls {
			if call["index"] == nil {
				call["index"] = fmt.Append(nil, i)
			}
		}
		if err := delta.set("tool_calls", calls); err != nil {
			return err
		}
	}
	delete(choice, "message")
	return choice.set("delta", delta)
}

func (c completion) set(name string, value any) error {
	encoded, err := encodeJSON(value)
	if err != nil {
		return err
	}
	c[name] = encoded
	return nil
}

func (c completion) writeEvent(stream *bytes.Buffer, choices []completion) error {
	if err := c.set("choices", choices); err != nil {
		return err
	}
	chunk, err := encodeJSON(c)
	if err != nil {
		return err
	}
	fmt.Fprintf(stream, "data: %s\n\n", chunk)
	return nil
}

// encodeJSON encodes in one line, and leaves <, > and & as they are.
func encodeJSON(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encoding a chunk: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
