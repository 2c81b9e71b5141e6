package openai

import (
	"encoding/json"
	"fmt"
)

// messageStream turns a whole message into the events of a stream. Its usage is in them always.
func messageStream(body []byte, _ bool) ([]byte, error) {
	var message completion
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	var blocks []completion
	if err := json.Unmarshal(message["content"], &blocks); err != nil {
		return nil, fmt.Errorf("reading the content of a message: %w", err)
	}
	end := completion{"stop_reason": orNull(message["stop_reason"]), "stop_sequence": orNull(message["stop_sequence"])}
	usage := message["usage"]
	message["content"] = json.RawMessage("[]")
	message["stop_reason"], message["stop_sequence"] = json.RawMessage("null"), json.RawMessage("null")
	stream := messageEvent(nil, "message_start", completion{"message": encode(message)})
	for i, block := range blocks {
		var err error
		if stream, err = appendBlock(stream, i, block); err != nil {
			return nil, err
		}
	}
	last := completion{"delta": encode(end)}
	if !isNothing(usage) {
		last["usage"] = usage
	}
	stream = messageEvent(stream, "message_delta", last)
	return messageEvent(stream, "message_stop", completion{}), nil
}

func orNull(value json.RawMessage) json.RawMessage {
	if value == nil {
		return json.RawMessage("null")
	}
	return value
}

func messageEvent(stream []byte, name string, members completion) []byte {
	members.set("type", name)
	return namedEvent(stream, name, members)
}

// blockDelta is how a member of a block of content comes in a stream: in a delta of its type, under a name there, while the block begins
// with it empty.
type blockDelta struct{ member, kind, name, empty string }

// blockDeltas has the deltas of blocks by the type of the block. Others come whole.
var blockDeltas = map[string][]blockDelta{
	"text":     {{"text", "text_delta", "text", `""`}},
	"thinking": {{"thinking", "thinking_delta", "thinking", `""`}, {"signature", "signature_delta", "signature", `""`}},
	"tool_use": {{"input", "input_json_delta", "partial_json", `{}`}},
}

// appendBlock appends the events of one block of content.
func appendBlock(stream []byte, index int, block completion) ([]byte, error) {
	var kind string
	if err := json.Unmarshal(block["type"], &kind); err != nil {
		return nil, fmt.Errorf("reading the type of a block of content: %w", err)
	}
	var deltas []completion
	for _, d := range blockDeltas[kind] {
		value := block[d.member]
		if isNothing(value) {
			continue
		}
		if d.name == "partial_json" {
			value = encode(string(value))
		}
		delta := completion{d.name: value}
		delta.set("type", d.kind)
		deltas = append(deltas, delta)
		block[d.member] = json.RawMessage(d.empty)
	}
	at := func() completion { return completion{"index": fmt.Append(nil, index)} }
	start := at()
	start.set("content_block", block)
	stream = messageEvent(stream, "content_block_start", start)
	for _, delta := range deltas {
		event := at()
		event.set("delta", delta)
		stream = messageEvent(stream, "content_block_delta", event)
	}
	return messageEvent(stream, "content_block_stop", at()), nil
}
