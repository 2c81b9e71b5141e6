package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

func TestNothingButTheHeartbeatsIsLeftOutOfWhatIsCompared(t *testing.T) {
	usage := &ledgerpb.RouteUsage{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Spend: &ledgerpb.Spend{SettledNanoUsd: 1},
		Budgets:   []*ledgerpb.BudgetUsage{{Refusing: true}},
		Consumers: []*ledgerpb.ConsumerUsage{{Name: "alice"}}, Upstreams: []*ledgerpb.UpstreamUsage{{Name: "main"}},
		Proxies: []*ledgerpb.ProxyStatus{{ProxyId: "p", Instance: "pod", ConfigHash: "hash", LastHeartbeat: timestamppb.Now()}},
	}
	for _, message := range []protoreflect.Message{usage.ProtoReflect(), usage.GetProxies()[0].ProtoReflect()} {
		for i := range message.Descriptor().Fields().Len() {
			if field := message.Descriptor().Fields().Get(i); !message.Has(field) {
				t.Fatalf("%s is a new field: set it here", field.FullName())
			}
		}
	}
	got := withoutHeartbeats(usage)
	want := cmp.Diff(usage, got, protocmp.Transform(), protocmp.IgnoreFields(&ledgerpb.ProxyStatus{}, "last_heartbeat"))
	if want != "" || got.GetProxies()[0].GetLastHeartbeat() != nil {
		t.Errorf("left out is more or less than the heartbeats:\n%s", want)
	}
}
