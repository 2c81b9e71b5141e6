package wire

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// cheapModel is a model of the upstream at a quarter of the price.
const cheapModel = "mistralai/mixtral-8x7b-instruct"

// withCheap is a world with a second upstream of the route, at which the cheap model is asked for.
func withCheap(change func(*routeconfig.Route), budgets ...*ledgerpb.Budget) world.Setup {
	models := upstream.DefaultModels()
	cheap := models[0]
	cheap.ID, cheap.Price = cheapModel, upstream.Price{Prompt: world.PromptNano / 4, Completion: world.CompletionNano / 4}
	return world.Setup{
		Upstream: upstream.Options{Models: append(models, cheap)},
		Budgets:  budgets,
		Edit: func(config *routeconfig.Config) {
			route := &config.Routes[0]
			added := route.Upstreams[0]
			added.Name, added.Model, added.Parameters = "cheap", cheapModel, nil
			added.Pricing = routeconfig.Pricing{PromptPicoUSD: world.PromptNano * 250, CompletionPicoUSD: world.CompletionNano * 250}
			route.Upstreams = append(route.Upstreams, added)
			change(route)
		},
	}
}

// asReserve keeps the cheap upstream for what the route's monthly budget refuses.
func asReserve(route *routeconfig.Route) {
	route.Upstreams[1].Reserve = true
	route.Reserves = []routeconfig.Reserve{{Budget: "monthly", Upstream: "cheap"}}
}

// billedFor is what the upstream billed for requests for a model.
func (c *client) billedFor(model string) (nano, requests int64) {
	for _, one := range c.Upstream.Billed(upstream.Filter{}).Requests {
		if one.Model == model {
			nano, requests = nano+one.CostNanoUSD, requests+1
		}
	}
	return nano, requests
}

// served asks until it is answered, as SDKs do while other requests hold the money.
func (c *client) served(body string) error {
	for {
		request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.URL+chatPath, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+c.key)
		response, err := c.Client.Do(request)
		if err != nil {
			return err
		}
		var text strings.Builder
		err = response.Write(&text)
		if err != nil || response.StatusCode == http.StatusOK {
			return err
		}
		if response.StatusCode != http.StatusTooManyRequests {
			return &unserved{text.String()}
		}
	}
}

type unserved struct{ answer string }

func (u *unserved) Error() string { return u.answer }

func TestABudgetThatRunsOutInMidUseGoesOnAtItsReserveToTheNano(t *testing.T) {
	t.Parallel()
	const clients, each, limit = 6, 5, 8_000_000
	limited := world.Monthly("", limit)
	limited.ExceptUpstream = "cheap"
	reserve := world.Plenty("")
	reserve.Ref.Upstream = "cheap"
	c := begin(t, withCheap(asReserve, limited, reserve, world.Plenty(world.Consumer)))
	ended := make(chan error, clients)
	for i := range clients {
		go func() {
			var err error
			for n := 0; n < each && err == nil; n++ {
				err = c.served(asking("answer=200", short+[]string{"", streamed}[(i+n)%2]))
			}
			ended <- err
		}()
	}
	for range clients {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	books := c.Spends()
	main, mainRequests := c.billedFor(world.UpstreamModel)
	cheap, cheapRequests := c.billedFor(cheapModel)
	if mainRequests+cheapRequests != clients*each || mainRequests == 0 || cheapRequests == 0 || main > limit {
		t.Errorf("%d requests at the first upstream for %d of %d nano-USD, %d at the reserve", mainRequests, main, limit, cheapRequests)
	}
	want := map[string]world.Spend{
		"route":                                        {Settled: main + cheap},
		"budget monthly of the route":                  {Settled: main},
		"budget monthly of upstream cheap":             {Settled: cheap},
		"consumer " + world.Consumer:                   {Settled: main + cheap},
		"budget monthly of consumer " + world.Consumer: {Settled: main + cheap},
	}
	if diff := cmp.Diff(want, books); diff != "" {
		t.Errorf("the books (-want +got):\n%s", diff)
	}
}

func TestAnUpstreamWithABudgetServesUntilItIsUsedUp(t *testing.T) {
	t.Parallel()
	limited := world.Monthly("", 3_000_000)
	limited.Ref.Upstream = "openrouter"
	c := begin(t, withCheap(func(*routeconfig.Route) {}, limited))
	for range 6 {
		c.ask(asking("answer=200", short)).expectOK(t)
	}
	books := c.Spends()
	main, first := c.billedFor(world.UpstreamModel)
	cheap, then := c.billedFor(cheapModel)
	if first == 0 || then == 0 || main > 3_000_000 {
		t.Errorf("%d requests at the first upstream for %d nano-USD, %d at the second", first, main, then)
	}
	want := map[string]world.Spend{
		"route":                                 {Settled: main + cheap},
		"budget monthly of upstream openrouter": {Settled: main},
		"consumer " + world.Consumer:            {Settled: main + cheap},
	}
	if diff := cmp.Diff(want, books); diff != "" {
		t.Errorf("the books (-want +got):\n%s", diff)
	}
}
