package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/test/bench/rig"
)

const (
	// systemNamespace is the operator's own.
	systemNamespace = "modelroute-system"
	managerUser     = "manager"
	// proxyImage is what the Deployments name; nobody pulls it.
	proxyImage = "localhost/modelroute:bench"
	// callers is how many calls are in flight at a time, of this program, where it writes many objects.
	callers = 16
)

// world is the API server, the ledger and the manager.
type world struct {
	ctx         context.Context //nolint:containedctx // The processes live as long as it does.
	dir         string
	environment *envtest.Environment
	// config is how this program reaches the API server, and kube its client: without a limit of its own, as the manager.
	config *rest.Config
	kube   client.WithWatch
	http   *http.Client
	// bare is a client with the manager's rights.
	bare   client.Client
	ledger *rig.Child
	// ledgerKey is by whom the ledger knows the manager.
	ledgerKey string
	manager   *rig.Child
	// metricsAddress is where the manager's metrics are.
	metricsAddress string
}

// newWorld starts the API server and the ledger. The caller closes the world also after an error.
func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "bench-operator")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	w := &world{ctx: ctx, dir: dir}
	for _, step := range []func() error{w.startAPIServer, w.grantRights, w.startLedger, w.buildManager} {
		if err := step(); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) log(name string) string { return filepath.Join(w.dir, name+".log") }

func (w *world) startAPIServer() error {
	w.environment = &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("config", "crd", "bases")}, ErrorIfCRDPathMissing: true,
	}
	// Each route has a Service, and so does its copy.
	w.environment.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	config, err := w.environment.Start()
	if err != nil {
		return fmt.Errorf("starting the API server (make envtest fetches it): %w", err)
	}
	w.config = rest.CopyConfig(config)
	w.config.QPS = -1
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	if w.kube, err = client.NewWithWatch(w.config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if w.http, err = rest.HTTPClientFor(w.config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// grantRights makes the manager a user with the rights of the manager, and no others.
func (w *world) grantRights() error {
	encoded, err := os.ReadFile(filepath.Join("config", "rbac", "role.yaml"))
	if err != nil {
		return fmt.Errorf("reading the manager's rights: %w", err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(encoded, role); err != nil {
		return fmt.Errorf("reading the manager's rights: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: managerUser}},
	}
	if err := errors.Join(w.kube.Create(w.ctx, role), w.kube.Create(w.ctx, binding)); err != nil {
		return fmt.Errorf("granting the manager's rights: %w", err)
	}
	user, err := w.environment.AddUser(envtest.User{Name: managerUser}, nil)
	if err != nil {
		return fmt.Errorf("adding the manager as a user: %w", err)
	}
	its := user.Config()
	its.QPS = -1
	if w.bare, err = client.New(its, client.Options{Scheme: w.kube.Scheme()}); err != nil {
		return fmt.Errorf("making the bare client: %w", err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("making the manager's kubeconfig: %w", err)
	}
	path := filepath.Join(w.dir, "kubeconfig")
	if err := os.WriteFile(path, kubeconfig, 0o600); err != nil {
		return fmt.Errorf("writing the manager's kubeconfig: %w", err)
	}
	if err := os.Setenv("KUBECONFIG", path); err != nil { // The manager has this program's environment.
		return fmt.Errorf("setting the manager's environment: %w", err)
	}
	return nil
}

func (w *world) startLedger() error {
	if err := rig.WriteSecrets(w.dir); err != nil {
		return err
	}
	var err error
	if w.ledgerKey, err = rig.ReadFile(filepath.Join(w.dir, rig.LedgerKeyFile)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(w.dir, booksDir), 0o700); err != nil {
		return fmt.Errorf("making the directory of the books: %w", err)
	}
	w.ledger, err = rig.Spawn(w.ctx, w.log(roleLedger), roleLedger, w.dir)
	return err
}

func (w *world) managerProgram() string { return filepath.Join(w.dir, "manager") }

func (w *world) buildManager() error {
	build := exec.CommandContext(w.ctx, "go", "build", "-o", w.managerProgram(), "./cmd/manager") //nolint:gosec // A path of our own.
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the manager: %w: %s", err, said)
	}
	return nil
}

func (w *world) ledgerURL() string { return "https://" + w.ledger.At.Address }

// startManager starts the manager and returns when it is ready.
func (w *world) startManager() error {
	health, err := rig.FreeAddress(w.ctx)
	if err != nil {
		return err
	}
	if w.metricsAddress, err = rig.FreeAddress(w.ctx); err != nil {
		return err
	}
	w.manager, err = rig.Start(w.ctx, w.log("manager"), rig.Addresses{Admin: health}, w.managerProgram(),
		"--namespace", systemNamespace, "--proxy-image", proxyImage,
		"--ledger-url", w.ledgerURL(), "--ledger-ca-file", filepath.Join(w.dir, rig.CertificateFile),
		"--ledger-token-file", filepath.Join(w.dir, rig.LedgerKeyFile),
		"--metrics-bind-address", w.metricsAddress, "--health-probe-bind-address", health)
	if err != nil {
		return err
	}
	return rig.Await(w.ctx, "the manager is ready", time.Minute, func() bool {
		_, err := fetch(w.ctx, http.DefaultClient, "http://"+health+"/readyz")
		return err == nil
	})
}

// close ends everything.
func (w *world) close(keep bool) {
	for _, child := range []*rig.Child{w.manager, w.ledger} {
		if child != nil {
			_ = child.Terminate() // It may be gone already.
		}
	}
	if w.environment != nil {
		_ = w.environment.Stop() // Nothing is to be done about it.
	}
	if !keep {
		_ = os.RemoveAll(w.dir)
	}
}
