package proxy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// table is everything that requests are decided by. It is never changed: a new configuration makes a new table, and a request keeps the
// one that it started with, so that a stream ends under the prices under which it was admitted.
type table struct {
	// hash names the configuration that the table was built from.
	hash string
	// routes are what the proxy asks the ledger's session for.
	routes []client.Route
	// byName are the routes of the configuration.
	byName map[client.Route]*routeconfig.Route
	keys   map[keyHash]*principal
	// tokens are those of ServiceAccounts; nil if the configuration accepts none.
	tokens *tokens
}

// keyHash is the SHA-256 of a consumer's key. Keys are found by their hash, so how long a search takes says nothing about the keys
// themselves.
type keyHash [sha256.Size]byte

// principal is whoever presents a key or the token of a ServiceAccount: the consumers, one for each route, that it stands for.
type principal struct {
	grants []*grant
	// models finds a grant by the name or an alias of its model.
	models map[string]*grant
	// mostBytes is how large a body may be: the largest that one of the routes takes.
	mostBytes int64
	// expires is when the key is refused, or the first grant of a ServiceAccount ends, in Unix seconds; 0 is never. It is kept here too,
	// and not only by the operator, so that a key ends in time whoever is down.
	expires int64
}

// grant is the right of one consumer to one route.
type grant struct {
	route    *routeconfig.Route
	consumer *routeconfig.Consumer
	// rules are those for the parameters of requests, for each upstream of the route.
	rules map[*routeconfig.Upstream]*openai.Rules
	// keyID names the key, or the ServiceAccount, in logs and traces.
	keyID string
	// meters are set when the table is measured.
	meters *grantMeters
}

// principals are all of a table, those of keys and those of tokens, each with whoever had the same key or account in the table before,
// which may be nil as he may be.
func (t *table) principals(before *table) iter.Seq2[*principal, *principal] {
	if before == nil {
		before = &table{}
	}
	return func(yield func(*principal, *principal) bool) {
		for hash, holder := range t.keys {
			if !yield(holder, before.keys[hash]) {
				return
			}
		}
		for account, holder := range t.tokens.all() {
			if !yield(holder, before.tokens.all()[account]) {
				return
			}
		}
	}
}

// denies says whether a budget of the route, of the consumer or of an upstream denies, so that each request must have a bound.
func (g *grant) denies() bool {
	return g.route.Denies || g.consumer.Denies ||
		slices.ContainsFunc(g.route.Upstreams, func(one routeconfig.Upstream) bool { return one.Denies })
}

// limits says whether every request is sent with a completion limit: because it must have a bound, or because the route has a limit.
func (g *grant) limits() bool { return g.denies() || g.route.MaxCompletionTokens > 0 }

// mostBytes is how large the body of a request of a route may be.
func mostBytes(route *routeconfig.Route) int64 {
	return cmp.Or(route.MaxRequestBytes, defaultRequestBytes)
}

func pricesOf(upstream *routeconfig.Upstream) pricing.Prices {
	charged := upstream.Pricing
	orPrompt := func(pico *int64) money.Price { return money.PriceFromPico(*cmp.Or(pico, &charged.PromptPicoUSD)) }
	return pricing.Prices{
		Prompt:       money.PriceFromPico(charged.PromptPicoUSD),
		Completion:   money.PriceFromPico(charged.CompletionPicoUSD),
		CachedPrompt: orPrompt(charged.CachedPromptPicoUSD),
		CacheWrite:   orPrompt(charged.CacheWritePicoUSD),
		Request:      money.FromNano(charged.RequestNanoUSD),
	}
}

// newTable builds the table of a configuration that routeconfig.Decode accepted. It is an error if a key reaches two models of one name.
func newTable(config routeconfig.Config, hash string) (*table, error) {
	built := &table{hash: hash, byName: map[client.Route]*routeconfig.Route{}, keys: map[keyHash]*principal{}}
	var err error
	if built.tokens, err = newTokens(config.Issuer); err != nil {
		return nil, err
	}
	for i := range config.Routes {
		route := &config.Routes[i]
		name := client.Route{Namespace: route.Namespace, Name: route.Name}
		built.routes = append(built.routes, name)
		built.byName[name] = route
		rules, err := rulesOf(route)
		if err != nil {
			return nil, fmt.Errorf("route %s/%s: %w", route.Namespace, route.Name, err)
		}
		for j := range route.Consumers {
			if err := built.addConsumer(route, rules, &route.Consumers[j]); err != nil {
				return nil, fmt.Errorf("route %s/%s: %w", route.Namespace, route.Name, err)
			}
		}
	}
	return built, nil
}

func (t *table) addConsumer(route *routeconfig.Route, rules map[*routeconfig.Upstream]*openai.Rules, consumer *routeconfig.Consumer) error {
	for _, key := range consumer.Keys {
		var hash keyHash
		if _, err := hex.Decode(hash[:], []byte(key.SHA256)); err != nil {
			return fmt.Errorf("the hash of key %s of consumer %s is no SHA-256", key.ID, consumer.Name)
		}
		holder := t.keys[hash]
		if holder == nil {
			holder = newPrincipal()
			t.keys[hash] = holder
		}
		holder.expires = earliest(holder.expires, key.Expires, consumer.Expires)
		if err := holder.add(&grant{route: route, consumer: consumer, rules: rules, keyID: key.ID}); err != nil {
			return err
		}
	}
	for _, account := range consumer.ServiceAccounts {
		if err := t.tokens.add(account, &grant{route: route, consumer: consumer, rules: rules, keyID: account.ID()}); err != nil {
			return err
		}
	}
	return nil
}

// earliest is the least of several times in Unix seconds, of which 0 is never.
func earliest(times ...int64) int64 {
	var first int64
	for _, at := range times {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

func newPrincipal() *principal { return &principal{models: map[string]*grant{}} }

// at is the principal of an account at a time, in Unix seconds: without the grants that have ended, which may be those of another ModelKey
// than the others; nil if none is left.
func (p *principal) at(now int64) *principal {
	if p.expires == 0 || now < p.expires {
		return p
	}
	left := newPrincipal()
	for _, granted := range p.grants {
		if at := granted.consumer.Expires; at == 0 || now < at {
			_ = left.add(granted) // it was added before, and to more
		}
	}
	if len(left.grants) == 0 {
		return nil
	}
	return left
}

func (p *principal) add(added *grant) error {
	model := added.route.Model
	for _, name := range append([]string{model.Name}, model.Aliases...) {
		if other, taken := p.models[name]; taken && other.route != added.route {
			return fmt.Errorf("key %s of consumer %s already reaches a model %q through route %s/%s",
				added.keyID, added.consumer.Name, name, other.route.Namespace, other.route.Name)
		}
		p.models[name] = added
	}
	p.grants = append(p.grants, added)
	p.mostBytes = max(p.mostBytes, mostBytes(added.route))
	return nil
}
