package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/test/guide"
)

// They run as they stand on the page, but for the upstream, which is the test's, and for the ports, which are free ones.
func TestTheFiveMinutesOnALaptopWorkAsThePageHasThem(t *testing.T) {
	w := newWorld(t)
	samples, err := filepath.Abs("../../config/samples")
	w.must(err)
	adapt := strings.NewReplacer("http://127.0.0.1:8090", strings.TrimSuffix(w.url, "/api/v1"), " config/samples/", " "+samples+"/",
		"bin/kubectl-modelroute", program, "env:OPENROUTER_API_KEY", "env:"+keyVariable)
	blocks := w.commandsBelow("On a laptop, without a cluster")
	if len(blocks) != 2 {
		t.Fatalf("the page has %d blocks of commands there, want one that serves and one that asks", len(blocks))
	}

	var s *serving
	for line := range strings.Lines(adapt.Replace(blocks[0])) {
		switch {
		case line == "make local\n", strings.HasPrefix(line, "go run ./hack/upstream "),
			strings.HasPrefix(line, "export OPENROUTER_API_KEY="):
			// The world has the program, the upstream and its key.
		case strings.HasPrefix(line, "sed "):
			w.shell(line)
		case strings.HasPrefix(line, program+" run "):
			s = w.start(strings.Fields(line)[2:]...)
		default:
			t.Errorf("this test does not know %s", line)
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

// commandsBelow are the blocks of commands that the page has below a heading.
func (w *world) commandsBelow(heading string) []string {
	w.t.Helper()
	sections, err := guide.Read("../../docs/getting-started.md")
	w.must(err)
	var blocks []string
	for _, section := range sections {
		for _, block := range section.Blocks {
			if section.Heading == heading {
				blocks = append(blocks, block.Text)
			}
		}
	}
	return blocks
}
