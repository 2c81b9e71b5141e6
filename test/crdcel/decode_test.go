package crdcel

import (
	"encoding/json"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// One stored route that the manager cannot read would keep it from reading every other route as well.
func TestWhatTheSchemaAcceptsTheManagerCanRead(t *testing.T) {
	base := readYAML(t, "base.yaml")
	cases := map[string]string{
		"a seed beyond 64 bits":              `{"parameters":{"defaults":{"seed":99999999999999999999}}}`,
		"a seed with a large exponent":       `{"parameters":{"defaults":{"seed":1e300}}}`,
		"a seed with a small exponent":       `{"parameters":{"defaults":{"seed":1e3}}}`,
		"an override beyond 64 bits":         `{"parameters":{"overrides":{"seed":99999999999999999999}}}`,
		"a top_k beyond 32 bits":             `{"parameters":{"defaults":{"top_k":9999999999}}}`,
		"a limit on tokens with a point":     `{"parameters":{"limits":{"max_completion_tokens":5.0}}}`,
		"a bias of any size":                 `{"parameters":{"defaults":{"logit_bias":{"1":1e300}}}}`,
		"a context length with a point":      `{"model":{"contextLength":65536.0}}`,
		"a quantity with half an exponent":   `{"proxy":{"resources":{"requests":{"cpu":"1e1.5"}}}}`,
		"a quantity with a huge exponent":    `{"proxy":{"resources":{"limits":{"cpu":"1e99999999999999999999"}}}}`,
		"a quantity with a word as its unit": `{"proxy":{"resources":{"limits":{"cpu":"1mm"}}}}`,
		"a quantity of many digits":          `{"proxy":{"resources":{"limits":{"cpu":"123456789012345678901234567890.5"}}}}`,
		"a limit beyond 64 bits":             `{"rateLimits":[{"name":"a","periodSeconds":60,"tokens":99999999999999999999}]}`,
		"a limit with an exponent":           `{"rateLimits":[{"name":"a","periodSeconds":60,"requests":1e3}]}`,
		"a period with a point":              `{"rateLimits":[{"name":"a","periodSeconds":60.0,"requests":1}]}`,
		"a toleration beyond 64 bits":        `{"proxy":{"tolerations":[{"operator":"Exists","tolerationSeconds":99999999999999999999}]}}`,
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			merged, err := jsonpatch.MergePatch(base, []byte(`{"spec":`+spec+`}`))
			if err != nil {
				t.Fatal(err)
			}
			route := &unstructured.Unstructured{}
			if err := route.UnmarshalJSON(merged); err != nil {
				t.Fatal(err)
			}
			if err := newClient(t).Create(t.Context(), route, client.DryRunAll); err != nil {
				return // What is refused is not stored.
			}
			stored, err := route.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(stored, &v1alpha1.ModelRoute{}); err != nil {
				t.Errorf("it is accepted, and cannot be read: %v", err)
			}
		})
	}
}
