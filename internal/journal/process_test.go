package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// childRole and childDirectory tell this program what to be when a test starts it again.
const (
	childRole      = "JOURNAL_TEST_ROLE"
	childDirectory = "JOURNAL_TEST_DIRECTORY"
)

func TestMain(m *testing.M) {
	roles := map[string]func(string) error{"hold": holdUntilTold, "append": appendUntilKilled, "full": onAFullDisk, "limited": belowALimit}
	role, isChild := roles[os.Getenv(childRole)]
	if !isChild {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(childDirectory)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(t *testing.T, role, directory string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	mustDo(t, err)
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), childRole+"="+role, childDirectory+"="+directory)
	return command
}

func holdUntilTold(directory string) error {
	if _, _, err := Open(testOptions(directory)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "locked")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestASecondProcessIsRefused(t *testing.T) {
	directory := t.TempDir()
	command := child(t, "hold", directory)
	stdin, err := command.StdinPipe()
	mustDo(t, err)
	stdout, err := command.StdoutPipe()
	mustDo(t, err)
	mustDo(t, command.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("the other process says %q: %v", line, err)
	}
	if _, _, err := Open(testOptions(directory)); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), directory) {
		t.Errorf("opening a journal that another process has: %v", err)
	}
	mustDo(t, stdin.Close())
	mustDo(t, command.Wait())
	j, _ := mustOpen(t, testOptions(directory))
	if _, _, err := Open(testOptions(directory)); !errors.Is(err, ErrLocked) {
		t.Errorf("opening a journal twice: %v", err)
	}
	output, err := child(t, "hold", directory).CombinedOutput()
	if err == nil || !bytes.Contains(output, []byte(ErrLocked.Error())) {
		t.Errorf("the other process says %q: %v", output, err)
	}
	mustDo(t, j.Close())
}

// appendUntilKilled appends from several goroutines and tells of each append that returned.
func appendUntilKilled(directory string) error {
	options := testOptions(directory)
	options.SegmentBytes = 1 << 20
	j, _, err := Open(options)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				token := fmt.Sprintf("%d/%d/%d", os.Getpid(), worker, i)
				payload := append([]byte(token+" "), make([]byte, rand.IntN(20_000))...)
				written, err := j.Append(Entry{Kind: 1, Payload: payload}, Entry{Kind: 2, Numbered: true, Payload: payload})
				if err != nil {
					return
				}
				fmt.Fprintf(os.Stdout, "%d %s\n", written.First, token)
			}
		})
	}
	all.Wait()
	return errors.New("an append failed")
}

func TestWhatWasAcknowledgedOutlivesTheProcess(t *testing.T) {
	directory := t.TempDir()
	acknowledged := map[uint64]string{}
	torn := 0
	for round := range 8 {
		command := child(t, "append", directory)
		stdout, err := command.StdoutPipe()
		mustDo(t, err)
		mustDo(t, command.Start())
		killAt := len(acknowledged) + 1 + rand.IntN(300)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			var number uint64
			var token string
			if _, err := fmt.Sscanf(lines.Text(), "%d %s", &number, &token); err != nil {
				t.Fatal(err)
			}
			if other, taken := acknowledged[number]; taken {
				t.Errorf("number %d was given to %s and to %s", number, other, token)
			}
			acknowledged[number] = token
			if len(acknowledged) == killAt {
				mustDo(t, command.Process.Kill())
			}
		}
		if err := command.Wait(); err == nil || command.ProcessState.Exited() {
			t.Fatalf("the process was not killed: %v", err)
		}
		options := testOptions(directory)
		j, replay, err := Open(options)
		if err != nil || replay.Damage != nil || !replay.SameBoot {
			t.Fatalf("round %d: %+v: %v", round, replay, err)
		}
		if replay.Torn != nil {
			torn++
		}
		found := map[uint64]string{}
		for record, err := range replay.Records() {
			mustDo(t, err)
			if record.Number != 0 {
				found[record.Number], _, _ = strings.Cut(string(record.Payload), " ")
			}
		}
		for number, token := range acknowledged {
			if found[number] != token {
				t.Errorf("round %d: number %d was acknowledged to %s and is %q", round, number, token, found[number])
			}
		}
		mustDo(t, j.Close())
	}
	t.Logf("%d appends were acknowledged; %d of 8 kills left a torn end", len(acknowledged), torn)
}

