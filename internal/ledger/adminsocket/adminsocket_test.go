package adminsocket

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyTheLedgersUserCanOpenItsSocket(t *testing.T) {
	dir := t.TempDir()
	listener, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	info, err := os.Stat(Path(dir))
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, error %v, want one for its owner alone", info.Mode(), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, error %v, want the socket alone", files, err)
	}
	wantReached(t, dir, listener)
}

// wantReached expects a connection to get through.
func wantReached(t *testing.T, dir string, listener net.Listener) {
	t.Helper()
	connection, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	defer connection.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatalf("accepting: %v", err)
	}
	accepted.Close()
}

func TestWhatAKilledLedgerLeftIsReplaced(t *testing.T) {
	dir := t.TempDir()
	killed, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(Path(dir)); err != nil {
		t.Fatalf("the socket of the killed one: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, nurseryName), 0o700); err != nil {
		t.Fatal(err) // It may have been killed in mid-way as well.
	}
	listener, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wantReached(t, dir, listener)
}

func TestASocketMayLieDeep(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		dir = filepath.Join(dir, "a-folder-with-a-long-name")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wantReached(t, dir, listener)
}

func TestAFileInTheSocketsPlaceIsKept(t *testing.T) {
	dir := t.TempDir()
	path := Path(dir)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("listening: %v, want a refusal", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file is %q, error %v", content, err)
	}
}
