// Package pagetest holds those parts of the guide's pages to the code that are made from it: tables of parameters, metrics and flags. Only
// tests use it. `make docs` runs these tests with -update, which has them write the parts instead.
package pagetest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the parts of the guide's pages that are made from the code anew")

// A part stands between these marks, of which the first has its name.
const (
	begin = "<!-- %s: make docs writes it -->\n"
	end   = "<!-- end -->\n"
)

// Check fails the test unless a page of docs/ has these parts, by their names, as they are here. With -update it writes them.
func Check(t *testing.T, page string, parts map[string]string) {
	t.Helper()
	file := filepath.Join(root(t), "docs", page)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for name, part := range parts {
		mark := fmt.Sprintf(begin, name)
		before, rest, found := strings.Cut(want, mark)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("docs/%s has no place for %s: it stands between %q and %q", page, name, mark, end)
		}
		want = before + mark + "\n" + part + "\n" + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // Everybody reads the guide.
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("docs/%s is stale, run make docs (-want +got):\n%s", page, diff)
	}
}

// root is the repository's folder: tests run in that of their package.
func root(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	for ; err == nil; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "docs", "navigation.yaml")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	t.Fatalf("no folder above this test has the guide: %v", err)
	return ""
}
