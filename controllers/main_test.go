package controllers

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// apiServer is a real API server with its etcd and our CRD. The first test that needs it starts it.
var apiServer = sync.OnceValues(func() (*envtest.Environment, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join("..", ".cluster", "bin")
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join("..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	if _, err := environment.Start(); err != nil {
		return nil, fmt.Errorf("starting the API server from %s (make envtest puts it there): %w", assets, err)
	}
	stopAPIServer = environment.Stop
	return environment, nil
})

var stopAPIServer = func() error { return nil }

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	code := m.Run()
	if err := stopAPIServer(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		code = 1
	}
	os.Exit(code)
}

func apiServerConfig(t *testing.T) *rest.Config {
	t.Helper()
	environment, err := apiServer()
	if err != nil {
		t.Fatal(err)
	}
	return environment.Config
}
