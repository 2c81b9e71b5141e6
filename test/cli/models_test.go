package cli

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestModelsTellWhereAModelIsAndWhatItCosts(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	broken := w.route("dark")
	broken.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound, "Secret openrouter is missing."),
	}
	w.must(w.Status().Update(t.Context(), broken))
	table := w.call("models").wants(t, 0)
	wantEqual(t, `
ROUTE            MODEL     PROMPT   COMPLETION   CONTEXT   READY                ENDPOINT
cli-12345/chat   mixtral     2.00         6.00     65536   yes                  http://chat.cli-12345.svc/v1
cli-12345/dark   mixtral     2.00         6.00     65536   no: SecretNotFound   http://dark.cli-12345.svc/v1
`, "\n"+w.masked(table.out))

	var found struct {
		Models []struct {
			Model, Reason string
			Ready         bool
			ContextLength int64
			Pricing       v1alpha1.Pricing
		}
	}
	w.must(json.Unmarshal([]byte(w.call("models", "-o", "json").out), &found))
	if len(found.Models) != 2 || !found.Models[0].Ready || found.Models[1].Reason != "SecretNotFound" ||
		found.Models[0].Pricing.Completion != "6.00" || found.Models[0].ContextLength != 65536 {
		t.Errorf("programs are told %+v", found)
	}
}

func TestPricesInForceGoBeforeWhatTheRouteSaysAndReservesAreNoPrice(t *testing.T) {
	w := newCaller(t)
	route := w.route("chat")
	reserve := route.Spec.Upstreams[0]
	reserve.Name, reserve.Pricing = "reserve", v1alpha1.Pricing{Prompt: "0.10", Completion: "0.20"}
	route.Spec.Upstreams = append([]v1alpha1.Upstream{reserve}, route.Spec.Upstreams...)
	route.Spec.Budgets[0].WhenExhausted.Upstream = "reserve"
	w.must(w.Update(t.Context(), route))
	route.Status.Upstreams = []v1alpha1.UpstreamStatus{{
		Name: "openrouter", Pricing: v1alpha1.Pricing{Prompt: "3.00", Completion: "9.00"}, PricingSource: "Upstream",
	}}
	w.must(w.Status().Update(t.Context(), route))
	w.call("models").wants(t, 0, "3.00", "9.00").lacks(t, "0.10", "2.00")
}

func TestWhereThereIsNothingItSaysHowToLookFurther(t *testing.T) {
	w := newCaller(t)
	w.call("models").wants(t, 0, "There are no ModelRoutes in the namespace "+w.namespace, "--all-namespaces")
	w.call("usage").wants(t, 0, "There are no ModelRoutes", "--all-namespaces")
	w.call("keys", "list").wants(t, 0, "There are no consumers and ModelKeys", "--all-namespaces")
}

func TestErrorsNameTheNextStep(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.call("chat", "chut", "Hello?").wants(t, 1, `"chut" not found`, "kubectl modelroute models")
	w.call("keys", "env", "modelkey/nobody").wants(t, 1, `"nobody" not found`, "keys list")
	w.callWithout("models", "--kubeconfig", w.file(nil)).wants(t, 1, "no cluster is configured", "--kubeconfig")
	w.callAnywhere("models", "--server", "https://127.0.0.1:1").wants(t, 1, "cannot be reached", "kubectl config current-context")
	w.become("nobody-" + w.namespace)
	w.call("models").wants(t, 1, "forbidden", "modelroute-view")
	w.call("keys", "rotate", "modelroute/chat").wants(t, 1, "forbidden", "modelroute-view")
	w.call("usage", "--by", "team").wants(t, 1, "cannot list TeamBudgets", "modelroute-view")
}

func TestAShellCompletesTheNamesOfRoutesAndKeys(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.modelKey("crawler", "chat")
	w.callWithout("__complete", "chat", "--namespace", w.namespace, "--kubeconfig", w.kubeconfig, "").wants(t, 0, "chat\n")
	w.callWithout("__complete", "keys", "env", "--namespace", w.namespace, "--kubeconfig", w.kubeconfig, "").
		wants(t, 0, "modelroute/chat/search\n", "modelkey/crawler\n")
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		w.callWithout("completion", name).wants(t, 0, "kubectl-modelroute")
	}
}
