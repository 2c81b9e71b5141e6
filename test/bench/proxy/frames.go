package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// A frame is an event of a stream. Its content is its number and the time at which it was sent, so that whoever gets it can tell whether
// one is missing and how long it took.
const (
	contentMark = `"content":"`
	numberWidth = 7
	stampWidth  = 19
)

// eventHead is what every event of a stream begins with.
const eventHead = `data: {"id":"gen-bench","object":"chat.completion.chunk","created":1795427904,"model":"` + upstreamModel + `",`

// appendFrame makes a frame, as a chunk of an answer.
func appendFrame(to []byte, number int, sent int64) []byte {
	const head = eventHead + `"provider":"Bench","choices":[{"index":0,"delta":{"role":"assistant",` + contentMark
	const tail = `"},"finish_reason":null,"native_finish_reason":null}]}` + "\n\n"
	to = appendChunkSize(to, len(head)+numberWidth+1+stampWidth+len(tail))
	to = append(to, head...)
	to = fmt.Appendf(to, "%0*d %0*d", numberWidth, number, stampWidth, sent)
	to = append(to, tail...)
	return append(to, "\r\n"...)
}

// appendEnd ends a stream of so many frames.
func appendEnd(to []byte, frames int) []byte {
	end := fmt.Sprintf(eventHead+`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n"+
		eventHead+`"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":%d,"total_tokens":%d,"cost":0.00048}}`+"\n\n"+
		"data: [DONE]\n\n", frames, 120+frames)
	to = appendChunkSize(to, len(end))
	to = append(to, end...)
	return append(to, "\r\n0\r\n\r\n"...)
}

func appendChunkSize(to []byte, size int) []byte {
	return append(strconv.AppendInt(to, int64(size), 16), "\r\n"...)
}

// frameReader finds the frames in a stream that comes in pieces.
type frameReader struct {
	pending []byte
	// next is the number of the next frame; wrong counts those that came with another.
	next, wrong int
	done        bool
}

// feed reads the next piece, and hands out when each frame in it was sent.
func (r *frameReader) feed(piece []byte, frame func(sent int64)) {
	rest := piece
	if len(r.pending) > 0 {
		r.pending = append(r.pending, piece...)
		rest = r.pending
	}
	for {
		end := bytes.Index(rest, []byte("\n\n"))
		if end < 0 {
			break
		}
		r.event(rest[:end], frame)
		rest = rest[end+2:]
	}
	r.pending = append(r.pending[:0], rest...)
}

func (r *frameReader) event(event []byte, frame func(sent int64)) {
	at := bytes.Index(event, []byte(contentMark))
	if at < 0 || len(event) < at+len(contentMark)+numberWidth+1+stampWidth {
		r.done = r.done || bytes.HasPrefix(event, []byte("data: [DONE]"))
		return
	}
	content := event[at+len(contentMark):]
	number, _ := strconv.Atoi(string(content[:numberWidth]))
	sent, _ := strconv.ParseInt(string(content[numberWidth+1:numberWidth+1+stampWidth]), 10, 64)
	if number != r.next {
		r.wrong++
	}
	r.next = number + 1
	frame(sent)
}

func (r *frameReader) reset() { *r = frameReader{pending: r.pending[:0]} }
