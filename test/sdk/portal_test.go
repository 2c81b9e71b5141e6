package sdk

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
	"github.com/modelroute/modelroute/test/world"
)

// What is in the other languages on a route's page is run where the page is: beside cmd/kubectl-modelroute.
func TestTheTypeScriptOnARoutesPageRunsAsItStands(t *testing.T) {
	w := begin(t)
	shown, err := portal.NewRoute(&v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: world.Namespace, Name: world.Model},
		Spec:       v1alpha1.ModelRouteSpec{Upstreams: []v1alpha1.Upstream{{Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter}}},
		Status:     v1alpha1.ModelRouteStatus{Endpoint: w.URL + "/v1"},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(shown.Examples, func(one portal.Example) bool { return one.Language == "TypeScript" })
	command := node(t, w, "--input-type=module", "-")
	command.Stdin = strings.NewReader(shown.Examples[i].Code)
	var problems strings.Builder
	command.Stderr = &problems
	if output, err := command.Output(); err != nil || len(strings.TrimSpace(string(output))) < 10 {
		t.Errorf("%v, and it says %q\n%s", err, output, &problems)
	}
	w.BooksAgree()
}
