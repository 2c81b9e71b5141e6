package manifest_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/local/manifest"
)

const (
	route = `apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat, namespace: ai}
spec:
  model: {contextLength: 65536}
  upstreams:
  - name: openrouter
    provider: OpenRouter
    baseURL: https://openrouter.ai/api/v1
    apiKeySecretRef: {name: openrouter, key: apiKey}
    pricing: {prompt: "2.00", completion: "6.00"}
  budgets:
  - {name: monthly, amount: "5.00", window: {period: Month}, enforcement: Deny}
  consumers:
  - name: search
`
	secret = `apiVersion: v1
kind: Secret
metadata: {name: openrouter, namespace: ai}
stringData: {apiKey: " sk-or-the-upstreams-key\n"}
`
	separator = "---\n"
)

// read reads one file, with what is given beside it.
func read(t *testing.T, content string, given map[manifest.SecretKey]string) ([]manifest.Route, error) {
	t.Helper()
	reader, err := manifest.NewReader(given)
	if err != nil {
		t.Fatal(err)
	}
	return reader.Routes(t.Context(), []manifest.File{{Name: "all.yaml", Content: []byte(content)}})
}

func TestARouteFindsTheKeyOfItsUpstream(t *testing.T) {
	given := map[manifest.SecretKey]string{{Namespace: "ai", Name: "openrouter", Key: "apiKey"}: "sk-or-given"}
	cases := map[string]struct {
		content string
		given   map[manifest.SecretKey]string
		want    string
	}{
		"in a Secret before it":        {secret + separator + route, nil, "sk-or-the-upstreams-key"},
		"in a Secret behind it":        {route + separator + secret, nil, "sk-or-the-upstreams-key"},
		"in a Secret's data, encoded":  {route + separator + strings.Replace(secret, `stringData: {apiKey: " sk-or-the-upstreams-key\n"}`, "data: {apiKey: c2stb3ItZW5jb2RlZA==}", 1), nil, "sk-or-encoded"},
		"beside the files":             {route, given, "sk-or-given"},
		"beside the files, and before": {route + separator + secret, given, "sk-or-given"},
		"amid comments and emptiness":  {"# All of it.\n---\n\n---\n" + route + "...\n---\n# The key.\n" + secret + "---\n", nil, "sk-or-the-upstreams-key"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			routes, err := read(t, test.content, test.given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"openrouter": test.want}, routes[0].UpstreamKeys); len(routes) != 1 || diff != "" {
				t.Errorf("%d routes, keys (-want +got):\n%s", len(routes), diff)
			}
		})
	}
}

