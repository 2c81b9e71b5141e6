package portal

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/portal"
)

// busy is the sample route after a month in which nine consumers, of whom some are ModelKeys, have spent.
type busy struct{ route v1alpha1.ModelRoute }

func (b *busy) List(context.Context, portal.Visitor, string) ([]v1alpha1.ModelRoute, error) {
	return []v1alpha1.ModelRoute{b.route}, nil
}

func (b *busy) Get(context.Context, portal.Visitor, string, string) (*v1alpha1.ModelRoute, error) {
	return &b.route, nil
}

func (b *busy) Teams(context.Context, portal.Visitor) ([]v1alpha1.TeamBudget, error) { return nil, nil }

// Daily has rising amounts, with nothing on weekends.
func (b *busy) Daily(_ context.Context, _, _ string, from time.Time, _ string) ([]portal.Spent, error) {
	var spent []portal.Spent
	for day := range 30 {
		at := from.AddDate(0, 0, day)
		if noon := at.Add(12 * time.Hour).Weekday(); noon == time.Saturday || noon == time.Sunday {
			continue
		}
		for i, consumer := range []string{"search", "web", "batch", "ai-platform/notebook-of-somebody", "mail", "trial", "e", "f", "g"} {
			nano := int64(day+3) * int64(9-i) * int64(9-i) * int64(1+(3*day+i)%7) * 345_678
			spent = append(spent, portal.Spent{Day: at, Consumer: consumer, Amount: money.FromNano(nano)})
		}
	}
	return spent, nil
}

// serveBusyRoute serves the pages of a busy route, with a forecast of each kind, and returns where.
func serveBusyRoute(t *testing.T) string {
	t.Helper()
	now := time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)
	b := &busy{}
	content, err := os.ReadFile("../../config/samples/mixtral-8x22b-instruct.yaml")
	if err == nil {
		err = yaml.UnmarshalStrict(content, &b.route)
	}
	if err != nil {
		t.Fatal(err)
	}
	monthly := func(state v1alpha1.BudgetState, spent, remaining string, percent int32) v1alpha1.BudgetStatus {
		return v1alpha1.BudgetStatus{
			Name: "monthly", State: state,
			Limit: "500.00", Spent: spent, Held: "0.05", Remaining: remaining, PercentUsed: &percent,
			WindowStart: &metav1.Time{Time: now.AddDate(0, 0, -26)}, ResetTime: &metav1.Time{Time: now.AddDate(0, 0, 4)},
		}
	}
	b.route.Status.Budgets = []v1alpha1.BudgetStatus{monthly("Warning", "480.10", "19.85", 96)}
	b.route.Status.Consumers = []v1alpha1.ConsumerStatus{
		{Name: "search", Spent: "210.00", Budgets: []v1alpha1.BudgetStatus{monthly("WithinBudget", "210.00", "289.95", 42)}},
		{Name: "ai-platform/notebook-of-somebody", Spent: "20.00"},
	}
	server := httptest.NewServer(portal.New(portal.Options{
		Source: b, History: b, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	return fmt.Sprintf("%s/routes/%s/%s", server.URL, b.route.Namespace, b.route.Name)
}
