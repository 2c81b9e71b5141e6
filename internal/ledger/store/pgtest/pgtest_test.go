package pgtest

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

func count(t *testing.T, dsn string) int {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(t.Context()) }()
	var rows int
	if err := connection.QueryRow(t.Context(), "SELECT count(*) FROM things").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestWhatWasCommittedSurvivesAKill(t *testing.T) {
	server := Start(t, Options{Durable: true})
	one, other := server.Database(t), server.Database(t)
	for _, dsn := range []string{one, other} {
		server.Exec(t, dsn, "CREATE TABLE things (id bigint)")
	}
	for range 3 {
		server.Exec(t, one, "INSERT INTO things VALUES (1)")
		server.Kill(t)
		if _, err := pgx.Connect(t.Context(), one); err == nil {
			t.Fatal("a server that was killed answers")
		}
		server.Restart(t)
	}
	if got := count(t, one); got != 3 {
		t.Errorf("there are %d rows, want 3", got)
	}
	if got := count(t, other); got != 0 {
		t.Errorf("in the other database there are %d rows, want none", got)
	}
}

func TestNothingStays(t *testing.T) {
	var dir string
	var ended chan struct{}
	t.Run("a test with a server", func(t *testing.T) {
		server := Start(t, Options{})
		dir, ended = server.dir, server.running.ended
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	select {
	case <-ended:
	default:
		t.Error("the server still runs")
	}
}
