package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// What is in the journal. Each payload begins with the number of a hold, 8 bytes in little endian.
const (
	// kindHold is the settlement that is booked for a hold if nothing else becomes known of it: all of it, as uncertain.
	kindHold journal.Kind = iota + 1
	// kindSent is the upstream's id of the answer to a hold's attempt.
	kindSent
	// kindRecord is a numbered record of the log. Its hold is the one that it settles or corrects; 0 if it does neither.
	kindRecord
	// kindDoubt is a hold that was settled as uncertain and not corrected yet, and the upstream's id of the answer: see doubtPayload.
	kindDoubt
	// kindGivenUp ends the doubt of a hold that nobody asks for any more.
	kindGivenUp
)

const holdBytes = 8

// payload puts the number of a hold before a message. Marshalling these messages cannot fail.
func payload(hold uint64, message proto.Message) []byte {
	return appendPayload(make([]byte, 0, holdBytes+proto.Size(message)), hold, message)
}

func appendPayload(buffer []byte, hold uint64, message proto.Message) []byte {
	encoded, err := proto.MarshalOptions{}.MarshalAppend(binary.LittleEndian.AppendUint64(buffer, hold), message)
	if err != nil {
		panic(fmt.Sprintf("encoding a record of the journal: %v", err))
	}
	return encoded
}

// holdOf reads which hold a payload is about.
func holdOf(encoded []byte) (uint64, error) {
	if len(encoded) < holdBytes {
		return 0, fmt.Errorf("a record of the journal has %d bytes", len(encoded))
	}
	return binary.LittleEndian.Uint64(encoded), nil
}

func readPayload(encoded []byte, message proto.Message) error {
	if _, err := holdOf(encoded); err != nil {
		return err
	}
	if err := proto.Unmarshal(encoded[holdBytes:], message); err != nil {
		return fmt.Errorf("reading a record of the journal: %w", err)
	}
	return nil
}

const (
	// maxRecent is how many records that are on their way are kept in memory; the others are read from the journal when their turn comes.
	maxRecent = 20_000
	// shipBatch is how many records go in one call; the ledger accepts as many. shipBytes bounds their size, which it does as well.
	shipBatch = 500
	shipBytes = 128 << 10
)

// errAstray means that the ledger and the journal do not know the same log: its numbers cannot be used any more.
var errAstray = errors.New("the ledger and the journal do not agree on the log")

// book is the log of numbered records on its way to the ledger. What has a number is in the journal.
type book struct {
	journal *journal.Journal
	// turning is held for reading while records are written, and for writing while the journal gets another identity, so that a number
	// is never taken for one of the other log.
	turning sync.RWMutex

	mu sync.Mutex
	// recent are records that the ledger has not acknowledged, by number, as far as they are kept here; acknowledged is the last that it
	// has.
	recent       map[uint64]*ledgerpb.Record
	acknowledged uint64
	// inherited is the last number that an earlier process wrote.
	inherited uint64
	// changed is closed when acknowledged or unwritten changes.
	changed chan struct{}
	// unwritten are those that the disk did not take yet.
	unwritten []unwritten
	// astray is set once the log cannot be continued; carried are the records that the next one begins with.
	astray  bool
	carried []*ledgerpb.Record
}

type unwritten struct {
	hold   uint64
	record *ledgerpb.Record
	// needed is not behind where the hold is in the journal, which must not go before this is there.
	needed journal.Position
}

func newBook(from *journal.Journal) *book {
	return &book{journal: from, recent: map[uint64]*ledgerpb.Record{}, changed: make(chan struct{})}
}

// add writes records to the journal, from where they are sent. Those that the disk does not take are kept in memory until it does, and
// what is at the needed position stays in the journal until then.
func (b *book) add(hold uint64, needed journal.Position, records ...*ledgerpb.Record) error {
	if len(records) == 0 {
		return nil
	}
	b.mu.Lock()
	waiting := len(b.unwritten) > 0
	b.mu.Unlock()
	err := errors.New("earlier records wait for the disk")
	if !waiting {
		err = b.write(hold, records)
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, record := range records {
			b.unwritten = append(b.unwritten, unwritten{hold: hold, record: record, needed: needed})
		}
	}
	return err
}

// payloads are buffers for what goes to the journal, which copies it.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

func (b *book) write(hold uint64, records []*ledgerpb.Record) error {
	b.turning.RLock()
	defer b.turning.RUnlock()
	written, err := b.append(hold, records)
	if err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, record := range records {
		number := written.First + uint64(i)
		if number > b.acknowledged && len(b.recent) < maxRecent {
			b.recent[number] = record
		}
	}
	if b.astray {
		b.carried = append(b.carried, records...)
	}
	return nil
}

