//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// pageBody is the body of the model page's own curl.
const pageBody = `{
    "model": "mixtral-8x22b-instruct",
    "messages": [
      { "role": "user", "content": "Explain quantum entanglement in one sentence." }
    ]
  }`

// managementKey is the key with which others are made at the upstream.
const managementKey = "sk-or-management"

// scene is one test's namespace with an upstream and a route in it.
type scene struct {
	*cluster
	t         *testing.T
	namespace string
	route     *v1alpha1.ModelRoute
	// books is the upstream's base URL on loopback.
	books string
}

// newScene starts an upstream and applies the model page's model as a route, changed by edit, and waits until it is ready.
func newScene(t *testing.T, edit func(*v1alpha1.ModelRoute)) *scene {
	t.Helper()
	kube := connect(t)
	s := &scene{cluster: kube, t: t, namespace: kube.namespace(t)}
	s.startUpstream()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "openrouter", Namespace: s.namespace},
		StringData: map[string]string{"apiKey": "sk-or-e2e"},
	}
	s.create(secret)
	s.route = pageRoute(s.namespace)
	if edit != nil {
		edit(s.route)
	}
	s.create(s.route.DeepCopy())
	s.waitReady()
	return s
}

func pageRoute(namespace string) *v1alpha1.ModelRoute {
	return &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Name: "mixtral-8x22b-instruct", Namespace: namespace},
		Spec: v1alpha1.ModelRouteSpec{
			Model: v1alpha1.Model{ContextLength: 65536},
			Upstreams: []v1alpha1.Upstream{{
				Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter,
				BaseURL: "http://openrouter." + namespace + ".svc/api/v1", Model: "mistralai/mixtral-8x22b-instruct",
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "openrouter", Key: "apiKey"},
				Pricing:         v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"},
				// A namespace is deleted only as fast as its pods could at the slowest take to drain.
				TimeoutSeconds: 20,
			}},
			Budgets: []v1alpha1.Budget{{
				Name: "monthly", Amount: "500.00", Enforcement: v1alpha1.EnforcementDeny,
				Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/Berlin"},
			}},
			Consumers: []v1alpha1.Consumer{{Name: "search"}, {Name: "trial", Budgets: []v1alpha1.Budget{{
				Name: "total", Amount: "0.01", Enforcement: v1alpha1.EnforcementDeny, Window: v1alpha1.Window{Period: "Total"},
			}}}},
		},
	}
}

func (s *scene) create(object client.Object) {
	s.t.Helper()
	if err := s.Create(s.t.Context(), object); err != nil {
		s.t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

func (s *scene) startUpstream() {
	s.t.Helper()
	labels := map[string]string{"app": "openrouter"}
	image := cmp.Or(os.Getenv("UPSTREAM_IMG"), "localhost/modelroute-upstream:dev")
	s.create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "openrouter", Namespace: s.namespace},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	})
	s.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "openrouter", Namespace: s.namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To[int64](2),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: ptr.To[int64](65532),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: "upstream", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
						Command: []string{"/upstream"},
						Args:    []string{"--listen=:8080", "--any-key", "--management-key=e2e=" + managementKey},
						ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
							HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)},
						}},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(false),
							Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	})
	pod := s.readyPods(s.t, s.namespace, labels, 1)[0]
	s.books = s.forward(s.t, pod, 8080)
}

// waitReady waits until the route is ready at its present generation and the consumers' Secrets are there.
func (s *scene) waitReady() {
	s.t.Helper()
	eventually(s.t, "the route being ready", func() (bool, string) {
		route := s.live()
		condition := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionReady)
		if condition == nil || condition.Status != metav1.ConditionTrue || route.Status.ObservedGeneration != route.Generation {
			return false, fmt.Sprintf("%+v", route.Status.Conditions)
		}
		for _, consumer := range route.Status.Consumers {
			if consumer.SecretName == "" {
				return false, "no Secret for consumer " + consumer.Name
			}
		}
		return len(route.Status.Consumers) == len(s.route.Spec.Consumers), "consumers are missing"
	})
}

func (s *scene) live() *v1alpha1.ModelRoute {
	s.t.Helper()
	route := &v1alpha1.ModelRoute{}
	if err := s.Get(s.t.Context(), client.ObjectKeyFromObject(s.route), route); err != nil {
		s.t.Fatalf("reading the route: %v", err)
	}
	return route
}

// key returns the API key in a consumer's Secret.
func (s *scene) key(consumer string) string {
	s.t.Helper()
	secret := &corev1.Secret{}
	name := client.ObjectKey{Namespace: s.namespace, Name: s.route.Name + "-" + consumer}
	if err := s.Get(s.t.Context(), name, secret); err != nil {
		s.t.Fatalf("reading the Secret of consumer %s: %v", consumer, err)
	}
	return string(secret.Data["OPENAI_API_KEY"])
}

func (s *scene) proxyLabels() client.MatchingLabels {
	return client.MatchingLabels{v1alpha1.LabelRoute: s.route.Name, "app.kubernetes.io/name": "modelroute-proxy"}
}

// proxy returns the base URL of one ready proxy.
func (s *scene) proxy() string {
	s.t.Helper()
	return s.forward(s.t, s.readyPods(s.t, s.namespace, s.proxyLabels(), 2)[0], 8080)
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask posts a chat completion and reads the whole answer.
func (s *scene) ask(url, key, body string) answer {
	s.t.Helper()
	response := s.begin(url, key, body)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatalf("reading the answer: %v", err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(content)}
}

// begin posts a chat completion and leaves the answer to be read. The caller closes its body.
func (s *scene) begin(url, key, body string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url+"/api/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatalf("asking %s: %v", url, err)
	}
	return response
}

// billed returns what the upstream says that it billed in all.
func (s *scene) billed() money.Amount {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.books+"/billed", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatalf("reading the upstream's books: %v", err)
	}
	defer response.Body.Close()
	var books struct {
		TotalNanoUSD int64 `json:"total_nano_usd"`
	}
	if err := json.NewDecoder(response.Body).Decode(&books); err != nil {
		s.t.Fatalf("reading the upstream's books: %v", err)
	}
	return money.FromNano(books.TotalNanoUSD)
}

// statusShows waits until the status shows an amount as the route's spend.
func (s *scene) statusShows(amount money.Amount) {
	s.t.Helper()
	eventually(s.t, "the status showing a spend of "+amount.String()+" USD", func() (bool, string) {
		spend := s.live().Status.Spend
		return spend != nil && spend.Total == amount.String(), fmt.Sprintf("%+v", spend)
	})
}

// dataLines returns the data lines of a stream.
func dataLines(stream string) []string {
	var lines []string
	for scanner := bufio.NewScanner(bytes.NewBufferString(stream)); scanner.Scan(); {
		if data, found := strings.CutPrefix(scanner.Text(), "data: "); found {
			lines = append(lines, data)
		}
	}
	return lines
}
