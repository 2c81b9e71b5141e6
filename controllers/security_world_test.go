package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/modelroute/modelroute/internal/certs"
)

// systemNamespace is where the manifests put the operator.
const systemNamespace = "modelroute-system"

// auditPolicy has the API server write down every request for a Secret, with all that it answered.
const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
	{"level": "RequestResponse", "resources": [{"group": "", "resources": ["secrets"]}]},
	{"level": "None"}
]}`

// installed is a world at an API server of its own, where one of the kustomizations is installed, and whose managers are the ServiceAccount
// that it has for them.
type installed struct {
	*world
	auditLog string
}

// install starts an API server that keeps an audit log, and installs a kustomization; nothing runs that is in it. It makes a world there,
// and starts no manager.
func install(t *testing.T, kustomization string) *installed {
	t.Helper()
	t.Parallel()
	directory := t.TempDir()
	policy, auditLog := filepath.Join(directory, "policy.json"), filepath.Join(directory, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory:    assetsDirectory(),
		CRDDirectoryPaths:        []string{filepath.Join("..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * patience,
	}
	environment.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", auditLog)
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	w := &installed{world: newWorldOn(t, testRealClock, config), auditLog: auditLog}
	w.manager = serviceAccount(systemNamespace, "modelroute-manager")
	w.applyKustomization(kustomization)
	w.aggregateRoles(environment.KubeConfig)
	return w
}

// chapter runs a subtest, which is what fails while it runs.
func (w *installed) chapter(name string, test func(*testing.T)) {
	whole := w.t
	defer func() { w.t = whole }()
	whole.Run(name, func(t *testing.T) {
		w.t = t
		test(t)
	})
}

// applyKustomization applies all of a kustomization but the CRDs, which are there.
func (w *installed) applyKustomization(directory string) {
	w.t.Helper()
	kustomize := exec.CommandContext(w.t.Context(), filepath.Join(assetsDirectory(), "kubectl"), "kustomize", directory)
	built, err := kustomize.Output()
	if err != nil {
		w.t.Fatalf("building %s: %v", directory, err)
	}
	w.apply("", built)
}

// apply applies manifests; those that name no namespace go into the given one.
func (w *installed) apply(namespace string, manifests []byte) {
	w.t.Helper()
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			w.t.Fatalf("reading manifests: %v", err)
		}
		if object.GetKind() == "CustomResourceDefinition" {
			continue
		}
		if object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		err := w.client.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("somebody"))
		if err != nil {
			w.t.Fatalf("applying the %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// aggregateRoles runs Kubernetes' own controller that adds up ClusterRoles, and waits until it has added ours to edit and admin.
func (w *installed) aggregateRoles(kubeconfig []byte) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	controllers := exec.CommandContext(ctx, filepath.Join(assetsDirectory(), "kube-controller-manager"), "--kubeconfig="+file,
		"--controllers=clusterrole-aggregation-controller", "--leader-elect=false", "--secure-port=0")
	if err := controllers.Start(); err != nil {
		stop()
		w.t.Fatalf("starting the controller of ClusterRoles: %v", err)
	}
	w.t.Cleanup(func() {
		stop()
		_ = controllers.Wait() // It was killed.
	})
	w.eventually("our roles are part of Kubernetes' own", func() error {
		for _, name := range []string{"view", "edit", "admin"} {
			role := &rbacv1.ClusterRole{}
			if w.getIn("", name, role); !slices.ContainsFunc(role.Rules, isOurs) {
				return errors.New(name + " does not have them")
			}
		}
		return nil
	})
}

func isOurs(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.APIGroups, "modelroute.dev") }

// startWithCertificates starts a manager that issues the certificates as well.
func (w *installed) startWithCertificates() {
	w.t.Helper()
	w.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.Config.Namespace = systemNamespace
		r.Authority = func(ctx context.Context) ([]byte, error) { return certs.Authority(ctx, r.Client, systemNamespace) }
		issuer := &certs.Issuer{Client: r.Client, Live: r.Live, Namespace: systemNamespace, Clock: testRealClock}
		return issuer.SetupWithManager(manager)
	})
}

// serviceAccount is who a ServiceAccount is to the API server.
func serviceAccount(namespace, name string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

// as is the API server as somebody else sees it.
func (w *installed) as(user rest.ImpersonationConfig) client.WithWatch {
	config := rest.CopyConfig(w.config)
	config.Impersonate = user
	return w.clientOf(config)
}

func (w *installed) clientOf(config *rest.Config) client.WithWatch {
	w.t.Helper()
	made, err := client.NewWithWatch(config, client.Options{Scheme: w.client.Scheme()})
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// person is somebody with one of Kubernetes' own roles in a namespace.
func (w *installed) person(name, role, namespace string) client.WithWatch {
	w.t.Helper()
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})
	return w.as(rest.ImpersonationConfig{UserName: name})
}

// token asks, as somebody, for a token of a ServiceAccount; without an audience it is one for the API server.
func token(ctx context.Context, as client.Client, namespace, account string, audiences ...string) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
	err := as.SubResource("token").Create(ctx, of, request)
	return request.Status.Token, err
}

// may asks the API server whether somebody may do something with a resource of a group.
func (w *installed) may(as client.Client, verb, group, resource, namespace string) bool {
	w.t.Helper()
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource, Namespace: namespace},
	}}
	if err := as.Create(w.t.Context(), review); err != nil {
		w.t.Fatalf("asking for rights: %v", err)
	}
	return review.Status.Allowed
}

// mustBeForbidden fails the test unless the API server refused for want of a right.
func (w *installed) mustBeForbidden(what string, err error) {
	w.t.Helper()
	if !apierrors.IsForbidden(err) {
		w.t.Errorf("%s is not forbidden: %v", what, err)
	}
}

// secretRequest is what the audit log has of one request for Secrets.
type secretRequest struct {
	Verb, RequestURI string
	ObjectRef        struct{ Namespace, Name string }
	ImpersonatedUser struct{ Username string }
	ResponseObject   json.RawMessage
}

// labelSelector is what the request asks for.
func (r secretRequest) labelSelector() string {
	parsed, err := url.Parse(r.RequestURI)
	if err != nil {
		return ""
	}
	return parsed.Query().Get("labelSelector")
}

// secretRequestsOfTheManager are those of the audit log.
func (w *installed) secretRequestsOfTheManager() []secretRequest {
	w.t.Helper()
	file, err := os.Open(w.auditLog)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var requests []secretRequest
	for decoder := json.NewDecoder(file); ; {
		var request secretRequest
		switch err := decoder.Decode(&request); {
		case errors.Is(err, io.EOF):
			return requests
		case err != nil:
			w.t.Fatalf("reading the audit log: %v", err)
		}
		if request.ImpersonatedUser.Username == w.manager.UserName {
			requests = append(requests, request)
		}
	}
}
