// Package argocd has what is tested with Argo CD's own code.
package argocd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	applicationv1alpha1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

var config = filepath.Join("..", "..", "config", "argocd")

// healthTests is Argo CD's own format of health_test.yaml.
type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

func TestTheHealthOfEachObject(t *testing.T) {
	overrides := overrides(t)
	for _, path := range glob(t, "health_test.yaml") {
		for _, test := range decode[healthTests](t, path).Tests {
			t.Run(test.InputPath, func(t *testing.T) {
				object := readObject(t, filepath.Join(filepath.Dir(path), test.InputPath))
				got, err := lua.ResourceHealthOverrides(overrides).GetResourceHealth(object)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&test.HealthStatus, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// actionTests is Argo CD's own format of action_test.yaml.
type actionTests struct {
	DiscoveryTests []struct {
		InputPath string                               `json:"inputPath"`
		Result    []applicationv1alpha1.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

func TestTheActionsThatEachObjectHas(t *testing.T) {
	vm := lua.VM{ResourceOverrides: overrides(t)}
	for _, path := range glob(t, "actions", "action_test.yaml") {
		for _, test := range decode[actionTests](t, path).DiscoveryTests {
			t.Run(test.InputPath, func(t *testing.T) {
				object := readObject(t, filepath.Join(filepath.Dir(path), test.InputPath))
				scripts, err := vm.GetResourceActionDiscovery(object)
				if err != nil {
					t.Fatal(err)
				}
				got, err := vm.ExecuteResourceActionDiscovery(object, scripts)
				if err != nil {
					t.Fatal(err)
				}
				byName := func(a, b applicationv1alpha1.ResourceAction) int { return strings.Compare(a.Name, b.Name) }
				slices.SortFunc(got, byName)
				slices.SortFunc(test.Result, byName)
				if diff := cmp.Diff(test.Result, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestWhatEachActionDoes(t *testing.T) {
	vm := lua.VM{ResourceOverrides: overrides(t)}
	for _, path := range glob(t, "actions", "action_test.yaml") {
		for _, test := range decode[actionTests](t, path).ActionTests {
			t.Run(test.Action+"/"+test.InputPath, func(t *testing.T) {
				object := readObject(t, filepath.Join(filepath.Dir(path), test.InputPath))
				action, err := vm.GetResourceAction(object, test.Action)
				if err != nil {
					t.Fatal(err)
				}
				changed, err := vm.ExecuteResourceAction(object, action.ActionLua, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(changed) != 1 || changed[0].K8SOperation != lua.PatchOperation {
					t.Fatalf("it does %+v, and not one patch", changed)
				}
				got, want := changed[0].UnstructuredObj, readObject(t, filepath.Join(filepath.Dir(path), test.ExpectedOutputPath))
				withoutTime(t, got)
				if diff := cmp.Diff(encode(t, want), encode(t, got)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// withoutTime puts the year 1 for the time at which keys were to be rotated, as Argo CD's own tests do for such annotations.
func withoutTime(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	const rotate = "modelroute.dev/rotate"
	annotations := object.GetAnnotations()
	if annotations[rotate] == "" {
		return
	}
	if _, err := time.Parse(time.RFC3339, annotations[rotate]); err != nil {
		t.Errorf("what is rotated by: %v", err)
	}
	annotations[rotate] = time.Time{}.Format(time.RFC3339)
	object.SetAnnotations(annotations)
}

// overrides are the scripts as Argo CD's own code reads them from the ConfigMap that users give it.
func overrides(t *testing.T) map[string]applicationv1alpha1.ResourceOverride {
	t.Helper()
	configMap := decode[corev1.ConfigMap](t, filepath.Join(config, "argocd-cm.yaml"))
	manager := settings.NewSettingsManager(t.Context(), fake.NewClientset(&configMap), configMap.Namespace)
	overrides, err := manager.GetResourceOverrides()
	if err != nil {
		t.Fatalf("reading the ConfigMap: %v", err)
	}
	return overrides
}

// glob finds files below the folder of each kind.
func glob(t *testing.T, path ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(append([]string{config, "resource_customizations", "*", "*"}, path...)...))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no %v: %v", path, err)
	}
	return found
}

func readObject(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: decode[map[string]any](t, path)}
}

func decode[T any](t *testing.T, path string) T {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var value T
	if err := yaml.Unmarshal(content, &value); err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
	return value
}

// encode makes numbers alike, which in Lua are all of one type.
func encode(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	encoded, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
