package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// answer reads one HTTP answer as it comes, in whatever pieces.
type answer struct {
	state  answerState
	status int
	// left is how much of the body, or of a chunk, is still to come.
	left int
	// line has what has come of the header, or of a line between chunks.
	line []byte
}

type answerState int

const (
	inHeader answerState = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	complete
)

var errMalformed = errors.New("the answer is not HTTP")

// feed reads the next piece and hands out what of the body is in it. It reports whether the answer is complete.
func (a *answer) feed(piece []byte, body func([]byte)) (bool, error) {
	for len(piece) > 0 && a.state != complete {
		var err error
		switch a.state {
		case inHeader:
			piece, err = a.header(piece)
		case inBody, inChunk:
			part := piece[:min(a.left, len(piece))]
			body(part)
			piece = piece[len(part):]
			if a.left -= len(part); a.left == 0 {
				a.endPart()
			}
		case inChunkSize, inChunkEnd, inTrailer:
			piece, err = a.between(piece)
		case complete:
		}
		if err != nil {
			return false, err
		}
	}
	if len(piece) > 0 {
		return false, fmt.Errorf("%w: %d bytes too many", errMalformed, len(piece))
	}
	return a.state == complete, nil
}

// endPart goes on behind a body or a chunk.
func (a *answer) endPart() {
	if a.state == inBody {
		a.state = complete
		return
	}
	a.state = inChunkEnd
}

// header reads up to the blank line.
func (a *answer) header(piece []byte) ([]byte, error) {
	before := len(a.line)
	a.line = append(a.line, piece...)
	end := bytes.Index(a.line, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, nil
	}
	head := bytes.ToLower(a.line[:end+2])
	if len(head) < 12 {
		return nil, errMalformed
	}
	a.status, _ = strconv.Atoi(string(head[9:12]))
	if bytes.Contains(head, []byte("\r\ntransfer-encoding: chunked\r\n")) {
		a.state = inChunkSize
	} else {
		_, length, _ := bytes.Cut(head, []byte("\r\ncontent-length: "))
		length, _, found := bytes.Cut(length, []byte("\r\n"))
		var err error
		if a.left, err = strconv.Atoi(string(length)); err != nil || !found {
			return nil, fmt.Errorf("%w: its header has no length: %q", errMalformed, head)
		}
		if a.state = inBody; a.left == 0 {
			a.state = complete
		}
	}
	a.line = a.line[:0]
	return piece[end+4-before:], nil
}

// between reads one line between chunks.
func (a *answer) between(piece []byte) ([]byte, error) {
	piece, rest, whole := bytes.Cut(piece, []byte("\n"))
	a.line = append(a.line, piece...)
	if !whole {
		return nil, nil
	}
	line := bytes.TrimRight(a.line, "\r")
	switch a.state {
	case inChunkSize:
		size, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: a chunk of %q bytes", errMalformed, line)
		}
		a.left, a.state = int(size), inChunk
		if size == 0 {
			a.state = inTrailer
		}
	case inChunkEnd:
		a.state = inChunkSize
	default:
		if len(line) == 0 {
			a.state = complete
		}
	}
	a.line = a.line[:0]
	return rest, nil
}

// reset makes it ready for the next answer.
func (a *answer) reset() { *a = answer{line: a.line[:0]} }
