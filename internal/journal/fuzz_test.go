package journal

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzDecode holds the decoder to this: what it accepts is what the encoder makes of it, and a whole segment of rubbish is read to a
// fault or to its end.
func FuzzDecode(f *testing.F) {
	for _, entry := range []Entry{{Kind: 1}, {Kind: 7, Numbered: true, Payload: []byte("settle")}, {Kind: 9, Payload: make([]byte, 300)}} {
		b := appendRecord(nil, entry)
		sealRecord(b, 5)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(bytes.Clone(b), b...))
	}
	head := header{sequence: 3, first: 9, previous: 100, proxy: proxyID{1}}
	f.Add(head.encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		record, size, err := decodeRecord(content)
		if wrong := fault(""); err != nil && !errors.As(err, &wrong) {
			t.Errorf("the error is no fault: %v", err)
		}
		if err == nil {
			again := appendRecord(nil, Entry{Kind: record.Kind, Numbered: record.Number != 0, Payload: record.Payload})
			sealRecord(again, record.Number)
			if !bytes.Equal(again, content[:size]) || !holdsRecord(content) {
				t.Errorf("%x is read as %+v, which is %x", content[:size], record, again)
			}
		}
		if head, err := decodeHeader(content); err == nil && !bytes.Equal(head.encode(), content[:segmentHeader]) {
			t.Errorf("%x is read as %+v", content, head)
		}
		readAll(t, content)
	})
}

func readAll(t *testing.T, content []byte) {
	records := newReader(bytes.NewReader(content), Position{Segment: 1}, int64(len(content)))
	defer records.release()
	for at := 0; ; {
		got, err := records.next()
		if wrong := fault(""); errors.Is(err, io.EOF) || errors.As(err, &wrong) {
			return
		}
		want, size, wrong := decodeRecord(content[at:])
		same := got.Number == want.Number && bytes.Equal(got.Payload, want.Payload) && int(got.Position.Offset) == at
		if err != nil || wrong != nil || !same {
			t.Fatalf("at %d the reader has %+v (%v), and the decoder %+v (%v)", at, got, err, want, wrong)
		}
		at += size
	}
}
