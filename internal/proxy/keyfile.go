package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// keyFileCheckInterval is how long an upstream's key is used before its file is looked at again. A rotated key is in use a second after
// the kubelet has delivered it, and a busy proxy asks the file system once a second, not once a request.
const keyFileCheckInterval = time.Second

// maxKeyBytes bounds a key file; a larger one is some other file.
const maxKeyBytes = 16 << 10

// keyFiles reads the upstreams' API keys from the files that hold them.
type keyFiles struct {
	now func() time.Time

	mutex sync.Mutex
	files map[string]*keyFile
}

type keyFile struct {
	checked  time.Time
	modified time.Time
	size     int64
	key      string
	err      error
}

func newKeyFiles(now func() time.Time) *keyFiles {
	return &keyFiles{now: now, files: map[string]*keyFile{}}
}

// read returns the key in the file, without the white space around it. The errors name the file and never its content.
func (k *keyFiles) read(path string) (string, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	file := k.files[path]
	now := k.now()
	if file == nil {
		file = &keyFile{}
		k.files[path] = file
	} else if age := now.Sub(file.checked); age >= 0 && age < keyFileCheckInterval {
		return file.key, file.err
	}
	file.checked = now
	file.refresh(path)
	return file.key, file.err
}

// refresh reads the file again if it looks different from when it was last read well.
func (f *keyFile) refresh(path string) {
	info, err := os.Stat(path)
	if err != nil {
		*f = keyFile{checked: f.checked, err: fmt.Errorf("the upstream's key cannot be read: %w", err)}
		return
	}
	if f.err == nil && f.key != "" && f.modified.Equal(info.ModTime()) && f.size == info.Size() {
		return
	}
	f.modified, f.size = info.ModTime(), info.Size()
	f.key, f.err = readKey(path, info)
}

func readKey(path string, info fs.FileInfo) (string, error) {
	if info.Size() > maxKeyBytes {
		return "", fmt.Errorf("the file of the upstream's key, %s, has %d bytes, which is too much for a key", path, info.Size())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the upstream's key cannot be read: %w", err)
	}
	key := strings.TrimSpace(string(content))
	if err := checkKey(key); err != nil {
		return "", fmt.Errorf("the file of the upstream's key, %s, %w", path, err)
	}
	return key, nil
}

// checkKey refuses what cannot be sent in a header.
func checkKey(key string) error {
	if key == "" {
		return errors.New("is empty")
	}
	for _, char := range []byte(key) {
		if char <= ' ' || char >= 0x7f {
			return errors.New("holds white space or something that is no printable ASCII within the key")
		}
	}
	return nil
}
