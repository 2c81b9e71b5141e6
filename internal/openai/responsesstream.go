package openai

import (
	"encoding/json"
	"fmt"
	"maps"
)

// responseStream turns a whole response into the events of a stream. Its usage is in the last of them always.
func responseStream(body []byte, _ bool) ([]byte, error) {
	var response completion
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, fmt.Errorf("reading a response: %w", err)
	}
	var status string
	var items []completion
	if err := json.Unmarshal(response["output"], &items); err != nil {
		return nil, fmt.Errorf("reading the output of a response: %w", err)
	}
	if err := json.Unmarshal(response["status"], &status); err != nil {
		return nil, fmt.Errorf("reading the status of a response: %w", err)
	}
	switch status {
	case "completed", "incomplete", "failed":
	default:
		return nil, fmt.Errorf("a response that is %.40q", status)
	}
	begun := response.with(completion{
		"status": json.RawMessage(`"in_progress"`), "output": json.RawMessage("[]"), "usage": json.RawMessage("null"),
		"error": json.RawMessage("null"), "incomplete_details": json.RawMessage("null"),
	})
	var events responseEvents
	events.add("response.created", completion{"response": encode(begun)})
	events.add("response.in_progress", completion{"response": encode(begun)})
	for i, item := range items {
		if err := events.addItem(i, item); err != nil {
			return nil, err
		}
	}
	events.add("response."+status, completion{"response": encode(response)})
	return events.stream, nil
}

// with returns a copy with other members.
func (c completion) with(members completion) completion {
	changed := maps.Clone(c)
	maps.Copy(changed, members)
	return changed
}

// text returns a member's text; empty if it is none.
func (c completion) text(name string) string {
	var text string
	_ = json.Unmarshal(c[name], &text) // What is no text is empty.
	return text
}

// responseEvents is a stream whose events are numbered.
type responseEvents struct {
	stream []byte
	number int
}

func (e *responseEvents) add(kind string, members completion) {
	members.set("type", kind)
	members["sequence_number"] = fmt.Append(nil, e.number)
	e.number++
	e.stream = namedEvent(e.stream, kind, members)
}

// callEvents has, by the type of a call, its member that comes piece by piece, and the events of it.
var callEvents = map[string]struct{ member, event string }{
	"function_call":    {"arguments", "response.function_call_arguments"},
	"custom_tool_call": {"input", "response.custom_tool_call_input"},
}

// addItem adds the events of an item: of a message those of its parts, of a call those of what it is called with. Others come whole.
func (e *responseEvents) addItem(index int, item completion) error {
	at := completion{"output_index": fmt.Append(nil, index)}
	begun := item.with(nil)
	if item["status"] != nil {
		begun.set("status", "in_progress")
	}
	call, isCall := callEvents[item.text("type")]
	var parts []completion
	switch {
	case isCall:
		begun.set(call.member, "")
	case item.text("type") == "message":
		if err := json.Unmarshal(item["content"], &parts); err != nil {
			return fmt.Errorf("reading the content of a message: %w", err)
		}
		begun["content"] = json.RawMessage("[]")
	}
	e.add("response.output_item.added", at.with(completion{"item": encode(begun)}))
	within := at.with(completion{"item_id": orNull(item["id"])})
	if isCall {
		e.add(call.event+".delta", within.with(completion{"delta": encode(item.text(call.member))}))
		done := within.with(completion{call.member: encode(item.text(call.member))})
		if item["name"] != nil {
			done["name"] = item["name"]
		}
		e.add(call.event+".done", done)
	}
	for i, part := range parts {
		e.addPart(within.with(completion{"content_index": fmt.Append(nil, i)}), part)
	}
	e.add("response.output_item.done", at.with(completion{"item": encode(item)}))
	return nil
}

// partEvents has, by the type of a part of a message, its member that comes piece by piece, and the events of it.
var partEvents = map[string]struct{ member, event string }{
	"output_text": {"text", "response.output_text"},
	"refusal":     {"refusal", "response.refusal"},
}

func (e *responseEvents) addPart(at completion, part completion) {
	said, known := partEvents[part.text("type")]
	begun := part.with(nil)
	if known {
		begun.set(said.member, "")
	}
	e.add("response.content_part.added", at.with(completion{"part": encode(begun)}))
	if known {
		text := encode(part.text(said.member))
		delta, done := at.with(completion{"delta": text}), at.with(completion{said.member: text})
		if said.member == "text" {
			delta["logprobs"], done["logprobs"] = json.RawMessage("[]"), json.RawMessage("[]")
		}
		e.add(said.event+".delta", delta)
		e.add(said.event+".done", done)
	}
	e.add("response.content_part.done", at.with(completion{"part": encode(part)}))
}
