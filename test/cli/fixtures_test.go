package cli

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// The window of the budgets here: November in Berlin.
var (
	began  = metav1.NewTime(time.Date(2026, time.October, 31, 23, 0, 0, 0, time.UTC))
	resets = metav1.NewTime(time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC))
	used   = metav1.NewTime(time.Date(2026, time.November, 27, 4, 5, 0, 0, time.UTC))
)

func monthly(amount v1alpha1.USD) []v1alpha1.Budget {
	return []v1alpha1.Budget{{
		Name: "monthly", Amount: amount, Enforcement: v1alpha1.EnforcementDeny,
		Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/Berlin"},
	}}
}

// stands is how such a budget stands.
func stands(limit, spent, remaining string, percent int32, state v1alpha1.BudgetState) []v1alpha1.BudgetStatus {
	return []v1alpha1.BudgetStatus{{
		Name: "monthly", Limit: limit, Spent: spent, Held: "0.00", Remaining: remaining, PercentUsed: new(percent),
		WindowStart: &began, ResetTime: &resets, State: state,
	}}
}

// route is a route as the operator leaves it: ready, with the consumers search, who has a key, and trial, who has spent all.
func (w *caller) route(name string) *v1alpha1.ModelRoute {
	w.t.Helper()
	route := &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1alpha1.ModelRouteSpec{
			Model: v1alpha1.Model{Name: "mixtral", ContextLength: 65536},
			Upstreams: []v1alpha1.Upstream{{
				Name: "openrouter", Provider: "OpenRouter", BaseURL: "https://openrouter.ai/api/v1",
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "openrouter", Key: "apiKey"},
				Pricing:         v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"},
			}},
			Budgets:   monthly("500.00"),
			Consumers: []v1alpha1.Consumer{{Name: "search"}, {Name: "trial", Budgets: monthly("0.01")}},
		},
	}
	makeWithStatus(w, route, func(route *v1alpha1.ModelRoute) {
		route.Status = v1alpha1.ModelRouteStatus{
			ObservedGeneration: route.Generation, Endpoint: "http://" + name + "." + w.namespace + ".svc/v1",
			Selector: "modelroute.dev/route=" + name,
			Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every ready proxy serves it."),
				condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "The proxies serve it."),
			},
			Spend:   &v1alpha1.Spend{Total: "12.345678901", Uncertain: "0.25", UpdateTime: used},
			Budgets: stands("500.00", "12.345678901", "487.654321099", 2, "WithinBudget"),
			Consumers: []v1alpha1.ConsumerStatus{
				{Name: "search", SecretName: name + "-search", KeyID: "k_0123456789ab", Spent: "12.335678901", LastUseTime: &used},
				{Name: "trial", SecretName: name + "-trial", Spent: "0.01", Budgets: stands("0.01", "0.01", "0.00", 100, "Exhausted")},
			},
		}
	})
	return route
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: used}
}

// modelKey is a ModelKey for a route, as the operator leaves it.
func (w *caller) modelKey(name, route string) *v1alpha1.ModelKey {
	w.t.Helper()
	key := &v1alpha1.ModelKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.ModelKeySpec{RouteRefs: []v1alpha1.RouteReference{{Name: route}}, Budgets: monthly("20.00")},
	}
	makeWithStatus(w, key, func(key *v1alpha1.ModelKey) {
		key.Status = v1alpha1.ModelKeyStatus{
			ObservedGeneration: key.Generation, SecretName: name, KeyID: "k_abcdefabcdef", LastUseTime: &used,
			PreviousKey: &v1alpha1.PreviousKey{KeyID: "k_000000000000", EndTime: resets},
			Conditions:  []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "It is.")},
			Spend:       &v1alpha1.Spend{Total: "17.00"},
			Budgets:     stands("20.00", "17.00", "3.00", 85, "Warning"),
		}
	})
	return key
}

// secret is a Secret as the operator delivers a key in it.
func (w *caller) secret(name, key string, labels map[string]string) *corev1.Secret {
	w.t.Helper()
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: labels},
		StringData: map[string]string{
			"OPENAI_API_KEY": key, "OPENAI_BASE_URL": "http://chat.ai.svc/v1", "MODEL": "it's a model", "no-variable": "x",
		},
	}
	w.make(secret)
	return secret
}

func ofConsumer(route, consumer string) map[string]string {
	return map[string]string{v1alpha1.LabelRoute: route, v1alpha1.LabelConsumer: consumer}
}
