package journal

import (
	"errors"
	"fmt"
	"os"
)

// Retire deletes the journal with all its records and begins another, with a new identity and from number 1: after a reboot when what is
// there was sent, or when the ledger has closed the identity for ever. A damaged journal is not retired but set aside. When it fails
// the journal is as it was, or takes nothing until it is called again.
func (j *Journal) Retire() error {
	if damage, isDamaged := errors.AsType[*DamageError](j.refused()); isDamaged {
		return fmt.Errorf("retiring a journal that should be set aside: %w", damage)
	}
	// Where it failed half way before, what was retired then is still there.
	err := os.RemoveAll(j.path(retiredName))
	if err == nil {
		err = j.replace(j.path(retiredName))
	}
	if err != nil {
		return fmt.Errorf("retiring the journal: %w", err)
	}
	if err := os.RemoveAll(j.path(retiredName)); err != nil {
		return fmt.Errorf("deleting the retired journal: %w", err)
	}
	return nil
}

// SetAside renames the journal's folder to "damaged-<n>", where it stays as it is, and begins another with a new identity and from number
// 1. It returns the folder's path. When it fails the journal is as it was, or takes nothing until it is called again.
func (j *Journal) SetAside() (string, error) {
	folder, err := freeName(j.options.Directory, damagedName)
	if err == nil {
		err = j.replace(folder)
	}
	if err != nil {
		return "", fmt.Errorf("setting the journal aside: %w", err)
	}
	return folder, nil
}

// refused returns why nothing can be appended, or nil.
func (j *Journal) refused() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refusal
}

// replace renames the current journal's folder to old and puts a new journal in its place. A death in between leaves none, and the next
// Open begins one. A failure in between leaves none either, and nothing is appended to what was moved away.
func (j *Journal) replace(old string) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.trimming.Lock()
	defer j.trimming.Unlock()
	if err := j.refused(); errors.Is(err, ErrClosed) {
		return err
	}
	if err := j.prepare(); err != nil {
		return err
	}
	if err := os.Rename(j.path(currentName), old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("moving the old journal away: %w", err)
	}
	err := errors.Join(j.closeActive(), j.install())
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.refusal = err
	}
	return err
}

// prepare begins a new journal beside the current one.
func (j *Journal) prepare() error {
	if err := begin(j.path(nextName), j.options.BootID); err != nil {
		return fmt.Errorf("beginning a new journal: %w", err)
	}
	return nil
}

// promote makes the prepared journal the current one.
func (j *Journal) promote() error {
	if err := os.Rename(j.path(nextName), j.path(currentName)); err != nil {
		return fmt.Errorf("putting the new journal in its place: %w", err)
	}
	if err := syncDirectory(j.options.Directory); err != nil {
		return fmt.Errorf("writing the directory of the journal: %w", err)
	}
	return nil
}

// install makes the prepared journal the current one and goes on with it.
func (j *Journal) install() error {
	if err := j.promote(); err != nil {
		return err
	}
	_, found, err := readFolder(j.path(currentName))
	if err != nil {
		return err
	}
	if err := j.openActive(found.last()); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.proxy, j.segments, j.refusal, j.status.Rotation = found.proxy, found.segments, nil, nil
	return nil
}
