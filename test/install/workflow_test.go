package install

import (
	"path/filepath"
	"regexp"
	"testing"
)

func TestWorkflowsUseActionsByTheirCommitAlone(t *testing.T) {
	files, err := filepath.Glob(root + "/.github/workflows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no workflows (%v)", err)
	}
	uses, pinned := regexp.MustCompile(`(?m)uses: *(\S+)`), regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	for _, file := range files {
		for _, used := range uses.FindAllStringSubmatch(read(t, file), -1) {
			if !pinned.MatchString(used[1]) {
				t.Errorf("%s uses %s, which can become something else", filepath.Base(file), used[1])
			}
		}
	}
}
