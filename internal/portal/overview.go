package portal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// Overview is the list of routes.
type Overview struct {
	// Query is what was searched for, Namespace the only one that is shown; empty for all.
	Query, Namespace string
	Rows             []Row
	// Total is how many there are without the search.
	Total int
}

// Row is a route in the list.
type Row struct {
	Namespace, Name, Title, Model, Maker string
	Availability                         Availability
	// ContextLength is a number of tokens.
	ContextLength string
	// Price is that of the first upstream.
	Price Price
	// Budget is the route's fullest one, of those that refuse requests if there are any; nil if it has none.
	Budget *Budget
	// Spent is what was spent in all, in USD.
	Spent string
}

// NewOverview lists the routes in whose texts all words of the query are, by namespace and name.
func NewOverview(routes []v1alpha1.ModelRoute, query, namespace string, now time.Time) Overview {
	shown := Overview{Query: query, Namespace: namespace, Total: len(routes), Rows: []Row{}}
	words := strings.Fields(strings.ToLower(query))
	for i := range routes {
		if route := &routes[i]; matches(route, words) {
			shown.Rows = append(shown.Rows, newRow(route, now))
		}
	}
	slices.SortFunc(shown.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return shown
}

func newRow(route *v1alpha1.ModelRoute, now time.Time) Row {
	served, _ := inForce(route)
	row := Row{
		Namespace: route.Namespace, Name: route.Name, Title: title(served), Model: compile.ModelName(served), Maker: maker(served),
		Availability: availability(route), ContextLength: count(served.Spec.Model.ContextLength),
	}
	if all := prices(served); len(all) > 0 {
		row.Price = all[0]
	}
	if spend := route.Status.Spend; spend != nil {
		row.Spent = dollars(spend.Total)
	}
	row.Budget = fullest(budgets(route.Spec.Budgets, route.Status.Budgets, now))
	return row
}

// matches reports whether all of the words, which are in lower case, are in what people know a route by.
func matches(route *v1alpha1.ModelRoute, words []string) bool {
	if len(words) == 0 {
		return true
	}
	model := route.Spec.Model
	texts := []string{route.Namespace, route.Name, model.Name, model.DisplayName, model.Description, maker(route)}
	texts = append(texts, model.Aliases...)
	for _, upstream := range route.Spec.Upstreams {
		texts = append(texts, upstream.Name, upstream.Model, string(upstream.Provider))
	}
	text := strings.ToLower(strings.Join(texts, "\n"))
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}
