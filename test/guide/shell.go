package guide

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// marker ends what a block says; what follows it is empty, or says that the shell ended.
const marker = "--- the end of a block"

// Shell is a bash in which blocks of commands run one after the other: the later have the variables, functions and jobs of the earlier. It
// ends with the first command that fails.
type Shell struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *os.File
	lines   *bufio.Reader
	ended   chan struct{}
}

// Start starts a shell in a folder. It and what it leaves running end with Close.
func Start(ctx context.Context, folder string, environment []string) (*Shell, error) {
	out, its, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	defer func() { _ = its.Close() }()
	command := exec.CommandContext(ctx, "bash", "-eu")
	command.Dir, command.Env = folder, environment
	command.Stdout, command.Stderr = its, its
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // With the jobs that it starts.
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	in, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a shell: %w", err), out.Close())
	}
	s := &Shell{command: command, in: in, out: out, lines: bufio.NewReader(out), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = command.Wait()
		s.endJobs() // Else whoever reads what they say would wait for them.
	}()
	_, err = s.Run("trap 'printf \"\\n" + marker + " failed\\n\"' EXIT")
	return s, err
}

// Run runs a block, and returns what it and the jobs say until it ends.
func (s *Shell) Run(block string) (string, error) {
	if _, err := fmt.Fprintf(s.in, "{\n%s\n} </dev/null\nprintf '\\n%%s\\n' '%s'\n", block, marker); err != nil {
		return "", fmt.Errorf("the shell has ended: %w", err)
	}
	var said strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		end, isEnd := strings.CutPrefix(strings.TrimSuffix(line, "\n"), marker)
		switch {
		case isEnd && end == "":
			return strings.TrimSuffix(said.String(), "\n"), nil
		case isEnd, err != nil:
			return said.String(), fmt.Errorf("a command of this block failed:\n%s\n%s", block, said.String())
		}
		said.WriteString(line)
	}
}

// Close ends the shell and its jobs.
func (s *Shell) Close() {
	s.endJobs()
	<-s.ended
	_ = s.out.Close()
}

func (s *Shell) endJobs() { _ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL) }
