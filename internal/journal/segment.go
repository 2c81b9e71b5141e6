package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment's header on disk, in little endian:
//
//	 0  [8]byte   magic
//	 8  uint32    version of the format
//	12  uint64    the segment's number, from 1
//	20  uint64    the number that the first numbered record in it has, or will have
//	28  int64     size of the segment before it in bytes, 0 for the first
//	36  [16]byte  proxy id
//	52  uint32    CRC32C of all this
//
// The first number goes on where older segments were trimmed, and the size shows that the segment before it lost its end.
const (
	segmentHeader = 56
	segmentMagic  = "mrjournl"
	segmentSuffix = ".wal"

	atVersion  = 8
	atSequence = 12
	atFirst    = 20
	atPrevious = 28
	atProxy    = 36
	atHeadCRC  = 52
)

// indexStep is how many bytes of a segment there are at least between two marks of its index.
const indexStep = 32 << 10

// header is what a segment begins with.
type header struct {
	sequence uint64
	first    uint64
	previous int64
	proxy    proxyID
}

func (h header) encode() []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[atVersion:], formatVersion)
	binary.LittleEndian.PutUint64(b[atSequence:], h.sequence)
	binary.LittleEndian.PutUint64(b[atFirst:], h.first)
	binary.LittleEndian.PutUint64(b[atPrevious:], uint64(h.previous)) //nolint:gosec // A size is not negative.
	copy(b[atProxy:], h.proxy[:])
	binary.LittleEndian.PutUint32(b[atHeadCRC:], crc32.Checksum(b[:atHeadCRC], castagnoli))
	return b
}

// decodeHeader reads a segment's header. The error is a fault.
func decodeHeader(b []byte) (header, error) {
	switch {
	case len(b) < segmentHeader:
		return header{}, fault("its header is incomplete")
	case string(b[:len(segmentMagic)]) != segmentMagic:
		return header{}, fault("it does not begin like a segment")
	case binary.LittleEndian.Uint32(b[atHeadCRC:]) != crc32.Checksum(b[:atHeadCRC], castagnoli):
		return header{}, fault("the checksum of its header is wrong")
	case binary.LittleEndian.Uint32(b[atVersion:]) != formatVersion:
		return header{}, fault("it is of another format")
	}
	return header{
		sequence: binary.LittleEndian.Uint64(b[atSequence:]),
		first:    binary.LittleEndian.Uint64(b[atFirst:]),
		previous: int64(binary.LittleEndian.Uint64(b[atPrevious:])), //nolint:gosec // It was written from an int64.
		proxy:    proxyID(b[atProxy:]),
	}, nil
}

// mark says where a numbered record starts.
type mark struct {
	number uint64
	offset int64
}

// segment is what is known of one file of the journal.
type segment struct {
	sequence uint64
	// first is the number that its first numbered record has or will have; next is that of the first one behind it.
	first, next uint64
	// bytes is its size, up to the end of the last good record.
	bytes int64
	// index has some of its numbered records, in order; the first of them is among it.
	index []mark
}

// note puts a numbered record into the index if the last one there is far enough away.
func (s *segment) note(number uint64, offset int64) {
	if len(s.index) == 0 || offset-s.index[len(s.index)-1].offset >= indexStep {
		s.index = append(s.index, mark{number: number, offset: offset})
	}
}

// near returns an offset that is not behind the record with the number, and not far before it.
func (s *segment) near(number uint64) int64 {
	at, found := slices.BinarySearchFunc(s.index, number, func(m mark, number uint64) int { return cmp.Compare(m.number, number) })
	if !found {
		at--
	}
	if at < 0 {
		return segmentHeader
	}
	return s.index[at].offset
}

func segmentPath(folder string, sequence uint64) string {
	return filepath.Join(folder, fmt.Sprintf("%020d%s", sequence, segmentSuffix))
}

// listSegments returns the numbers of the segments in the folder, in order.
func listSegments(folder string) ([]uint64, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("listing the journal's segments: %w", err)
	}
	var sequences []uint64
	for _, entry := range entries {
		name, isSegment := strings.CutSuffix(entry.Name(), segmentSuffix)
		sequence, err := strconv.ParseUint(name, 10, 64)
		if isSegment && err == nil {
			sequences = append(sequences, sequence)
		}
	}
	slices.Sort(sequences)
	return sequences, nil
}

// openSegment opens a segment for reading and checks that it is the one that is meant. The error wraps os.ErrNotExist if it was
// trimmed, and is a *DamageError if something else is in its place.
func openSegment(folder string, sequence uint64, proxy proxyID) (*os.File, header, error) {
	path := segmentPath(folder, sequence)
	opened, err := os.Open(path)
	if err != nil {
		return nil, header{}, fmt.Errorf("opening a segment: %w", err)
	}
	raw := make([]byte, segmentHeader)
	n, err := opened.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, header{}, errors.Join(fmt.Errorf("reading the header of %s: %w", path, err), opened.Close())
	}
	head, err := decodeHeader(raw[:n])
	if err == nil && (head.sequence != sequence || head.proxy != proxy) {
		err = fault("it belongs elsewhere")
	}
	if err != nil {
		return nil, header{}, errors.Join(&DamageError{File: path, Reason: err.Error()}, opened.Close())
	}
	return opened, head, nil
}
