package compile_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

var noon = time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC)

func credit(name string, amount v1alpha1.USD, until time.Time) v1alpha1.Credit {
	return v1alpha1.Credit{Name: name, Amount: amount, Reason: "because", ExpireTime: new(metav1.NewTime(until))}
}

func TestCreditsCountUntilTheyExpire(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
	route.Spec.Budgets = []v1alpha1.Budget{{
		Name: "monthly", Amount: "5", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
		Credits: []v1alpha1.Credit{credit("first", "0.5", noon.Add(time.Hour)), credit("second", "0.25", noon.Add(2*time.Hour))},
	}}
	route.Spec.Consumers, route.Spec.Upstreams[1].Budgets = nil, nil
	for _, test := range []struct {
		why  string
		at   time.Time
		nano int64
		next time.Time
	}{
		{"both count", noon, 5_750_000_000, noon.Add(time.Hour)},
		{"both count to the last moment", noon.Add(time.Hour - time.Nanosecond), 5_750_000_000, noon.Add(time.Hour)},
		{"one has expired", noon.Add(time.Hour), 5_250_000_000, noon.Add(2 * time.Hour)},
		{"both have", noon.Add(2 * time.Hour), 5_000_000_000, time.Time{}},
	} {
		request, err := compile.Budgets(route, nil, nil, "server", test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := request.GetBudgets()[0].GetLimit(); got != test.nano {
			t.Errorf("%s: the limit is %d nano-USD, want %d", test.why, got, test.nano)
		}
		if next := compile.NextExpiry(route, nil, nil, test.at); !next.Equal(test.next) {
			t.Errorf("%s: the next expires at %s, want %s", test.why, next, test.next)
		}
	}
}

func TestCreditsNeverTakeALimitBeyondWhatTheLedgerCounts(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
	route.Spec.Budgets[0].Amount = "999999999.999999999"
	route.Spec.Budgets[0].Credits = []v1alpha1.Credit{credit("more", "999999999", noon.Add(time.Hour))}
	request, err := compile.Budgets(route, nil, nil, "server", noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range request.GetBudgets() {
		ref := budget.GetRef()
		isIt := ref.GetName() == route.Spec.Budgets[0].Name && ref.GetUnit() == ledgerpb.Unit_UNIT_UNSPECIFIED
		if isIt && budget.GetLimit() != 999_999_999_999_999_999 {
			t.Errorf("the limit is %d nano-USD", budget.GetLimit())
		}
	}
}

func TestBadCreditsAreNamed(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
	route.Spec.Budgets[0].Credits = []v1alpha1.Credit{credit("a", "much", noon), credit("a", "1", noon)}
	errs := compile.Validate(route)
	if len(errs) != 2 || errs[0].Field != "spec.budgets[0].credits[0].amount" || errs[1].Field != "spec.budgets[0].credits[1].name" {
		t.Errorf("errors %v, want one for the amount and one for the name", errs)
	}
}

func TestTheCreditsOfAnUpstreamsBudgetExpireToo(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
	route.Spec.Budgets, route.Spec.Consumers = nil, nil
	route.Spec.Upstreams[1].Budgets[0].Credits = []v1alpha1.Credit{credit("fair", "5", noon.Add(time.Hour))}
	if next := compile.NextExpiry(route, nil, nil, noon); !next.Equal(noon.Add(time.Hour)) {
		t.Errorf("the next expires at %s, want %s", next, noon.Add(time.Hour))
	}
}
