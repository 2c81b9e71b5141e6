package proxy

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// fileCheckInterval is how long what a file says is used before the file is looked at again. A rotated key is in use a second after the
// kubelet has delivered it, and a busy proxy asks the file system once a second, not once a request.
const fileCheckInterval = time.Second

// files reads what files say: the upstreams' keys, and the certificates of their authorities.
type files[T any] struct {
	now func() time.Time
	// what is what a file holds, for errors; limit is how many bytes it may have.
	what  string
	limit int64
	// parse makes the value of a file's content. Its errors go on from the file's name and do not have the content.
	parse func([]byte) (T, error)

	mutex sync.Mutex
	known map[string]*file[T]
}

type file[T any] struct {
	checked  time.Time
	modified time.Time
	size     int64
	// wellRead says that value is what the file says; otherwise err is why not.
	wellRead bool
	value    T
	err      error
}

func newFiles[T any](now func() time.Time, what string, limit int64, parse func([]byte) (T, error)) *files[T] {
	return &files[T]{now: now, what: what, limit: limit, parse: parse, known: map[string]*file[T]{}}
}

// read returns what the file says: the same value until the file changes. The errors name the file and never its content.
func (f *files[T]) read(path string) (T, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	found := f.known[path]
	now := f.now()
	if found == nil {
		found = &file[T]{}
		f.known[path] = found
	} else if age := now.Sub(found.checked); age >= 0 && age < fileCheckInterval {
		return found.value, found.err
	}
	found.checked = now
	f.refresh(path, found)
	return found.value, found.err
}

// refresh reads the file again if it looks different from when it was last read well.
func (f *files[T]) refresh(path string, found *file[T]) {
	info, err := os.Stat(path)
	if err == nil && found.wellRead && found.modified.Equal(info.ModTime()) && found.size == info.Size() {
		return
	}
	var value T
	if err != nil {
		err = fmt.Errorf("%s cannot be read: %w", f.what, err)
	} else {
		value, err = f.load(path, info)
		found.modified, found.size = info.ModTime(), info.Size()
	}
	found.value, found.err, found.wellRead = value, err, err == nil
}

func (f *files[T]) load(path string, info fs.FileInfo) (value T, err error) {
	if info.Size() > f.limit {
		return value, fmt.Errorf("the file of %s, %s, has %d bytes, which is too much", f.what, path, info.Size())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return value, fmt.Errorf("%s cannot be read: %w", f.what, err)
	}
	if value, err = f.parse(content); err != nil {
		return value, fmt.Errorf("the file of %s, %s, %w", f.what, path, err)
	}
	return value, nil
}
