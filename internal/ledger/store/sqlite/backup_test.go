package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// restored puts a backup into the place of a ledger's books.
func restored(t *testing.T, backup string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func wantProven(t *testing.T, verdict store.Verdict, err error) {
	t.Helper()
	if err != nil || len(verdict.Discrepancies) > 0 {
		t.Errorf("verifying: %+v, error %v", verdict.Discrepancies, err)
	}
}

// worker is a proxy that draws and reports until it is stopped.
type worker struct {
	mu sync.Mutex
	// applied is how many of its records were acknowledged.
	applied int64
	err     error
}

func (w *worker) work(ctx context.Context, s *Store, proxyID string, stop <-chan struct{}) {
	w.err = func() error {
		credential, _, err := beginAs(ctx, s, proxyID)
		if err != nil {
			return err
		}
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return nil
			default:
			}
			lease, err := drawn(ctx, s, credential, n, 2*cost(n))
			if err != nil || lease == 0 {
				return fmt.Errorf("drawing: lease %d, error %w", lease, err)
			}
			if _, err := s.Append(ctx, time.Now(), credential, n, []store.Record{settlement(lease, cost(n))}); err != nil {
				return err
			}
			w.mu.Lock()
			w.applied = n
			w.mu.Unlock()
		}
	}()
}

func (w *worker) acknowledged() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied
}

func TestABackupUnderLoadIsOneMomentOfTheBooks(t *testing.T) {
	s, _ := opened(t, t.TempDir())
	workers, stop := make([]worker, 4), make(chan struct{})
	var working sync.WaitGroup
	for i := range workers {
		working.Go(func() { workers[i].work(t.Context(), s, handID(i), stop) })
	}
	var before, after [4]int64
	path := filepath.Join(t.TempDir(), "backup.db")
	for round := range 3 {
		path += fmt.Sprint(round)
		for i := range workers {
			// Something is written before every backup, and while it is made.
			for deadline := time.Now().Add(20 * time.Second); workers[i].acknowledged() <= after[i]; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("a worker does not get on")
				}
			}
			before[i] = workers[i].acknowledged()
		}
		if _, err := s.Backup(t.Context(), time.Now(), path); err != nil {
			t.Fatalf("Backup: %v", err)
		}
		for i := range workers {
			after[i] = workers[i].acknowledged()
		}
		live, err := s.Verify(t.Context(), time.Now())
		wantProven(t, live, err)
		checkBackup(t, path, before, after)
	}
	close(stop)
	working.Wait()
	for i := range workers {
		if workers[i].err != nil {
			t.Errorf("worker %d: %v", i, workers[i].err)
		}
	}
}

// checkBackup restores a backup, and expects to find in it what was acknowledged before it was begun and not much more than that after.
func checkBackup(t *testing.T, path string, before, after [4]int64) {
	t.Helper()
	verdict, err := VerifyFile(t.Context(), path, time.Now())
	wantProven(t, verdict, err)
	dir := restored(t, path)
	s, _ := opened(t, dir)
	settled := int64(0)
	for i := range before {
		_, applied, err := beginAs(t.Context(), s, handID(i))
		if err != nil {
			t.Fatal(err)
		}
		if applied < before[i] || applied > after[i]+1 {
			t.Errorf("worker %d has %d records in the backup, want between %d and %d", i, applied, before[i], after[i]+1)
		}
		for n := range applied {
			settled += cost(n + 1)
		}
	}
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil || usage.Routes[0].Spend.Settled.Nano() != settled {
		t.Errorf("the backup has %+v settled, error %v, want %d", usage, err, settled)
	}
	verdict, err = s.Verify(t.Context(), time.Now())
	wantProven(t, verdict, err)
}

func TestABackupIsForItsOwnerAndNothingElseIsLeft(t *testing.T) {
	s, _ := opened(t, t.TempDir())
	folder := t.TempDir()
	path := filepath.Join(folder, "backup.db")
	size, err := s.Backup(t.Context(), time.Now(), path)
	if err != nil {
		t.Fatalf("Backup: %v", err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %v, error %v, want the backup alone", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode() != 0o600 || info.Size() != size || size == 0 {
		t.Errorf("the backup is %v with %d bytes, error %v, want %d bytes for its owner", info.Mode(), info.Size(), err, size)
	}
}

func TestABackupThatCannotBeMadeLeavesNothing(t *testing.T) {
	s, _ := opened(t, t.TempDir())
	folder := t.TempDir()
	taken := filepath.Join(folder, "taken")
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), time.Now(), taken); !errors.Is(err, store.ErrExists) {
		t.Errorf("over a file: %v, want ErrExists", err)
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file that was there is %q, %v", content, err)
	}
	if _, err := s.Backup(t.Context(), time.Now(), "relative"); err == nil {
		t.Error("a relative path was taken")
	}
	if _, err := s.Backup(t.Context(), time.Now(), filepath.Join(folder, "none", "backup")); err == nil {
		t.Error("a folder was made up")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(gone, time.Now(), filepath.Join(folder, "backup")); err == nil {
		t.Error("a backup was made for a caller who has gone")
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("there are %v, error %v, want only what was there before", files, err)
	}
}

func TestBooksOfAStoppedLedgerAreBackedUp(t *testing.T) {
	dir, path := seeded(t), filepath.Join(t.TempDir(), "backup.db")
	if _, err := BackupDir(t.Context(), dir, time.Now(), path); err != nil {
		t.Fatalf("BackupDir: %v", err)
	}
	s, _ := opened(t, restored(t, path))
	wantTotal(t, s, 40, 7, 60)
	_, err := BackupDir(t.Context(), s.options.Dir, time.Now(), path+"2")
	if err == nil {
		t.Error("the books of a ledger that runs were taken for those of a stopped one")
	}
}

func TestRestoredBooksKnowThatTheyAreABackup(t *testing.T) {
	dir, path := seeded(t), filepath.Join(t.TempDir(), "backup.db")
	taken := time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)
	now := taken.Add(time.Hour)
	if _, err := BackupDir(t.Context(), dir, taken, path); err != nil {
		t.Fatalf("BackupDir: %v", err)
	}
	verdict, err := VerifyFile(t.Context(), path, now)
	wantProven(t, verdict, err)
	wantRestorations(t, verdict, store.Restoration{TakenAt: taken})

	dir = restored(t, path)
	var told []time.Time
	for range 2 {
		s, err := Open(t.Context(), Options{
			Dir: dir, Now: func() time.Time { return now }, OnRestored: func(at time.Time) { told = append(told, at) },
		})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		verdict, err := s.Verify(t.Context(), now)
		wantProven(t, verdict, err)
		wantRestorations(t, verdict, store.Restoration{TakenAt: taken, RestoredAt: now})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 1 || !told[0].Equal(taken) {
		t.Errorf("told of backups of %v, want of that of %s once", told, taken)
	}
}

func wantRestorations(t *testing.T, verdict store.Verdict, want store.Restoration) {
	t.Helper()
	if len(verdict.Restorations) != 1 || verdict.Restorations[0] != want {
		t.Errorf("restorations %+v, want %+v", verdict.Restorations, want)
	}
}

func TestWhatAKilledLedgerLeftOfABackupIsDeleted(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, UnfinishedBackup+"left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	opened(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left: %v, want it gone", err)
	}
}
