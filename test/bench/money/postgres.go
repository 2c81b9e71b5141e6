package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// postgresBin is where Debian's package postgresql-15 has its programs.
const postgresBin = "/usr/lib/postgresql/15/bin"

// postgresServer is a PostgreSQL of the benchmark's own, with every commit synced to disk.
type postgresServer struct {
	ctx           context.Context //nolint:containedctx // The process lives as long as the benchmark, whoever starts it again.
	dir, password string
	port          int
	owner         *syscall.Credential
	command       *exec.Cmd
	ended         chan struct{}

	mu   sync.Mutex
	made int
}

func startPostgres(ctx context.Context) (*postgresServer, error) {
	if _, err := os.Stat(filepath.Join(postgresBin, "postgres")); err != nil {
		return nil, fmt.Errorf("-store postgres needs PostgreSQL 15 (on Debian: apt-get install postgresql-15): %w", err)
	}
	dir, err := os.MkdirTemp("", "bench-money-postgres")
	if err != nil {
		return nil, fmt.Errorf("making a directory for PostgreSQL: %w", err)
	}
	s := &postgresServer{ctx: ctx, dir: dir, password: rand.Text()}
	err = s.initialise(ctx)
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// initialise makes the files of an empty server. PostgreSQL refuses to run as root, so that root runs it as the package's user.
func (s *postgresServer) initialise(ctx context.Context) error {
	file := filepath.Join(s.dir, "password")
	if err := os.WriteFile(file, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	if os.Getuid() == 0 {
		if err := s.own(file); err != nil {
			return err
		}
	}
	listener, err := rig.Listen(ctx)
	if err != nil {
		return err
	}
	address, is := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil || !is {
		return fmt.Errorf("looking for a free port: %w", err)
	}
	s.port = address.Port
	//nolint:gosec // It is the package's program.
	command := exec.CommandContext(ctx, filepath.Join(postgresBin, "initdb"), "--pgdata="+s.data(), "--username=ledger", "--pwfile="+file,
		"--auth=password", "--encoding=UTF8", "--locale=C", "--no-instructions")
	command.Dir, command.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.owner}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	return nil
}

func (s *postgresServer) own(file string) error {
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root, and there is no user for it: %w", err)
	}
	uid, err := strconv.ParseUint(postgres.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("the user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(postgres.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("the user postgres: %w", err)
	}
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return errors.Join(os.Chown(s.dir, int(uid), int(gid)), os.Chown(file, int(uid), int(gid)))
}

func (s *postgresServer) data() string { return filepath.Join(s.dir, "data") }

// start starts the server and waits until it answers. What a killed one left behind may end a new one at once; then it is tried again.
func (s *postgresServer) start(ctx context.Context) error {
	return rig.Await(ctx, "PostgreSQL answers", rig.StartTime, func() bool {
		if s.ended == nil || isClosed(s.ended) {
			if err := s.run(); err != nil {
				return false
			}
		}
		connection, err := pgx.Connect(ctx, s.address("postgres"))
		return err == nil && connection.Close(ctx) == nil
	})
}

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func (s *postgresServer) run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening PostgreSQL's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	//nolint:gosec // It is the package's program.
	command := exec.CommandContext(s.ctx, filepath.Join(postgresBin, "postgres"), "-D", s.data(), "-c", "listen_addresses=127.0.0.1",
		"-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories=", "-c", "max_connections=100")
	command.Dir, command.Stdout, command.Stderr = s.dir, log, log
	// It ends with the benchmark, even where that is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGQUIT) } // Its children would outlive a SIGKILL.
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // The kernel sends that signal when the thread ends that started it.
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // How it ends is what the benchmark wants.
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.command, s.ended = command, ended
	return nil
}

// restart kills the server, as a crash does, and starts it again after a while.
func (s *postgresServer) restart(ctx context.Context, away time.Duration) error {
	s.stop(syscall.SIGKILL)
	rig.Pause(ctx, away)
	return s.start(ctx)
}

func (s *postgresServer) stop(signal syscall.Signal) {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Signal(signal) // It may be gone.
	<-s.ended
}

func (s *postgresServer) remove() {
	s.stop(syscall.SIGQUIT)
	_ = os.RemoveAll(s.dir)
}

// newDatabase makes an empty database and returns its address.
func (s *postgresServer) newDatabase(ctx context.Context) (string, error) {
	s.mu.Lock()
	s.made++
	name := fmt.Sprintf("world%d", s.made)
	s.mu.Unlock()
	connection, err := pgx.Connect(ctx, s.address("postgres"))
	if err != nil {
		return "", fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	_, err = connection.Exec(ctx, "CREATE DATABASE "+name)
	return s.address(name), errors.Join(err, connection.Close(ctx))
}

func (s *postgresServer) address(database string) string {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword("ledger", s.password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: database, RawQuery: "sslmode=disable",
	}
	return address.String()
}
