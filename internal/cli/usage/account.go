package usage

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// report is what programs read.
type report struct {
	// By is whose spend it is: route, consumer, team or key.
	By       string    `json:"by"`
	Accounts []account `json:"accounts"`
}

// account is somebody who spends. Amounts are decimals in USD; one that is not known yet is absent.
type account struct {
	// Namespace is absent of a team.
	Namespace string `json:"namespace,omitempty"`
	// Name is that of the route, the team or the ModelKey; Consumer is one of the route's, by consumer alone.
	Name     string `json:"name"`
	Consumer string `json:"consumer,omitempty"`
	// Spent is of all time, Uncertain the part of it that is not known exactly.
	Spent     string `json:"spent,omitempty"`
	Uncertain string `json:"uncertain,omitempty"`
	// UpdateTime is when Spent was last written.
	UpdateTime *time.Time      `json:"updateTime,omitempty"`
	Budgets    []accountBudget `json:"budgets"`
}

// accountBudget is how a budget stands in its current window.
type accountBudget struct {
	Name  string `json:"name"`
	Limit string `json:"limit,omitempty"`
	// Spent counts what is uncertain.
	Spent       string               `json:"spent,omitempty"`
	Uncertain   string               `json:"uncertain,omitempty"`
	Held        string               `json:"held,omitempty"`
	Remaining   string               `json:"remaining,omitempty"`
	PercentUsed int32                `json:"percentUsed"`
	WindowStart *time.Time           `json:"windowStart,omitempty"`
	ResetTime   *time.Time           `json:"resetTime,omitempty"`
	State       v1alpha1.BudgetState `json:"state,omitempty"`
	// timeZone is the budget's own.
	timeZone string
}

func routeAccounts(routes []v1alpha1.ModelRoute) []account {
	accounts := make([]account, 0, len(routes))
	for _, route := range routes {
		one := account{Namespace: route.Namespace, Name: route.Name, Budgets: budgetsOf(route.Status.Budgets, route.Spec.Budgets)}
		accounts = append(accounts, one.withSpend(route.Status.Spend))
	}
	return accounts
}

func consumerAccounts(routes []v1alpha1.ModelRoute) []account {
	accounts := []account{}
	for _, route := range routes {
		updated := (account{}).withSpend(route.Status.Spend).UpdateTime
		declared := map[string][]v1alpha1.Budget{}
		for _, consumer := range route.Spec.Consumers {
			declared[consumer.Name] = consumer.Budgets
		}
		for _, consumer := range route.Status.Consumers {
			accounts = append(accounts, account{
				Namespace: route.Namespace, Name: route.Name, Consumer: consumer.Name, Spent: consumer.Spent, UpdateTime: updated,
				Budgets: budgetsOf(consumer.Budgets, declared[consumer.Name]),
			})
		}
	}
	return accounts
}

func teamAccounts(teams []v1alpha1.TeamBudget) []account {
	accounts := make([]account, 0, len(teams))
	for _, team := range teams {
		one := account{
			Name: cmp.Or(team.Status.Team, team.Spec.Team, team.Name), Budgets: budgetsOf(team.Status.Budgets, team.Spec.Budgets),
		}
		accounts = append(accounts, one.withSpend(team.Status.Spend))
	}
	return accounts
}

func keyAccounts(modelKeys []v1alpha1.ModelKey) []account {
	accounts := make([]account, 0, len(modelKeys))
	for _, key := range modelKeys {
		one := account{Namespace: key.Namespace, Name: key.Name, Budgets: budgetsOf(key.Status.Budgets, key.Spec.Budgets)}
		accounts = append(accounts, one.withSpend(key.Status.Spend))
	}
	return accounts
}

func (a account) withSpend(spend *v1alpha1.Spend) account {
	if spend == nil {
		return a
	}
	a.Spent, a.Uncertain = spend.Total, spend.Uncertain
	if !spend.UpdateTime.IsZero() {
		a.UpdateTime = &spend.UpdateTime.Time
	}
	return a
}

// budgetsOf are the budgets of a status, with what the spec alone says of them.
func budgetsOf(status []v1alpha1.BudgetStatus, spec []v1alpha1.Budget) []accountBudget {
	zones := map[string]string{}
	for _, one := range spec {
		zones[one.Name] = one.Window.TimeZone
	}
	budgets := make([]accountBudget, 0, len(status))
	for _, one := range status {
		var percent int32
		if one.PercentUsed != nil {
			percent = *one.PercentUsed
		}
		budgets = append(budgets, accountBudget{
			Name: one.Name, Limit: one.Limit, Spent: one.Spent, Uncertain: one.Uncertain, Held: one.Held, Remaining: one.Remaining,
			PercentUsed: percent, WindowStart: timeOf(one.WindowStart), ResetTime: timeOf(one.ResetTime), State: one.State,
			timeZone: zones[one.Name],
		})
	}
	return budgets
}

func timeOf(at *metav1.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC()
	return &utc
}
