package main

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
	// startTime is how long a process may take until it says where it listens.
	startTime = 30 * time.Second
	// drainTime is how long a process may take to end after SIGTERM.
	drainTime = time.Minute
)

// child is this program again, in another role.
type child struct {
	command *exec.Cmd
	// leash is the process's standard input: it ends when this end is closed, so that none outlives the benchmark.
	leash io.Closer
	// at is where it listens.
	at    addresses
	ended chan struct{}
	// failure is set before ended is closed.
	failure error
}

// addresses are what a role says on its standard output once it listens.
type addresses struct {
	Address string `json:"address"`
	Admin   string `json:"admin,omitempty"`
}

// spawn starts a role and waits until it listens. Its log is appended to the file.
func spawn(ctx context.Context, log, role string, arguments ...string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of the %s: %w", role, err)
	}
	defer func() { _ = file.Close() }()
	command := exec.CommandContext(ctx, program, append([]string{role}, arguments...)...) //nolint:gosec // It is this program.
	command.Stderr = file
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
	c := &child{command: command, leash: leash, ended: make(chan struct{})}
	listens := make(chan error, 1)
	go c.follow(said, listens)
	select {
	case err = <-listens:
	case <-time.After(startTime):
		err = errors.New("it took too long")
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("waiting for the %s to listen (its log is %s): %w", role, log, err)
	}
	return c, nil
}

// follow reads where the process listens and waits for its end.
func (c *child) follow(said io.Reader, listens chan<- error) {
	line, err := bufio.NewReader(said).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.at)
	}
	listens <- err
	c.failure = c.command.Wait()
	_ = c.leash.Close()
	close(c.ended)
}

// kill is kill -9. It returns when the process is gone.
func (c *child) kill() {
	_ = c.command.Process.Kill() // It may be gone already.
	<-c.ended
}

// terminate asks the process to end and waits for that.
func (c *child) terminate() error {
	_ = c.command.Process.Signal(syscall.SIGTERM) // It may be gone already.
	select {
	case <-c.ended:
		return c.failure
	case <-time.After(drainTime):
		c.kill()
		return errors.New("it did not end on SIGTERM and was killed")
	}
}

// pause waits, or until ctx ends; then it reports false.
func pause(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// await asks until the answer is true, every few milliseconds.
func await(ctx context.Context, what string, patience time.Duration, is func() bool) error {
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s in vain until %s", patience, what)
		}
		if !pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
