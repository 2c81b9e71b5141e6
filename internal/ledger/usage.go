package ledger

import (
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// usageLog knows which figures are different since an earlier answer. A manager asks every second, and of thousands of routes few have
// spent since.
type usageLog struct {
	// mu is held from before the books are read, so that the log never goes back to older figures.
	mu sync.Mutex
	// process is the first part of every state, and revision the second: it is that of the last figure that was different.
	process  string
	revision uint64
	// noted are the figures of routes and shared owners by their names.
	noted map[string]noted
	seed  maphash.Seed
}

// noted is a digest of figures, and the revision with which it was new.
type noted struct {
	digest, revision uint64
}

func newUsageLog() *usageLog {
	return &usageLog{process: rand.Text(), noted: map[string]noted{}, seed: maphash.MakeSeed()}
}

// since notes all figures, and leaves of them those that are different since a state, if that is one of this process's. It is called with
// mu held.
func (l *usageLog) since(known string, all *ledgerpb.ListUsageResponse) (*ledgerpb.ListUsageResponse, error) {
	from, isKnown := l.revisionOf(known)
	next := l.revision + 1
	differs := func(name string, figures proto.Message, buffer *[]byte) (bool, error) {
		var err error
		if *buffer, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend((*buffer)[:0], figures); err != nil {
			return false, fmt.Errorf("encoding the figures of %s: %w", name, err)
		}
		its, digest := l.noted[name], maphash.Bytes(l.seed, *buffer)
		if its.revision == 0 || its.digest != digest {
			its = noted{digest: digest, revision: next}
			l.noted[name], l.revision = its, next
		}
		return its.revision > from, nil
	}
	answer := &ledgerpb.ListUsageResponse{Changes: isKnown}
	var buffer []byte
	for _, usage := range all.GetRoutes() {
		is, err := differs("route/"+usage.GetRoute().GetNamespace()+"/"+usage.GetRoute().GetName(), withoutHeartbeats(usage), &buffer)
		switch {
		case err != nil:
			return nil, err
		case is || !isKnown:
			answer.Routes = append(answer.Routes, usage)
		}
	}
	for _, usage := range all.GetShared() {
		is, err := differs(usage.GetOwner(), usage, &buffer)
		switch {
		case err != nil:
			return nil, err
		case is || !isKnown:
			answer.Shared = append(answer.Shared, usage)
		}
	}
	answer.State = l.process + "." + strconv.FormatUint(l.revision, 10)
	return answer, nil
}

// revisionOf is the revision of a state; there is none in a state of another process.
func (l *usageLog) revisionOf(state string) (uint64, bool) {
	process, number, _ := strings.Cut(state, ".")
	revision, err := strconv.ParseUint(number, 10, 64)
	if process != l.process || err != nil || revision > l.revision {
		return 0, false
	}
	return revision, true
}

// withoutHeartbeats is a route's usage without the times of its proxies' heartbeats, which are always new.
func withoutHeartbeats(usage *ledgerpb.RouteUsage) *ledgerpb.RouteUsage {
	if len(usage.GetProxies()) == 0 {
		return usage
	}
	figures := &ledgerpb.RouteUsage{
		Route: usage.GetRoute(), Spend: usage.GetSpend(), Budgets: usage.GetBudgets(), Consumers: usage.GetConsumers(),
		Upstreams: usage.GetUpstreams(), Proxies: make([]*ledgerpb.ProxyStatus, 0, len(usage.GetProxies())),
	}
	for _, proxy := range usage.GetProxies() {
		figures.Proxies = append(figures.Proxies, &ledgerpb.ProxyStatus{
			ProxyId: proxy.GetProxyId(), Instance: proxy.GetInstance(), ConfigHash: proxy.GetConfigHash(),
		})
	}
	return figures
}
