package rig

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBenchmarksWriteTheirOwnSectionsAndLeaveTheOthersAlone(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	for _, section := range []struct{ name, text string }{
		{"one", "## One\n\nold"}, {"two", "## Two\n\ntwo"}, {"one", "\n## One\n\nnew\n"},
	} {
		if err := WriteSection(page, section.name, section.text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := pageHead + "\n<!-- begin one -->\n## One\n\nnew\n<!-- end one -->\n\n<!-- begin two -->\n## Two\n\ntwo\n<!-- end two -->\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}
