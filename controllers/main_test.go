package controllers

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// apiServer is a real API server with its etcd and our CRD. The first test that needs it starts it; all share it.
var apiServer struct {
	sync.Mutex
	environment *envtest.Environment
}

// apiServerConfig returns how to reach the API server as its administrator.
func apiServerConfig(t *testing.T) *rest.Config {
	t.Helper()
	apiServer.Lock()
	defer apiServer.Unlock()
	if apiServer.environment != nil {
		return apiServer.environment.Config
	}
	assets := assetsDirectory()
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join("..", "config", "crd", "bases"), extensionCRDs},
		ErrorIfCRDPathMissing: true,
	}
	if _, err := environment.Start(); err != nil {
		t.Fatalf("starting the API server from %s (make envtest puts it there): %v", assets, err)
	}
	apiServer.environment = environment
	grantRights(t, environment.Config)
	return environment.Config
}

// assetsDirectory is where the programs of Kubernetes are.
func assetsDirectory() string {
	return cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join("..", ".cluster", "bin"))
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	code := m.Run()
	if apiServer.environment != nil {
		if err := apiServer.environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// managerUser is the user that managers are in tests. It has the rights of config/rbac/role.yaml.
const managerUser = "manager"

// grantRights gives managerUser the rights of the manager, and no others.
func grantRights(t *testing.T, config *rest.Config) {
	t.Helper()
	direct, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := os.ReadFile(filepath.Join("..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(encoded, role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: managerUser}},
	}
	if err := errors.Join(direct.Create(t.Context(), role), direct.Create(t.Context(), binding)); err != nil {
		t.Fatalf("granting the manager's rights: %v", err)
	}
}
