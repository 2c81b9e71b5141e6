// Package pgtest runs a real PostgreSQL 15 for a test: on a temporary directory and a free port, of the loopback interface if nothing else
// is said, killed and started again at the test's wish, and gone with the test.
package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// binDir is where Debian's package has the programs, which are not in the PATH.
	binDir = "/usr/lib/postgresql/15/bin"
	// install is what to do where they are missing.
	install = "apt-get update && apt-get install -y --no-install-recommends postgresql-15"
	// patience is how long a server may take to start or to end.
	patience = time.Minute
	// superuser is the role that the tests connect as.
	superuser = "ledger"
)

// Options say what server it is to be.
type Options struct {
	// Durable is true if every commit is synced to the disk, which is slow. What is killed keeps its files without that too: only a
	// machine that loses power does not.
	Durable bool
	// Address is where it listens, for whoever is in a network of this machine's; empty for the loopback interface.
	Address string
	// Settings are further ones, as they are in postgresql.conf: "deadlock_timeout=10ms".
	Settings []string
}

// Server is a PostgreSQL that belongs to a test.
type Server struct {
	options  Options
	dir      string
	port     int
	password string
	owner    *syscall.Credential
	running  *process
	made     atomic.Int64
}

// Start starts a server and stops it when the test ends. Where PostgreSQL is not installed the test fails.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if _, err := os.Stat(filepath.Join(binDir, "postgres")); err != nil {
		t.Fatalf("this test needs PostgreSQL 15: %v\nOn Debian: %s\n(make test does that by itself)", err, install)
	}
	// Not in t.TempDir, which only its owner may enter: PostgreSQL runs as somebody else where the test is root's.
	dir, err := os.MkdirTemp("", "pgtest") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{options: options, dir: dir, password: rand.Text()}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up after PostgreSQL: %v", err)
		}
	})
	if s.owner, err = own(dir); err != nil {
		t.Fatal(err)
	}
	s.initialise(t)
	t.Cleanup(func() { s.stop(t) })
	s.start(t)
	return s
}

// initialise makes the files of an empty server.
func (s *Server) initialise(t testing.TB) {
	t.Helper()
	file := filepath.Join(s.dir, "password")
	if err := os.WriteFile(file, []byte(s.password), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.owner != nil {
		if err := os.Chown(file, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	arguments := []string{
		"--pgdata=" + s.data(), "--username=" + superuser, "--pwfile=" + file, "--auth=password",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
	}
	command := exec.CommandContext(t.Context(), filepath.Join(binDir, "initdb"), arguments...) //nolint:gosec // All of them are ours.
	command.Dir, command.Env = s.dir, environment()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
	if s.options.Address != "" {
		s.admitNeighbours(t)
	}
}

// admitNeighbours lets clients of this machine's networks in, with the password.
func (s *Server) admitNeighbours(t testing.TB) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString("host all all samenet password\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) address() string { return cmp.Or(s.options.Address, "127.0.0.1") }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// environment is that of the programs: they are not to take settings or a language from whoever runs the tests.
func environment() []string { return []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")} }

// start starts the server and waits until it answers. Another program may take the port first; then it takes another one, but only the
// first time: who connects later knows the port.
func (s *Server) start(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience) //nolint:forbidigo // A real program is waited for.
	for fixed := s.port != 0; ; {
		if !fixed {
			s.port = s.freePort(t)
		}
		var err error
		if s.running, err = run(s.command(), filepath.Join(s.dir, "log")); err != nil {
			t.Fatalf("starting PostgreSQL: %v", err)
		}
		if s.answers(t, deadline) {
			return
		}
		if time.Now().After(deadline) { //nolint:forbidigo // See above.
			s.stop(t)
			t.Fatalf("PostgreSQL does not start:\n%s", s.log())
		}
	}
}

func (s *Server) command() *exec.Cmd {
	settings := append([]string{
		"listen_addresses=" + s.address(), "port=" + strconv.Itoa(s.port), "unix_socket_directories=",
		"fsync=" + onOff(s.options.Durable), "full_page_writes=" + onOff(s.options.Durable),
		"max_connections=200", "shared_buffers=128MB", "log_min_messages=warning", "log_checkpoints=off",
	}, s.options.Settings...)
	arguments := append(make([]string, 0, 2*len(settings)+2), "-D", s.data())
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	command := exec.Command(filepath.Join(binDir, "postgres"), arguments...) //nolint:gosec,noctx // It lives until it is stopped.
	command.Dir, command.Env = s.dir, environment()
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	return command
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// answers waits until the server answers, and reports false if it ends before that.
func (s *Server) answers(t testing.TB, deadline time.Time) bool {
	t.Helper()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(t.Context()), deadline)
	defer cancel()
	for {
		connection, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return connection.Close(ctx) == nil
		}
		select {
		case <-s.running.ended:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill kills the server as a crash would: no connection is told.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.running.kill(t)
}

// Restart starts the server again that was killed, on the same port. It finds what was committed.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.start(t)
}

// stop ends the server, if it runs, in a way that leaves no process and no shared memory.
func (s *Server) stop(t testing.TB) {
	t.Helper()
	if s.running != nil {
		s.running.end(t, syscall.SIGQUIT)
	}
	if t.Failed() {
		t.Logf("PostgreSQL's log:\n%s", s.log())
	}
}

func (s *Server) log() string {
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	const tail = 4096
	return string(content[max(0, len(content)-tail):])
}

// Database makes an empty database and returns its address, with the password.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.made.Add(1))
	s.Exec(t, s.dsn("postgres"), "CREATE DATABASE "+name+" TEMPLATE template0 STRATEGY file_copy")
	return s.dsn(name)
}

// Exec runs a statement on the database with the address.
func (s *Server) Exec(t testing.TB, dsn, statement string) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connection.Exec(t.Context(), statement)
	if closeErr := connection.Close(t.Context()); err != nil || closeErr != nil {
		t.Fatalf("%s: %v, %v", strings.Fields(statement)[0], err, closeErr)
	}
}

// Password is what an address has as its password.
func (s *Server) Password() string { return s.password }

func (s *Server) dsn(database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, s.password), Host: net.JoinHostPort(s.address(), strconv.Itoa(s.port)),
		Path: database, RawQuery: "sslmode=disable",
	}
	return address.String()
}

// freePort returns a port that nobody listens on now.
func (s *Server) freePort(t testing.TB) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(s.address(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // It is a TCP listener.
}
