package guide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPageHasItsBlocksBySection(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	content := "# A page\n\n```\nout\n```\n\n## Do it\n\nSave `a.yaml`:\n\n```yaml\na: 1\n```\n\n```sh\n## no heading\ndo it\n```\n\n## Done\n"
	if err := os.WriteFile(page, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Section{
		{Blocks: []Block{{Text: "out\n", Line: 3}}},
		{Heading: "Do it", Blocks: []Block{
			{Language: "yaml", Text: "a: 1\n", Line: 11, File: "a.yaml"},
			{Language: "sh", Text: "## no heading\ndo it\n", Line: 15, File: "a.yaml"},
		}},
		{Heading: "Done"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(page, []byte("# A page\n\n```sh\ndo it\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(page); err == nil || !strings.Contains(err.Error(), "page.md:3: this block does not end") {
		t.Errorf("of a block without an end it says %v", err)
	}
}

func TestBlocksRunInOneShell(t *testing.T) {
	shell, err := Start(t.Context(), t.TempDir(), os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	for _, step := range []struct{ block, says string }{
		{"answer=42\nask() {\n  echo \"$answer\"\n}", ""},
		{"ask", "42"},
		{"until ask | tee /dev/stderr | grep -q 42; do :; done", "42"},
		{"cat <<END\nhere\nEND", "here"},
		{"cat", ""}, // Nobody types.
		{"sleep 600 &", ""},
		{"kill %1", ""},
	} {
		got, err := shell.Run(step.block)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(got) != step.says {
			t.Errorf("%s says %q, want %q", step.block, got, step.says)
		}
	}
	if _, err := shell.Run("echo before\nfalse\necho after"); err == nil || !strings.Contains(err.Error(), "before") {
		t.Errorf("a command failed, and the block's error is %v", err)
	}
	if _, err := shell.Run("true"); err == nil {
		t.Error("the shell goes on after a command that failed")
	}
}
