package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// own gives a directory to whom PostgreSQL is to run as: its programs refuse to run as root, so that root runs them as the user that
// Debian's package makes. It returns nil for whoever runs the test.
func own(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user for it: %w", err)
	}
	uid, err := strconv.ParseUint(postgres.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(postgres.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

// process is a PostgreSQL that was started.
type process struct {
	process *os.Process
	ended   chan struct{}
}

// run starts the command. It dies with the process that runs the tests, even where that is killed: the kernel sends the signal when the
// thread ends that started it, so that this thread waits for it.
func run(command *exec.Cmd, log string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = output, output
	made := &process{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer output.Close() //nolint:errcheck // It is a log.
		defer close(made.ended)
		err := command.Start()
		made.process = command.Process
		started <- err
		if err == nil {
			_ = command.Wait() // How it ends is what the test wants.
		}
	}()
	return made, <-started
}

// kill kills the process and those that it started, all at once as a crash of the machine would: a connection's process would else go on
// for the moment until it notices, and answer a statement.
func (p *process) kill(t testing.TB) {
	t.Helper()
	children := childrenOf(p.process.Pid)
	p.end(t, syscall.SIGKILL)
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // It may have noticed by itself.
	}
	late := time.After(patience)
	for slices.ContainsFunc(children, lives) {
		select {
		case <-late:
			t.Errorf("the processes of PostgreSQL %v do not end", children)
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// childrenOf returns the processes whose parent is the given one.
func childrenOf(parent int) []int {
	var children []int
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is good.
	for _, path := range paths {
		if pid, of, state := readStat(path); of == parent && state != "Z" {
			children = append(children, pid)
		}
	}
	return children
}

// lives reports whether a process runs. One that nobody has waited for yet does not.
func lives(pid int) bool {
	found, _, state := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return found == pid && state != "Z"
}

// readStat reads a process's id, its parent's and its state; nothing if it is no more.
func readStat(path string) (pid, parent int, state string) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, ""
	}
	// The name in brackets can hold anything.
	head, tail, _ := strings.Cut(string(content), " (")
	fields := strings.Fields(tail[strings.LastIndex(tail, ")")+1:])
	if len(fields) < 2 {
		return 0, 0, ""
	}
	pid, _ = strconv.Atoi(head)         // The kernel writes numbers.
	parent, _ = strconv.Atoi(fields[1]) // As above.
	return pid, parent, fields[0]
}

// end sends a signal that ends the process, and waits until it has.
func (p *process) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	select {
	case <-p.ended:
		return
	default:
	}
	if err := p.process.Signal(signal); err != nil {
		t.Logf("ending PostgreSQL: %v", err) // It may have ended just now.
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("PostgreSQL does not end on %v", signal)
	}
}
