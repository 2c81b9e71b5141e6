package controllers

import (
	"os"
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// apiServerWith starts an API server for one test alone, whose CRD of ModelRoutes is of another version than the manager: edit changes the
// schema of its spec and of its status.
func apiServerWith(t *testing.T, edit func(spec, status *apiextensionsv1.JSONSchemaProps)) *rest.Config {
	t.Helper()
	t.Parallel()
	bases, err := filepath.Glob(filepath.Join("..", "config", "crd", "bases", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	definitions := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(bases))
	for _, path := range bases {
		encoded, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(encoded, definition); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if definition.Spec.Names.Kind == "ModelRoute" {
			properties := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
			spec, status := properties["spec"], properties["status"]
			edit(&spec, &status)
			properties["spec"], properties["status"] = spec, status
		}
		definitions = append(definitions, definition)
	}
	environment := &envtest.Environment{BinaryAssetsDirectory: assetsDirectory(), CRDs: definitions}
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("starting an API server: %v", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	grantRights(t, config)
	return config
}

func TestUnderAnOlderCRDRoutesAreServedAndPassesChangeNothing(t *testing.T) {
	config := apiServerWith(t, func(spec, status *apiextensionsv1.JSONSchemaProps) {
		delete(spec.Properties, "gatewayRef")
		spec.XValidations = nil // Some are about fields that are not there yet.
		for _, since := range []string{"model", "upstreams", "replicas", "readyReplicas", "selector"} {
			if _, known := status.Properties[since]; !known {
				t.Fatalf("the status has no field %s that an older CRD could lack", since)
			}
			delete(status.Properties, since)
		}
	})
	w := newWorldOn(t, testRealClock, config)
	w.startManager()
	w.serve(w.route())
	w.quiet("chat")
	w.stopManager()
	before := w.routeVersion()
	for range 10 {
		w.reconcile()
	}
	if after := w.routeVersion(); after != before {
		t.Errorf("ten passes have changed the route, from resourceVersion %s to %s", before, after)
	}
}

func TestWhatANewerCRDAddsStaysAsItIs(t *testing.T) {
	config := apiServerWith(t, func(spec, status *apiextensionsv1.JSONSchemaProps) {
		spec.Properties["future"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
		status.Properties["future"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	})
	w := newWorldOn(t, testRealClock, config)
	w.startManager()
	w.serve(w.route())
	route := &v1alpha1.ModelRoute{}
	w.get("chat", route)
	for subresource, patch := range map[string]string{"": `{"spec":{"future":"wanted"}}`, "status": `{"status":{"future":"seen"}}`} {
		merge := client.RawPatch(types.MergePatchType, []byte(patch))
		var err error
		if subresource == "" {
			err = w.client.Patch(t.Context(), route, merge)
		} else {
			err = w.client.SubResource(subresource).Patch(t.Context(), route, merge)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Annotations = map[string]string{"example.com/looked": "at"} })
	w.untilReady("chat")
	w.quiet("chat")
	w.stopManager()
	before := w.routeVersion()
	for range 10 {
		w.reconcile()
	}
	if after := w.routeVersion(); after != before {
		t.Errorf("ten passes have changed the route, from resourceVersion %s to %s", before, after)
	}
	stored := w.storedRoute()
	for _, part := range []struct{ field, want string }{{"spec", "wanted"}, {"status", "seen"}} {
		if got, _, _ := unstructured.NestedString(stored.Object, part.field, "future"); got != part.want {
			t.Errorf("%s.future is %q, want %q", part.field, got, part.want)
		}
	}
}

// storedRoute is the route chat with all that the API server keeps of it, known here or not.
func (w *world) storedRoute() *unstructured.Unstructured {
	w.t.Helper()
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ModelRoute"))
	w.get("chat", stored)
	return stored
}

func (w *world) routeVersion() string {
	w.t.Helper()
	return w.storedRoute().GetResourceVersion()
}
