package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

func TestLastUseIsWhenTheSpendWasLastSeenToRise(t *testing.T) {
	at := func(minutes int) *metav1.Time {
		return new(metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute)))
	}
	steps := []struct {
		why                string
		settled, uncertain int64
		minutes            int
		want               *metav1.Time
	}{
		{why: "the first figures say nothing of when it was", settled: 5, minutes: 0, want: nil},
		{why: "nothing was spent", settled: 5, minutes: 1, want: nil},
		{why: "something was spent", settled: 6, minutes: 2, want: at(2)},
		{why: "nothing more was spent", settled: 6, minutes: 60, want: at(2)},
		{why: "what may have been spent counts", settled: 6, uncertain: 3, minutes: 61, want: at(61)},
		{why: "it was less, as the upstream's books show", settled: 7, minutes: 62, want: at(61)},
		{why: "and something was spent again", settled: 8, minutes: 63, want: at(63)},
	}
	route := limitedRoute()
	key := &v1alpha1.ModelKey{ObjectMeta: metav1.ObjectMeta{Namespace: "search", Name: "crawler"}}
	for _, step := range steps {
		now := noon.Add(time.Duration(step.minutes) * time.Minute)
		usage := usageOf(step.settled*1000, step.uncertain*1000, 0)
		route = showing(route, usage, now)
		if diff := cmp.Diff(step.want, route.Status.Consumers[0].LastUseTime); diff != "" {
			t.Errorf("%s: of the consumer (-want +got):\n%s", step.why, diff)
		}
		spend := keySpend{types.NamespacedName{Namespace: "ai", Name: "mixtral"}: &ledgerpb.ConsumerUsage{Spend: usage.GetSpend()}}
		shown, _ := projectKeySpend(key, keyUsage{fresh: true, spend: spend}, now)
		key.Status.Spend, key.Status.LastUseTime = shown.Spend, shown.LastUse
		if diff := cmp.Diff(step.want, key.Status.LastUseTime); diff != "" {
			t.Errorf("%s: of the ModelKey (-want +got):\n%s", step.why, diff)
		}
	}
}

func TestLastUseIsWrittenWithTheFiguresAndNeverByItself(t *testing.T) {
	route := showing(limitedRoute(), usageOf(5000, 0, 0), noon)
	if _, due := projectSpend(route, usageOf(6000, 0, 0), noon.Add(time.Second)); due {
		t.Error("a status is written for the last use before its figures are due")
	}
	route = showing(route, usageOf(6000, 0, 0), noon.Add(time.Minute))
	if _, due := projectSpend(route, usageOf(6000, 0, 0), noon.Add(time.Hour)); due {
		t.Error("a status is written though nothing was spent")
	}
}