func (b *book) append(hold uint64, records []*ledgerpb.Record) (journal.Written, error) {
	if len(records) == 1 {
		buffer, _ := payloads.Get().(*[]byte)
		defer payloads.Put(buffer)
		*buffer = appendPayload((*buffer)[:0], hold, records[0])
		return b.journal.AppendEssential(journal.Entry{Kind: kindRecord, Numbered: true, Payload: *buffer})
	}
	entries := make([]journal.Entry, 0, len(records))
	for _, record := range records {
		entries = append(entries, journal.Entry{Kind: kindRecord, Numbered: true, Payload: payload(hold, record)})
	}
	return b.journal.AppendEssential(entries...)
}

// writeAgain writes what the disk did not take before. One goroutine at a time may call it.
func (b *book) writeAgain() error {
	b.mu.Lock()
	waiting := slices.Clone(b.unwritten)
	b.mu.Unlock()
	for _, one := range waiting {
		if err := b.write(one.hold, []*ledgerpb.Record{one.record}); err != nil {
			return err
		}
		b.mu.Lock()
		b.unwritten = b.unwritten[1:]
		b.signal()
		b.mu.Unlock()
	}
	return nil
}

// last is the number of the last record that is in the journal.
func (b *book) last() uint64 { return b.journal.Status().Next - 1 }

// batch returns the oldest records that the ledger has not acknowledged, from memory or else from the journal.
func (b *book) batch() (first uint64, records []*ledgerpb.Record, err error) {
	b.mu.Lock()
	first = b.acknowledged + 1
	bytes := 0
	for number := first; len(records) < shipBatch && bytes < shipBytes; number++ {
		record, there := b.recent[number]
		if !there {
			break
		}
		bytes += proto.Size(record)
		records = append(records, record)
	}
	b.mu.Unlock()
	if len(records) == 0 && first <= b.last() {
		records, err = b.read(first)
	}
	return first, records, err
}

// read reads a batch from the journal.
func (b *book) read(first uint64) (records []*ledgerpb.Record, err error) {
	bytes := 0
	for record, err := range b.journal.ReadFrom(first) {
		if err != nil {
			return nil, fmt.Errorf("reading from record %d of the journal again: %w", first, err)
		}
		read := &ledgerpb.Record{}
		if err := readPayload(record.Payload, read); err != nil {
			return nil, err
		}
		records = append(records, read)
		if bytes += len(record.Payload); len(records) == shipBatch || bytes >= shipBytes {
			break
		}
	}
	return records, nil
}

// signal wakes those who wait for a change. The caller holds the mutex.
func (b *book) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// tell is signal for whoever does not hold the mutex.
func (b *book) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signal()
}

// acknowledge notes that the ledger has everything up to a number.
func (b *book) acknowledge(through uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if through <= b.acknowledged {
		return
	}
	b.drop(through)
	b.acknowledged = through
	b.signal()
}

// drop forgets the records up to a number. The caller holds the mutex.
func (b *book) drop(through uint64) {
	if through-b.acknowledged > uint64(len(b.recent)) {
		maps.DeleteFunc(b.recent, func(number uint64, _ *ledgerpb.Record) bool { return number <= through })
		return
	}
	for number := b.acknowledged + 1; number <= through; number++ {
		delete(b.recent, number)
	}
}

// startAt makes the book go on behind the last record that the ledger has. A ledger that was restored from a backup has less than it
// acknowledged: what is missing is read from the journal again. If it is not there any more, or if the ledger has records under numbers
// that were not given out yet, new ones would not be applied, or be taken for others: then the error wraps errAstray.
func (b *book) startAt(applied uint64) error {
	if last := b.last(); applied > last {
		return fmt.Errorf("%w: it has records up to %d, of which those behind %d are not in the journal", errAstray, applied, last)
	}
	b.mu.Lock()
	behind := applied < b.acknowledged
	b.mu.Unlock()
	if !behind {
		b.acknowledge(applied)
		return nil
	}
	if !b.has(applied + 1) {
		return fmt.Errorf("%w: it lacks records behind %d, which are not in the journal any more", errAstray, applied)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledged = applied
	return nil
}

// has reports whether the journal has a record that was written.
func (b *book) has(number uint64) bool {
	for _, err := range b.journal.ReadFrom(number) {
		return !errors.Is(err, journal.ErrTrimmed)
	}
	return true
}

// owed is how many records the ledger has not acknowledged.
func (b *book) owed() int {
	last := b.last()
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(last-min(b.acknowledged, last)) + len(b.unwritten) //nolint:gosec // It is what a journal holds.
}

// needed is the lowest position that what is not written yet needs, if that is below a position.
func (b *book) needed(position journal.Position) journal.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.unwritten {
		if one.needed.Before(position) {
			position = one.needed
		}
	}
	return position
}