func TestARouteFindsTheAuthoritiesOfItsUpstream(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	indented := "  ca.crt: |\n    " + strings.ReplaceAll(bundle, "\n", "\n    ") + "\n"
	named := func(ref string) string {
		return strings.Replace(route, "    pricing:", "    caBundleRef: "+ref+"\n    pricing:", 1) + separator + secret + separator
	}
	const header = "apiVersion: v1\nmetadata: {name: authorities, namespace: ai}\n"
	for name, content := range map[string]string{
		"in a ConfigMap":           named("{name: authorities}") + header + "kind: ConfigMap\ndata:\n" + indented,
		"in a ConfigMap, as bytes": named("{name: authorities}") + header + "kind: ConfigMap\nbinaryData: {ca.crt: " + base64.StdEncoding.EncodeToString([]byte(bundle)) + "}\n",
		"in a Secret":              named("{kind: Secret, name: authorities, key: ca.crt}") + header + "kind: Secret\nstringData:\n" + indented,
	} {
		t.Run(name, func(t *testing.T) {
			routes, err := read(t, content, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := routes[0].UpstreamAuthorities["openrouter"]; strings.TrimSpace(got) != strings.TrimSpace(bundle) {
				t.Errorf("got %q", got)
			}
		})
	}
	for want, content := range map[string]string{
		`spec.upstreams[0].caBundleRef: Invalid value: "authorities/ca.crt": there is no ConfigMap ai/authorities with "ca.crt" in the files`: named("{name: authorities}") + header + "kind: Secret\nstringData:\n" + indented,
		`caBundleRef: Invalid value: "authorities/ca.crt": there is no certificate in PEM in it`:                                              named("{name: authorities}") + header + "kind: ConfigMap\ndata: {ca.crt: none}\n",
	} {
		if _, err := read(t, content, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestObjectsWithoutANamespaceAreInTheDefaultOne(t *testing.T) {
	routes, err := read(t, strings.ReplaceAll(route+separator+secret, ", namespace: ai", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := routes[0].Namespace; got != "default" {
		t.Errorf("the route is in %q", got)
	}
}

func TestRoutesAreSortedWhateverTheirOrder(t *testing.T) {
	named := func(namespace, name string) string {
		replace := strings.NewReplacer("name: chat", "name: "+name, "namespace: ai", "namespace: "+namespace)
		return replace.Replace(route + separator + secret)
	}
	routes, err := read(t, strings.Join([]string{named("b", "two"), named("a", "three"), strings.Split(named("a", "one"), separator)[0]}, separator), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range routes {
		got = append(got, one.Namespace+"/"+one.Name)
	}
	if diff := cmp.Diff([]string{"a/one", "a/three", "b/two"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each case replaces a part of a manifest that is good. What is wrong must be told with the file, the document and the field, and without
// the upstream's key.
func TestAManifestIsRefusedWhen(t *testing.T) {
	cases := map[string]struct{ old, with, want string }{
		"an amount is no amount":           {`"5.00"`, `"five"`, `all.yaml: document 1 (ModelRoute ai/chat): spec.budgets[0].amount: Invalid value: "five"`},
		"an amount is no string":           {`"5.00"`, `5.25`, `spec.budgets[0].amount: Invalid value: "number": spec.budgets[0].amount in body must be of type string`},
		"a price is missing":               {`prompt: "2.00", `, ``, `document 1 (ModelRoute ai/chat): spec.upstreams[0].pricing.prompt: Required value`},
		"a field is unknown":               {"  budgets:", "  budgetz:", `document 1 (ModelRoute ai/chat): unknown field "spec.budgetz"`},
		"a field is there twice":           {"  consumers:", "  model: {contextLength: 1}\n  consumers:", `key "model" already set`},
		"a name is no name":                {"name: chat", "name: ../chat", `metadata.name must be a DNS label`},
		"a name is too long":               {"name: chat", "name: c" + strings.Repeat("h", 50), `at most 50 characters`},
		"there is no name":                 {"name: chat, ", "", `document 1 (ModelRoute ): metadata.name: Required value`},
		"a namespace is no name":           {"namespace: ai}\nspec", "namespace: ../ai}\nspec", `metadata.namespace: Invalid value: "../ai"`},
		"a Secret's name is no name":       {"{name: openrouter, namespace: ai}", "{name: ../openrouter}", `document 2 (Secret default/../openrouter): metadata.name: Invalid value`},
		"a time zone is none":              {"{period: Month}", "{period: Month, timeZone: Europe/Atlantis}", `spec.budgets[0].window: Invalid value: "Month Europe/Atlantis"`},
		"a rule of the CRD is broken":      {"https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1?key=1", `spec.upstreams[0].baseURL: Invalid value: "https://openrouter.ai/api/v1?key=1": baseURL must be an http or https URL`},
		"two consumers have one name":      {"  - name: search", "  - name: search\n  - name: search", `spec.consumers[1]: Duplicate value`},
		"two upstreams have one name":      {"  budgets:", "  - {name: openrouter, provider: OpenAI, baseURL: http://a/v1, apiKeySecretRef: {name: a, key: a}, pricing: {prompt: \"1\", completion: \"1\"}}\n  budgets:", `spec.upstreams[1]: Duplicate value`},
		"the kind is not known":            {"kind: Secret", "kind: Pod", `all.yaml: document 2: kind Pod of v1 is not known here, only ModelRoute, ModelGateway, ModelKey and TeamBudget of modelroute.dev/v1alpha1, and Secret and ConfigMap of v1 are`},
		"the kind is not known yet":        {"kind: Secret", "kind: TeamBudget", `all.yaml: document 2: kind TeamBudget`},
		"the version is not known":         {"modelroute.dev/v1alpha1", "modelroute.dev/v1", `document 1: kind ModelRoute of modelroute.dev/v1 is not known`},
		"there is no kind":                 {"kind: Secret", "", `document 2: apiVersion and kind must be set`},
		"it is a list":                     {"apiVersion: v1\nkind: Secret\nmetadata: {name: openrouter, namespace: ai}\nstringData", "- stringData", `document 2: is no object`},
		"it is no YAML":                    {"stringData: {", "stringData: {{", `document 2: is no YAML: `},
		"an object is there twice":         {"stringData:", "stringData: {}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: openrouter, namespace: ai}\nstringData:", `document 3 (Secret ai/openrouter): is declared in all.yaml, document 2, as well`},
		"the Secret is in no file":         {"{name: openrouter, namespace: ai}", "{name: another, namespace: ai}", `spec.upstreams[0].apiKeySecretRef: Invalid value: "openrouter/apiKey": there is no Secret ai/openrouter in the files: add it, or give its value with --secret ai/openrouter/apiKey=env:VARIABLE`},
		"the key is to be made":            {"apiKeySecretRef: {name: openrouter, key: apiKey}", "provisionedKey: {managementKeySecretRef: {name: openrouter, key: apiKey}}", `spec.upstreams[0].provisionedKey: Forbidden: keys are made only in a cluster: name one of your own in apiKeySecretRef`},
		"the Secret is elsewhere":          {"{name: openrouter, namespace: ai}", "{name: openrouter}", `there is no Secret ai/openrouter`},
		"the Secret has another key":       {"{apiKey:", "{token:", `Secret ai/openrouter has nothing under "apiKey"`},
		"the upstream's key is empty":      {`" sk-or-the-upstreams-key\n"`, `" "`, `the upstream's API key is empty`},
		"a key is not encoded under data":  {`stringData: {apiKey: " sk-or-the-upstreams-key\n"}`, `data: {apiKey: sk-or-the-upstreams-key}`, `plain ones belong under stringData`},
		"a Secret has an unknown field":    {"stringData:", "stringDate:", `document 2 (Secret ai/openrouter): unknown field "stringDate"`},
		"a key is a number":                {`" sk-or-the-upstreams-key\n"`, `12345`, `document 2 (Secret ai/openrouter): json: cannot unmarshal number into Go struct field Secret.stringData of type string`},
		"a consumer gets a Secret of ours": {"name: search", "name: search\n    secretName: openrouter", `spec.consumers[0].secretName: Invalid value: "openrouter": is the Secret with the upstream's API key`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			good := route + separator + secret
			if !strings.Contains(good, test.old) {
				t.Fatalf("there is no %q to replace", test.old)
			}
			_, err := read(t, strings.Replace(good, test.old, test.with, 1), nil)
			problems, isProblems := errors.AsType[manifest.Problems](err)
			if !isProblems || !strings.Contains(problems.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "the-upstreams-key") || strings.Contains(err.Error(), "12345")) {
				t.Errorf("it tells the key: %v", err)
			}
		})
	}
}

func TestConsumersOfTwoRoutesCannotShareASecret(t *testing.T) {
	other := strings.NewReplacer("name: chat", "name: other", "name: search", "name: search\n    secretName: chat-search").Replace(route)
	_, err := read(t, route+separator+secret+separator+other, nil)
	const want = `document 3 (ModelRoute ai/other): spec.consumers[0].secretName: Invalid value: "chat-search": is also the Secret of consumer search of route ai/chat`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := read(t, strings.Replace(route, `"5.00"`, `"five"`, 1)+separator+strings.Replace(secret, "stringData", "stringDate", 1), nil)
	problems, _ := errors.AsType[manifest.Problems](err)
	if len(problems) != 2 || !strings.Contains(problems[0], "document 1") || !strings.Contains(problems[1], "document 2") {
		t.Errorf("got %q", problems)
	}
}

func TestFilesWithoutARouteAreRefused(t *testing.T) {
	for _, content := range []string{"", "# Nothing.\n", secret} {
		if _, err := read(t, content, nil); err == nil || !strings.Contains(err.Error(), "there is no ModelRoute in the files") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	dir := t.TempDir()
	_, err := manifest.ReadFiles([]string{filepath.Join(dir, "missing.yaml"), dir})
	if err == nil || !strings.Contains(err.Error(), "missing.yaml: cannot be read: no such file") || !strings.Contains(err.Error(), dir+": is a folder") {
		t.Errorf("got %v", err)
	}
}

func TestTheSampleRoutesAreGood(t *testing.T) {
	reader, err := manifest.NewReader(map[manifest.SecretKey]string{
		{Namespace: "ai-platform", Name: "openrouter", Key: "apiKey"}: "sk-or-key",
		{Namespace: "ai-platform", Name: "vllm", Key: "apiKey"}:       "any",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mixtral-8x22b-instruct.yaml", "rate-limits.yaml"} {
		content, err := os.ReadFile(filepath.Join("../../../config/samples", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Routes(t.Context(), []manifest.File{{Name: name, Content: content}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
