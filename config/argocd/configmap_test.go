package argocd

import (
	goflag "flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/internal/crdschema"
)

var update = goflag.Bool("update", false, "write argocd-cm.yaml anew")

const path = "argocd-cm.yaml"

// scriptsDir has the scripts in the layout of Argo CD's own repository, where _ stands for every kind of the group.
var scriptsDir = filepath.Join("resource_customizations", "modelroute.dev")

// TestTheConfigMapHasTheScripts proves that what a user gives to Argo CD is what its tests are run on.
func TestTheConfigMapHasTheScripts(t *testing.T) {
	want := configMap(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("%s is not made from the scripts as they are: run make manifests (-want +got):\n%s", path, diff)
	}
}

// configMap is the ConfigMap, in YAML, that gives Argo CD the scripts. Its keys know no wildcard, so each kind has the health script.
func configMap(t *testing.T) string {
	t.Helper()
	schemas, err := crdschema.Load()
	if err != nil {
		t.Fatal(err)
	}
	health := read(t, filepath.Join(scriptsDir, "_", "health.lua"))
	data := map[string]string{}
	for kind := range schemas {
		data["resource.customizations.health.modelroute.dev_"+kind] = health
	}
	for _, discovery := range glob(t, filepath.Join(scriptsDir, "*", "actions", "discovery.lua")) {
		kind := filepath.Base(filepath.Dir(filepath.Dir(discovery)))
		data["resource.customizations.actions.modelroute.dev_"+kind] = actions(t, filepath.Dir(discovery))
	}
	return "# Made from the scripts beside it, by make manifests.\n" + encode(t, map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"name": "argocd-cm", "namespace": "argocd",
			"labels": map[string]string{"app.kubernetes.io/part-of": "argocd"},
		},
		"data": data,
	})
}

// actions is the value, in YAML, that gives Argo CD the actions of one kind.
func actions(t *testing.T, dir string) string {
	t.Helper()
	var definitions []map[string]string
	for _, action := range glob(t, filepath.Join(dir, "*", "action.lua")) {
		definitions = append(definitions, map[string]string{"name": filepath.Base(filepath.Dir(action)), "action.lua": read(t, action)})
	}
	return encode(t, map[string]any{"discovery.lua": read(t, filepath.Join(dir, "discovery.lua")), "definitions": definitions})
}

// glob returns the files that match, of which there must be one.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("looking for %s: %v", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func encode(t *testing.T, value any) string {
	t.Helper()
	encoded, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
