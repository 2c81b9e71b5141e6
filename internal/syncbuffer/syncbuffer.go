// Package syncbuffer is a buffer that a program's log goes to while a test reads it.
package syncbuffer

import (
	"bytes"
	"sync"
)

// Buffer is a bytes.Buffer that may be written and read at the same time.
type Buffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

// Write adds to the buffer. It never fails.
func (b *Buffer) Write(part []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(part)
}

// String is all that was written.
func (b *Buffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}
