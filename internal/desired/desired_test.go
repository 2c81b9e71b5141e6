package desired_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
)

var update = flag.Bool("update", false, "write the golden files anew")

func readRoute(t *testing.T, file string) *v1alpha1.ModelRoute {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	route := &v1alpha1.ModelRoute{}
	if err := yaml.UnmarshalStrict(content, route); err != nil {
		t.Fatal(err)
	}
	route.UID = "00000000-0000-4000-8000-000000000001"
	return route
}

const (
	smallest = "../../test/crdcel/testdata/base.yaml"
	largest  = "../../test/crdcel/testdata/largest.yaml"
)

func objects(t *testing.T, file string) []desired.Object {
	t.Helper()
	return objectsOf(readRoute(t, file))
}

func objectsOf(route *v1alpha1.ModelRoute) []desired.Object {
	return append(desired.Objects(desired.Input{
		Route: route, Config: []byte("{}\n"),
		Program: desired.Program{Image: "modelroute:test", PullPolicy: corev1.PullIfNotPresent},
	}), desired.ExtensionsOf(route)...)
}

// autoscaled is the largest route with what it cannot have beside replicas.
func autoscaled(t *testing.T) *v1alpha1.ModelRoute {
	t.Helper()
	route := readRoute(t, largest)
	route.Spec.Proxy.Replicas = nil
	route.Spec.Proxy.Autoscaling = v1alpha1.Autoscaling{MaxReplicas: 10}
	return route
}

// gatewayObjects are those of a gateway that runs as the largest route does, with two routes' files.
func gatewayObjects(t *testing.T) []desired.Object {
	t.Helper()
	gateway := &v1alpha1.ModelGateway{Spec: &v1alpha1.ModelGatewaySpec{ProxyPods: readRoute(t, largest).Spec.Proxy.ProxyPods}}
	gateway.Namespace, gateway.Name, gateway.UID = "default", "models", "00000000-0000-4000-8000-000000000002"
	in := desired.GatewayInput{
		Gateway: gateway, Index: []byte("{}\n"), LongestRequestSeconds: 600,
		Files: []compile.GatewayFile{
			{Kind: v1alpha1.CABundleConfigMap, Name: "authorities", Key: "ca.crt"},
			{Kind: v1alpha1.CABundleSecret, Name: "upstreams", Key: "one"},
			{Kind: v1alpha1.CABundleSecret, Name: "upstreams", Key: "two"},
		},
		Program: desired.Program{Image: "modelroute:test", PullPolicy: corev1.PullIfNotPresent},
	}
	in.Parts[0] = map[string][]byte{"0123.json.gz": []byte("packed")}
	return append(desired.GatewayObjects(in), desired.ExtensionsOfGateway(gateway)...)
}

func TestTheObjectsOfRoutesAndGatewaysAreTheGoldenOnes(t *testing.T) {
	for name, objects := range map[string][]desired.Object{
		"smallest": objects(t, smallest), "largest": objects(t, largest), "autoscaled": objectsOf(autoscaled(t)),
		"gateway": gatewayObjects(t),
	} {
		var documents []string
		for _, object := range objects {
			document, err := yaml.Marshal(object.Config)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(document))
		}
		got := strings.Join(documents, "---\n")
		golden := "testdata/" + name + ".yaml"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s differs (-want +got), run with -update if that is meant:\n%s", golden, diff)
		}
	}
}

// meta is what every object has.
type meta struct {
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
		OwnerReferences []struct {
			UID        string
			Controller bool
		}
	}
}

func TestEveryObjectIsOwnedByItsRouteAndLivesBesideIt(t *testing.T) {
	route := readRoute(t, largest)
	all := append(objects(t, largest),
		desired.ConsumerSecret(route, route.Spec.Consumers[0], desired.AccessOf(route), "mrk_test"))
	for _, object := range all {
		encoded, err := json.Marshal(object.Config)
		if err != nil {
			t.Fatal(err)
		}
		var got meta
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatal(err)
		}
		owners := got.Metadata.OwnerReferences
		if len(owners) != 1 || owners[0].UID != string(route.UID) || !owners[0].Controller {
			t.Errorf("%s %s is owned by %v", object.Kind.Kind, object.Name, owners)
		}
		if got.Metadata.Namespace != route.Namespace || got.Metadata.Name != object.Name.Name || object.Name.Namespace != route.Namespace {
			t.Errorf("%s %s says that it is %s/%s", object.Kind.Kind, object.Name, got.Metadata.Namespace, got.Metadata.Name)
		}
		if got.Metadata.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || got.Metadata.Labels[v1alpha1.LabelRoute] != route.Name {
			t.Errorf("%s %s has labels %v", object.Kind.Kind, object.Name, got.Metadata.Labels)
		}
	}
}

func TestAConsumersSecretIsReadyForEnvFrom(t *testing.T) {
	route := readRoute(t, largest)
	access := desired.AccessOf(route)
	access.CA = "-----BEGIN"
	encoded, err := json.Marshal(desired.ConsumerSecret(route, route.Spec.Consumers[0], access, "mrk_test").Config)
	if err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	if err := json.Unmarshal(encoded, &secret); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"OPENAI_API_KEY":  []byte("mrk_test"),
		"OPENAI_BASE_URL": []byte("https://largest.default.svc/v1"),
		"MODEL":           []byte("mixtral-8x22b-instruct"),
		"CA_CERT":         []byte("-----BEGIN"),
	}
	if diff := cmp.Diff(want, secret.Data); diff != "" || secret.Name != "mixtral-search" {
		t.Errorf("Secret %s (-want +got):\n%s", secret.Name, diff)
	}
}

func TestTheProxiesMayReadTheirOwnConfigurationAndNothingElse(t *testing.T) {
	for _, object := range objects(t, largest) {
		if object.Kind.Kind != "Role" {
			continue
		}
		encoded, err := json.Marshal(object.Config)
		if err != nil {
			t.Fatal(err)
		}
		if want := `"rules":[{"verbs":["get","list","watch"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["largest.config"]}]`; !strings.Contains(string(encoded), want) {
			t.Errorf("the role is %s", encoded)
		}
		return
	}
	t.Error("there is no Role")
}
