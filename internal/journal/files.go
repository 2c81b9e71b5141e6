package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// file is what the journal needs of an open segment.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// disk is where writing can fail for want of space. Tests put a failing one in its place.
type disk interface {
	// open opens a file for reading and writing; flags are those of os.OpenFile.
	open(path string, flags int) (file, error)
	// allocate gives the file at path that many bytes that are really its own. When it fails, the file takes no space.
	allocate(path string, bytes int64) error
	// free takes the file's bytes from it.
	free(path string) error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) open(path string, flags int) (file, error) {
	return os.OpenFile(path, os.O_RDWR|flags, 0o600)
}

// allocate asks for the free space first: a full disk is asked often, and asking costs less than trying. It wants as much again to
// stay free, so that what was refused for want of a reserve has room when it is let in.
func (d realDisk) allocate(path string, bytes int64) (err error) {
	spare, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // The directory is the operator's to choose.
	if err != nil {
		return fmt.Errorf("opening the reserve: %w", err)
	}
	defer func() { err = errors.Join(err, spare.Close()) }()
	if owned(spare, bytes) {
		return nil
	}
	var space syscall.Statfs_t
	if err := syscall.Fstatfs(descriptor(spare), &space); err != nil {
		return fmt.Errorf("asking for the free space at %s: %w", path, err)
	}
	if space.Bavail < uint64(2*bytes/space.Bsize) { //nolint:gosec // Neither size is negative.
		return fmt.Errorf("allocating %d bytes at %s: %w", bytes, path, syscall.ENOSPC)
	}
	if err := syscall.Fallocate(descriptor(spare), 0, 0, bytes); err != nil {
		if errors.Is(err, syscall.EOPNOTSUPP) {
			err = fill(spare, bytes)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("allocating %d bytes at %s: %w", bytes, path, err), d.free(path))
		}
	}
	return nil
}

func (realDisk) free(path string) error {
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("freeing the reserve: %w", err)
	}
	return nil
}

// owned reports whether the file has that many bytes on disk: a file with holes has a size, but no space.
func owned(spare *os.File, bytes int64) bool {
	const block = 512 // The unit of st_blocks, whatever the disk's.
	var status syscall.Stat_t
	err := syscall.Fstat(descriptor(spare), &status)
	return err == nil && status.Size >= bytes && status.Blocks*block >= bytes
}

// fill writes zeros, for a disk that cannot allocate.
func fill(spare *os.File, bytes int64) error {
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < bytes; at += int64(len(zeros)) {
		if _, err := spare.WriteAt(zeros[:min(int64(len(zeros)), bytes-at)], at); err != nil {
			return err
		}
	}
	return nil
}

func descriptor(f *os.File) int {
	return int(f.Fd())
}

// isFull reports whether the error says that there is no space: on the disk, in the quota, or below the limit of a file's size.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// lock takes the directory for this process. The lock ends with the process, however that ends.
func lock(directory string) (*os.File, error) {
	held, err := os.Open(directory)
	if err != nil {
		return nil, fmt.Errorf("opening the journal's directory: %w", err)
	}
	err = syscall.Flock(descriptor(held), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return held, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(fmt.Errorf("locking %s: %w", directory, err), held.Close())
}

// unlock gives up what lock returned. Closing it is not enough: a process that is just being forked has a copy of it until it runs another
// program, and the lock would stay until then.
func unlock(held *os.File) error {
	return errors.Join(syscall.Flock(descriptor(held), syscall.LOCK_UN), held.Close())
}

// writeSynced writes a new file and waits until it is on disk.
func writeSynced(path string, content []byte) (err error) {
	created, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, created.Close()) }()
	if _, err := created.Write(content); err != nil {
		return err
	}
	return created.Sync()
}

// syncDirectory waits until the names in the directory are on disk.
func syncDirectory(path string) (err error) {
	opened, err := os.Open(path) //nolint:gosec // As above.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	return opened.Sync()
}

// freeName returns the path of prefix-<n> in the directory for the lowest n that is not taken.
func freeName(directory, prefix string) (string, error) {
	for n := 1; ; n++ {
		path := filepath.Join(directory, fmt.Sprintf("%s-%d", prefix, n))
		switch _, err := os.Lstat(path); {
		case errors.Is(err, os.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		}
	}
}
