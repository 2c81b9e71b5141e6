package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// A record on disk, in little endian:
//
//	 0  uint32  CRC32C of everything that follows
//	 4  uint32  length of the payload in bytes
//	 8  uint64  number, 0 for a record that is not numbered
//	16  uint16  kind
//	18  uint16  mark, the same for all
//	20          payload
//
// The mark makes the search for a whole record behind a broken one cheap: only where it stands can there be one.
const (
	recordHeader = 20
	recordMark   = 0x4a52 // "RJ"

	atLength = 4
	atNumber = 8
	atKind   = 16
	atMark   = 18
)

// MaxPayload is the most that one record carries, in bytes. A bound tells a broken length from a long record.
const MaxPayload = 64 << 10

// readAhead is how much is read from a file at once, in bytes; it holds the longest record.
const readAhead = 128 << 10

// castagnoli is CRC32C, which the processor computes itself.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind tells the caller's records apart. The journal only carries it; 0 is no kind.
type Kind uint16

// Position is where a record starts: the number of its segment, and the offset in that file in bytes. The zero Position is before
// every record.
type Position struct {
	Segment uint64
	Offset  int64
}

// Before reports whether p is before other.
func (p Position) Before(other Position) bool {
	return p.Segment < other.Segment || p.Segment == other.Segment && p.Offset < other.Offset
}

// Record is one record as it was read. The payload is valid until the next one is read.
type Record struct {
	Kind Kind
	// Number is the record's place in the log, from 1, or 0 if it is not numbered.
	Number   uint64
	Position Position
	Payload  []byte
}

// fault is what is wrong with bytes that should be a record or a header.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errIncomplete = fault("it is incomplete")
	errMark       = fault("there is no record")
	errLength     = fault("its length is impossible")
	errKind       = fault("it has no kind")
	errChecksum   = fault("its checksum is wrong")
)

// appendRecord encodes an entry behind b. Its number and checksum are left to sealRecord, which knows where the record goes; until
// then the number only says whether there will be one.
func appendRecord(b []byte, entry Entry) []byte {
	var head [recordHeader]byte
	binary.LittleEndian.PutUint32(head[atLength:], uint32(len(entry.Payload))) //nolint:gosec // check has bounded it by MaxPayload.
	if entry.Numbered {
		binary.LittleEndian.PutUint64(head[atNumber:], 1)
	}
	binary.LittleEndian.PutUint16(head[atKind:], uint16(entry.Kind))
	binary.LittleEndian.PutUint16(head[atMark:], recordMark)
	return append(append(b, head[:]...), entry.Payload...)
}

// sealRecord gives the first record of b the number if it is to have one, and its checksum. It returns the record's size in bytes and
// whether it took the number.
func sealRecord(b []byte, number uint64) (size int, numbered bool) {
	size = recordHeader + int(binary.LittleEndian.Uint32(b[atLength:]))
	numbered = binary.LittleEndian.Uint64(b[atNumber:]) != 0
	if numbered {
		binary.LittleEndian.PutUint64(b[atNumber:], number)
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[atLength:size], castagnoli))
	return size, numbered
}

// recordSize reads from a record's header how many bytes the whole record has. The error is a fault.
func recordSize(head []byte) (int, error) {
	switch length := binary.LittleEndian.Uint32(head[atLength:]); {
	case binary.LittleEndian.Uint16(head[atMark:]) != recordMark:
		return 0, errMark
	case length > MaxPayload:
		return 0, errLength
	case binary.LittleEndian.Uint16(head[atKind:]) == 0:
		return 0, errKind
	default:
		return recordHeader + int(length), nil
	}
}

// decodeRecord reads the record at the start of b and its size in bytes. The payload is part of b. The error is a fault.
func decodeRecord(b []byte) (Record, int, error) {
	if len(b) < recordHeader {
		return Record{}, 0, errIncomplete
	}
	size, err := recordSize(b)
	switch {
	case err != nil:
		return Record{}, 0, err
	case len(b) < size:
		return Record{}, 0, errIncomplete
	case binary.LittleEndian.Uint32(b) != crc32.Checksum(b[atLength:size], castagnoli):
		return Record{}, 0, errChecksum
	}
	return Record{
		Kind:    Kind(binary.LittleEndian.Uint16(b[atKind:])),
		Number:  binary.LittleEndian.Uint64(b[atNumber:]),
		Payload: b[recordHeader:size:size],
	}, size, nil
}

// holdsRecord reports whether a whole record starts anywhere in b.
func holdsRecord(b []byte) bool {
	mark := binary.LittleEndian.AppendUint16(nil, recordMark)
	for at := atMark; at < len(b); at++ {
		next := bytes.Index(b[at:], mark)
		if next < 0 {
			return false
		}
		at += next
		if _, _, err := decodeRecord(b[at-atMark:]); err == nil {
			return true
		}
	}
	return false
}

// buffers are for readers: ReadFrom is called for every batch that is sent.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readAhead) }}

// reader reads the records of one segment.
type reader struct {
	buffer *bufio.Reader
	at     Position
}

// newReader reads the records of an opened segment from a position on, to the offset end. It must be released.
func newReader(from io.ReaderAt, at Position, end int64) *reader {
	buffer, _ := buffers.Get().(*bufio.Reader)
	buffer.Reset(io.NewSectionReader(from, at.Offset, end-at.Offset))
	return &reader{buffer: buffer, at: at}
}

func (r *reader) release() {
	r.buffer.Reset(nil)
	buffers.Put(r.buffer)
}

// next returns the next record, io.EOF behind the last, a fault where there is none although there are bytes, or an error of the file.
func (r *reader) next() (Record, error) {
	head, err := r.peek(recordHeader)
	if err != nil {
		return Record{}, err
	}
	size, err := recordSize(head)
	if err != nil {
		return Record{}, err
	}
	whole, err := r.peek(size)
	if err != nil {
		return Record{}, err
	}
	record, size, err := decodeRecord(whole)
	if err != nil {
		return Record{}, err
	}
	record.Position = r.at
	r.at.Offset += int64(size)
	// What was peeked is in the buffer: discarding it cannot fail, and leaves the bytes where they are until the next peek.
	_, _ = r.buffer.Discard(size)
	return record, nil
}

// peek returns the next size bytes, io.EOF if there are none at all, or errIncomplete if there are fewer.
func (r *reader) peek(size int) ([]byte, error) {
	b, err := r.buffer.Peek(size)
	switch {
	case err == nil:
		return b, nil
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("reading %d bytes at offset %d: %w", size, r.at.Offset, err)
	case len(b) == 0:
		return nil, io.EOF
	}
	return nil, errIncomplete
}
