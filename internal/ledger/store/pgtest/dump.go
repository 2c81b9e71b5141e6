package pgtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Dump writes a database into a file with pg_dump, as whoever backs it up does, and returns the file.
func (s *Server) Dump(t testing.TB, dsn string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump")
	s.client(t, "pg_dump", "--format=custom", "--file="+path, "--dbname="+dsn)
	return path
}

// Restore makes a database from what Dump has written and returns its address.
func (s *Server) Restore(t testing.TB, dump string) string {
	t.Helper()
	dsn := s.Database(t)
	s.client(t, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--dbname="+dsn, dump)
	return dsn
}

// client runs one of PostgreSQL's programs for clients.
func (s *Server) client(t testing.TB, name string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(binDir, name), arguments...) //nolint:gosec // All of them are ours.
	command.Env = append(environment(), "HOME="+os.TempDir())
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
}
