package configsource_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/modelroute/modelroute/internal/proxy/configsource"
)

// cluster is a real API server, shared by the tests of this package.
var cluster struct {
	admin *rest.Config
	// proxy may read one Secret by name, as a proxy in a cluster may.
	proxy  *rest.Config
	client client.Client
}

const (
	namespace = "default"
	mine      = "mixtral-config"
)

func TestMain(m *testing.M) {
	os.Exit(withCluster(m))
}

func withCluster(m *testing.M) int {
	environment := &envtest.Environment{}
	config, err := environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting an API server (KUBEBUILDER_ASSETS names the directory of its binaries):", err)
		return 1
	}
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if err := prepare(environment, config); err != nil {
		fmt.Fprintln(os.Stderr, "preparing the API server:", err)
		return 1
	}
	return m.Run()
}

func prepare(environment *envtest.Environment, config *rest.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:forbidigo // No test has begun yet.
	defer cancel()
	cluster.admin = config
	var err error
	if cluster.client, err = client.New(config, client.Options{}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	user, err := environment.AddUser(envtest.User{Name: "proxy"}, nil)
	if err != nil {
		return fmt.Errorf("adding a user: %w", err)
	}
	cluster.proxy = user.Config()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "proxy"}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{mine}, Verbs: []string{"get", "list", "watch"},
	}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "proxy"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "proxy"}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := cluster.client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T: %w", object, err)
		}
	}
	return nil
}

// put writes a Secret with this configuration.
func put(t *testing.T, name, content string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{configsource.Key: []byte(content)}}
	err := cluster.client.Update(t.Context(), secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		if err := cluster.client.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := client.IgnoreNotFound(cluster.client.Delete(t.Context(), secret)); err != nil {
		t.Fatal(err)
	}
}

func secretOf(t *testing.T, config *rest.Config) *configsource.Secret {
	t.Helper()
	secret, err := configsource.NewSecret(config, namespace+"/"+mine)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestASecretIsFollowedWithTheRightToThatOneAlone(t *testing.T) {
	put(t, mine, "one")
	put(t, "other", "not mine")
	deliveries := watch(t, "", secretOf(t, cluster.proxy))
	deliveries.expect(t, "one")
	put(t, "other", "still not mine")
	put(t, mine, "two")
	deliveries.expect(t, "two")
}

func TestASecretThatIsDeletedKeepsWhatWasServedUntilItIsThereAgain(t *testing.T) {
	put(t, mine, "one")
	deliveries := watch(t, "", secretOf(t, cluster.proxy))
	deliveries.expect(t, "one")
	remove(t, mine)
	put(t, mine, "three")
	deliveries.expect(t, "three")
}

func TestTheSecretIsPreferredToItsMountedCopy(t *testing.T) {
	put(t, mine, "fresh")
	mounted := newMount(t)
	mounted.put(t, "..2026_01", "stale")
	deliveries := watch(t, mounted.dir, secretOf(t, cluster.proxy))
	deliveries.expect(t, "fresh")
	// The kubelet catches up with a version in between; the proxy must not go back to it.
	mounted.put(t, "..2026_02", "a little less stale")
	put(t, mine, "fresher")
	deliveries.expect(t, "fresher")
}

func TestTheMountedCopyIsServedWhileTheAPIServerIsAwayAndTheSecretOnceItIsBack(t *testing.T) {
	put(t, mine, "from the API server")
	gate := &gate{open: make(chan struct{})}
	config := rest.CopyConfig(cluster.proxy)
	config.Dial = gate.dial
	mounted := newMount(t)
	mounted.put(t, "..2026_01", "mounted")
	deliveries := watch(t, mounted.dir, secretOf(t, config))
	deliveries.expect(t, "mounted")
	close(gate.open)
	deliveries.expect(t, "from the API server")
}

// gate refuses connections until it is opened.
type gate struct {
	open   chan struct{}
	dialer net.Dialer
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-g.open:
		return g.dialer.DialContext(ctx, network, address)
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Err: http.ErrServerClosed}
	}
}

func TestAReferenceThatNamesNoSecretIsRefused(t *testing.T) {
	for _, reference := range []string{"", "name", "/name", "namespace/", "a/b/c"} {
		if _, err := configsource.NewSecret(cluster.admin, reference); err == nil {
			t.Errorf("NewSecret(%q) accepted it", reference)
		}
	}
}
