package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// survey is what a folder's segments are found to hold.
type survey struct {
	folder   string
	proxy    proxyID
	segments []*segment
	torn     *Torn
	damage   *DamageError
}

// surveyFolder reads all segments, up to the first damage. The error is one of the files, not of what is in them.
func surveyFolder(folder string, proxy proxyID) (*survey, error) {
	sequences, err := listSegments(folder)
	if err != nil {
		return nil, err
	}
	s := &survey{folder: folder, proxy: proxy}
	if len(sequences) == 0 {
		s.damage = &DamageError{File: folder, Reason: "there is no segment"}
		return s, nil
	}
	for i, sequence := range sequences {
		if err := s.read(sequence, i == len(sequences)-1); err != nil {
			return nil, err
		}
		if s.damage != nil {
			return s, nil //nolint:nilerr // The survey is of what is there, and the damage is part of it.
		}
	}
	return s, nil
}

// last is the segment before the one that is read next, or nil.
func (s *survey) last() *segment {
	if len(s.segments) == 0 {
		return nil
	}
	return s.segments[len(s.segments)-1]
}

// read reads one segment. What is wrong with it becomes the damage, or the torn end if it is the last.
func (s *survey) read(sequence uint64, isLast bool) (err error) {
	path := segmentPath(s.folder, sequence)
	opened, head, err := openSegment(s.folder, sequence, s.proxy)
	if damage, isDamage := errors.AsType[*DamageError](err); isDamage {
		return s.judge(damage, isLast && s.last() != nil)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	if s.damage = s.follows(head); s.damage != nil {
		return nil
	}
	status, err := opened.Stat()
	if err != nil {
		return fmt.Errorf("asking for the size of %s: %w", path, err)
	}
	found := &segment{sequence: sequence, first: head.first, next: head.first, bytes: segmentHeader}
	s.segments = append(s.segments, found)
	err = found.scan(opened, status.Size())
	if wrong := fault(""); errors.As(err, &wrong) {
		return s.judge(&DamageError{File: path, Offset: found.bytes, Reason: wrong.Error()}, isLast)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// follows returns what keeps a segment from being the one behind the last.
func (s *survey) follows(head header) *DamageError {
	last := s.last()
	switch {
	case last == nil:
		return nil
	case head.sequence != last.sequence+1:
		return &DamageError{File: segmentPath(s.folder, last.sequence+1), Reason: "it is missing"}
	case head.previous != last.bytes:
		reason := fmt.Sprintf("it had %d bytes when the next segment was begun", head.previous)
		return &DamageError{File: segmentPath(s.folder, last.sequence), Offset: last.bytes, Reason: reason}
	case head.first != last.next:
		reason := fmt.Sprintf("it begins with number %d where %d is next", head.first, last.next)
		return &DamageError{File: segmentPath(s.folder, head.sequence), Reason: reason}
	}
	return nil
}

// scan reads the records of the segment, up to the first that is wrong. The error is a fault or one of the file.
func (s *segment) scan(opened io.ReaderAt, size int64) error {
	records := newReader(opened, Position{Segment: s.sequence, Offset: segmentHeader}, size)
	defer records.release()
	for {
		record, err := records.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case record.Number != 0 && record.Number != s.next:
			return fault(fmt.Sprintf("it has number %d where %d is next", record.Number, s.next))
		case record.Number != 0:
			s.note(record.Number, record.Position.Offset)
			s.next++
		}
		s.bytes = records.at.Offset
	}
}

// judge decides what bytes that are wrong mean. Where the process died in the middle of a write, or the machine before all of it was on
// disk, nothing good is behind them: then they are a torn end, if they are in a place where there can be one.
func (s *survey) judge(wrong *DamageError, mayBeTorn bool) error {
	opened, err := os.Open(wrong.File)
	if err != nil {
		return fmt.Errorf("looking at the damage: %w", err)
	}
	rest, err := io.ReadAll(io.NewSectionReader(opened, wrong.Offset, 1<<62))
	if err := errors.Join(err, opened.Close()); err != nil {
		return fmt.Errorf("looking at the damage in %s: %w", wrong.File, err)
	}
	if mayBeTorn && !holdsRecord(rest) {
		s.torn = &Torn{File: wrong.File, Offset: wrong.Offset, Bytes: int64(len(rest)), Reason: wrong.Reason}
		return nil
	}
	s.damage = wrong
	return nil
}

// cut takes the torn end off. A segment without a good header goes as a whole: the one before it is the last again.
func (t *Torn) cut() error {
	err := os.Truncate(t.File, t.Offset)
	if t.Offset == 0 {
		err = os.Remove(t.File)
	}
	if err != nil {
		return fmt.Errorf("cutting off a torn end: %w", err)
	}
	return nil
}