// TestARealFullDisk runs the journal on a disk of 4 MiB, in a mount namespace that ends with the child process. Where that is not
// allowed, TestBelowALimitOfTheFileSize is the real full disk.
func TestARealFullDisk(t *testing.T) {
	command := child(t, "full", t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Logf("no mount namespace is allowed here, so only the limit of the file size is tested: %v", err)
		return
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v: %s", err, &output)
	}
	t.Logf("%s", &output)
}

func onAFullDisk(directory string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", directory, "tmpfs", 0, "size=4m"); err != nil {
		return fmt.Errorf("mounting a small disk: %w", err)
	}
	options := Options{Directory: filepath.Join(directory, "journal"), SegmentBytes: 512 << 10, ReserveBytes: 256 << 10}
	ballast := filepath.Join(directory, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		return err
	}
	j, _, err := Open(options)
	if err != nil {
		return err
	}
	entry := Entry{Kind: 2, Numbered: true, Payload: make([]byte, 4000)}
	ordinary, err := appendUntilFull(j.Append, entry)
	if err != nil || !j.Status().Reserved {
		return fmt.Errorf("filling the disk: %+v: %w", j.Status(), err)
	}
	essential, err := appendUntilFull(j.AppendEssential, entry)
	if err != nil || j.Status().Reserved || essential*4000 < 200<<10 {
		return fmt.Errorf("filling the reserve with %d: %+v: %w", essential, j.Status(), err)
	}
	if _, err := j.Append(Entry{Kind: 1}); !errors.Is(err, ErrFull) {
		return fmt.Errorf("appending behind the reserve: %w", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if _, err := j.Append(entry); err != nil || !j.Status().Reserved {
		return fmt.Errorf("appending with space again: %+v: %w", j.Status(), err)
	}
	fmt.Fprintf(os.Stdout, "%d appends filled the disk and %d the reserve", ordinary, essential)
	return errors.Join(j.Close(), expect(options, ordinary+essential+1))
}

// appendUntilFull returns how many appends there was space for.
func appendUntilFull(appending func(...Entry) (Written, error), entry Entry) (count int, err error) {
	for ; ; count++ {
		if _, err := appending(entry); errors.Is(err, ErrFull) {
			return count, nil
		} else if err != nil {
			return count, err
		}
	}
}

// expect opens the journal again and looks for so many whole records.
func expect(options Options, want int) error {
	j, replay, err := Open(options)
	if err != nil {
		return err
	}
	records, err := recordsOf(replay)
	if len(records) != want || replay.Torn != nil {
		err = errors.Join(err, fmt.Errorf("%d records came back, want %d: %+v", len(records), want, replay))
	}
	return errors.Join(err, j.Close())
}

func TestBelowALimitOfTheFileSize(t *testing.T) {
	if output, err := child(t, "limited", t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func belowALimit(directory string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	allowed := limit.Cur
	limit.Cur = 100_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	options := Options{Directory: directory, ReserveBytes: -1}
	j, _, err := Open(options)
	if err != nil {
		return err
	}
	entry := Entry{Kind: 2, Numbered: true, Payload: make([]byte, 3000)}
	ordinary, err := appendUntilFull(j.Append, entry)
	if err != nil {
		return err
	}
	if _, err := j.AppendEssential(entry); !errors.Is(err, ErrFull) {
		return fmt.Errorf("an essential append above the limit: %w", err)
	}
	limit.Cur = allowed
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if _, err := j.Append(entry); err != nil {
		return err
	}
	return errors.Join(j.Close(), expect(options, ordinary+1))
}
