// Package rig is what the benchmarks have in common: processes that are this program again in another role, a certificate for them, and the
// page that each benchmark writes its own section of.
package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// StartTime is how long a process may take until it says where it listens.
	StartTime = 30 * time.Second
	// DrainTime is how long a process may take to end after SIGTERM.
	DrainTime = time.Minute
)

// Child is this program again, in another role, or another program.
type Child struct {
	command *exec.Cmd
	// leash is the process's standard input: a role ends when this end is closed, so that none outlives the benchmark.
	leash io.Closer
	// At is where it listens.
	At Addresses
	// Ended is closed when the process is gone.
	Ended chan struct{}
	// failure is set before Ended is closed.
	failure error
}

// Addresses are what a role says on its standard output once it listens.
type Addresses struct {
	Address string `json:"address"`
	Admin   string `json:"admin,omitempty"`
}

// Spawn starts a role and waits until it listens. Its log is appended to the file.
func Spawn(ctx context.Context, log, role string, arguments ...string) (*Child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	command, file, err := commandOf(ctx, log, program, append([]string{role}, arguments...)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	leash, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making the input of the %s: %w", role, err)
	}
	said, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making the output of the %s: %w", role, err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	c := &Child{command: command, leash: leash, Ended: make(chan struct{})}
	listens := make(chan error, 1)
	go c.follow(said, listens)
	select {
	case err = <-listens:
	case <-time.After(StartTime):
		err = errors.New("it took too long")
	}
	if err != nil {
		c.Kill()
		return nil, fmt.Errorf("waiting for the %s to listen (its log is %s): %w", role, log, err)
	}
	return c, nil
}

// Start starts another program, which listens at an address that it was told. Its log is appended to the file.
func Start(ctx context.Context, log string, at Addresses, program string, arguments ...string) (*Child, error) {
	command, file, err := commandOf(ctx, log, program, arguments...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	c := &Child{command: command, At: at, Ended: make(chan struct{})}
	go func() {
		c.failure = command.Wait()
		close(c.Ended)
	}()
	return c, nil
}

// commandOf makes the command of a process that ends when this one does, even by kill -9. The caller closes the file of its log.
func commandOf(ctx context.Context, log, program string, arguments ...string) (*exec.Cmd, *os.File, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log of %s: %w", program, err)
	}
	command := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // Benchmarks start what they are made to start.
	command.Stderr = file
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // nginx ends its workers then.
	return command, file, nil
}

// PID is the number of the process.
func (c *Child) PID() int { return c.command.Process.Pid }

// follow reads where the process listens and waits for its end.
func (c *Child) follow(said io.Reader, listens chan<- error) {
	line, err := bufio.NewReader(said).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.At)
	}
	listens <- err
	c.failure = c.command.Wait()
	_ = c.leash.Close()
	close(c.Ended)
}

// Kill is kill -9. It returns when the process is gone.
func (c *Child) Kill() {
	_ = c.command.Process.Kill() // It may be gone already.
	<-c.Ended
}

// Terminate asks the process to end and waits for that.
func (c *Child) Terminate() error {
	_ = c.command.Process.Signal(syscall.SIGTERM) // It may be gone already.
	select {
	case <-c.Ended:
		return c.failure
	case <-time.After(DrainTime):
		c.Kill()
		return errors.New("it did not end on SIGTERM and was killed")
	}
}

// Pause waits, or until ctx ends; then it reports false.
func Pause(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Await asks until the answer is true, every few milliseconds.
func Await(ctx context.Context, what string, patience time.Duration, is func() bool) error {
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s in vain until %s", patience, what)
		}
		if !Pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
