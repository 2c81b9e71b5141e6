package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/test/guide"
)

// run says what runs the commands of a section.
type run struct{ file, does string }

// The pages that newcomers type from are run as they stand: each of these tests runs all blocks of its section, and fails for one that it
// does not know.
var (
	onALaptop  = run{"cmd/kubectl-modelroute/docs_test.go", "func TestTheFiveMinutesOnALaptopWorkAsThePageHasThem("}
	onACluster = run{"test/e2e/guide_test.go", "func TestTheFiveMinutesOnAClusterWorkAsThePageHasThem("}
	byArgoCD   = run{"test/e2e/guide_test.go", "func TestTheTutorialWorksAsThePageHasIt("}
	// kind needs Docker, which no test has. What comes after it is the demo, on another cluster.
	theDemo = run{".ci/run", "make demo"}
)

var commandsAreRunBy = map[string]map[string]run{
	"getting-started.md": {
		"On a laptop, without a cluster":   onALaptop,
		"On kind, or on no cluster at all": theDemo,
		"On a cluster that you have":       onACluster,
	},
	"tutorial.md": {
		"The operator": byArgoCD, "The namespaces and the upstream's key": byArgoCD, "The Application": byArgoCD, "The team asks": byArgoCD,
		"The budget ends": byArgoCD, "A commit raises it": byArgoCD, "Somebody edits it by hand": byArgoCD, "An emergency": byArgoCD,
		"Clean up": byArgoCD,
	},
}

func TestEveryCommandForNewcomersIsRunByATest(t *testing.T) {
	for page, runs := range commandsAreRunBy {
		sections, err := guide.Read(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, section := range sections {
			for _, block := range section.Blocks {
				switch by, isRun := runs[section.Heading]; {
				case block.Language == "yaml":
				case block.Language != "sh":
					t.Errorf("docs/%s:%d: this block is neither sh nor yaml, so that no test knows it", page, block.Line)
				case !isRun:
					t.Errorf("docs/%s:%d: no test runs the commands below %q", page, block.Line, section.Heading)
				case !seen[section.Heading]:
					seen[section.Heading] = true
					wantHas(t, by)
				}
			}
		}
		for heading := range runs {
			if !seen[heading] {
				t.Errorf("docs/%s has no commands below %q", page, heading)
			}
		}
	}
}

func wantHas(t *testing.T, by run) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, by.file))
	if err != nil || !strings.Contains(string(content), by.does) {
		t.Errorf("%s does not have %q: %v", by.file, by.does, err)
	}
}
