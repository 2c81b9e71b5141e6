package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// They run as they stand on the page, but for the upstream, which is the test's, and for the ports, which are free ones.
func TestTheFiveMinutesOnALaptopWorkAsThePageHasThem(t *testing.T) {
	w := newWorld(t)
	samples, err := filepath.Abs("../../config/samples")
	w.must(err)
	adapt := strings.NewReplacer("http://127.0.0.1:8090", strings.TrimSuffix(w.url, "/api/v1"), " config/samples/", " "+samples+"/",
		"bin/kubectl-modelroute", program, "env:OPENROUTER_API_KEY", "env:"+keyVariable)
	blocks := shellBlocks(t, "../../docs/getting-started.md", "On a laptop, without a cluster")
	if len(blocks) != 2 {
		t.Fatalf("the page has %d blocks of commands there, want one that serves and one that asks", len(blocks))
	}

	var s *serving
	for line := range strings.Lines(adapt.Replace(blocks[0])) {
		switch {
		case strings.HasPrefix(line, "sed "):
			w.shell(line)
		case strings.HasPrefix(line, program+" run "):
			s = w.start(strings.Fields(line)[2:]...)
		}
	}
	if s == nil {
		t.Fatal("the page does not serve anything")
	}
	wantContains(t, w.shell(adapt.Replace(blocks[1])), "It cost ", "left of consumer/total", "ai-platform/mixtral-8x22b-instruct", "trial")
	s.end()
	w.wantBooksEqual()
	if w.billed().IsZero() {
		t.Error("the upstream was not asked")
	}
}

// shell runs a script in the world's directory, and returns what it says.
func (w *world) shell(script string) string {
	w.t.Helper()
	command := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	command.Dir = w.dir
	said, err := command.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s\n%v: %s", script, err, said)
	}
	return string(said)
}

// shellBlocks are the blocks of commands that a page has below a heading of the second level.
func shellBlocks(t *testing.T, page, heading string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var blocks []string
	for {
		_, rest, found := strings.Cut(section, "\n```sh\n")
		if !found {
			return blocks
		}
		block, after, _ := strings.Cut(rest, "\n```\n")
		blocks, section = append(blocks, block+"\n"), after
	}
}
