// Package monitoring holds the dashboards and the alerts of config/monitoring to the metrics that there are: their queries run in a real
// Prometheus that reads a real proxy, ledger and manager.
package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// environment is the API server of the package's tests, and managerProgram the manager.
var (
	environment    *envtest.Environment
	managerProgram string
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run exists because os.Exit would skip its deferred calls.
func run(m *testing.M) int {
	fail := func(doing string, err error) int {
		_, _ = os.Stderr.WriteString(doing + ": " + err.Error() + "\n")
		return 1
	}
	dir, err := os.MkdirTemp("", "monitoring")
	if err != nil {
		return fail("making a directory", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	managerProgram = filepath.Join(dir, "manager")
	if said, err := exec.Command("go", "build", "-o", managerProgram, "../../cmd/manager").CombinedOutput(); err != nil {
		return fail("building the manager: "+string(said), err)
	}
	environment = &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	defer func() { _ = environment.Stop() }()
	if _, err := environment.Start(); err != nil {
		return fail("starting the API server", err)
	}
	return m.Run()
}
