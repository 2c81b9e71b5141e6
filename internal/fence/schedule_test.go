package fence_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/fence"
	"github.com/modelroute/modelroute/internal/money"
)

var (
	zones   = []string{"", "Etc/UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Kiritimati", "Antarctica/Troll"}
	periods = []budget.Period{budget.Hour, budget.Day, budget.Week, budget.Month, budget.Year, budget.Total}
)

const headroomPercent = 10

// spending is one request: admitted under the budget, and billed to the key when it ends.
type spending struct {
	admitted, billed time.Time
	cost             money.Amount
}

// schedule is a route whose budget holds, and the key at its upstream.
type schedule struct {
	t   *rapid.T
	now time.Time

	budget   fence.Budget
	all      []spending
	limit    fence.Limit
	asked    fence.Ask
	headroom money.Amount
}

// Whatever is spent as the budget allows, and however the budget is changed meanwhile, the key pays for it. What is under way at any time
// is within the headroom, as it has to be.
func TestTheFenceNeverDeniesWhatTheBudgetAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &schedule{t: t, now: time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 27, 12, 0, 0, 0, time.UTC)}
		s.budget = drawBudget(t)
		s.limit = fence.Around([]fence.Budget{s.budget}, headroomPercent)
		s.asked = s.limit.First()
		s.headroom = s.limitHeadroom()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s.now = s.now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 90), rapid.IntRange(0, 60*60)).Draw(t, "minutes")) * time.Minute)
			switch rapid.SampledFrom([]string{"spend", "spend", "spend", "look", "change"}).Draw(t, "what") {
			case "spend":
				s.spend()
			case "look":
				s.asked = s.limit.Next(s.key(), false)
			case "change":
				s.change(drawBudget(t))
			}
		}
	})
}

func drawBudget(t *rapid.T) fence.Budget {
	one := fence.Budget{
		Amount: money.FromNano(rapid.Int64Range(0, 100*money.NanoPerUSD).Draw(t, "amount")),
		Period: rapid.SampledFrom(periods).Draw(t, "period"),
	}
	if one.Period != budget.Total {
		one.TimeZone = rapid.SampledFrom(zones).Draw(t, "zone")
	}
	return one
}

// limitHeadroom is a tenth of what the budget allows in one window, which is the least that is there for what is under way.
func (s *schedule) limitHeadroom() money.Amount {
	return money.FromNano(s.budget.Amount.Nano() / (100 / headroomPercent))
}

// change changes the budget, and the key with it: to more before, to less after, which is the same here.
func (s *schedule) change(to fence.Budget) {
	limit := fence.Around([]fence.Budget{to}, headroomPercent)
	s.budget = to
	s.asked = limit.Next(s.key(), limit.Terms() != s.limit.Terms())
	s.limit = limit
	s.headroom = min2(s.headroom, s.limitHeadroom())
}

func min2(a, b money.Amount) money.Amount {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// spend has a request as large as the budget allows, or smaller, and fails if the key would not pay for it.
func (s *schedule) spend() {
	left := s.budget.Amount.Sub(s.spentOfBudget())
	if left.Nano() <= 0 {
		return
	}
	cost := money.FromNano(rapid.Int64Range(1, left.Nano()).Draw(s.t, "cost"))
	if rapid.Bool().Draw(s.t, "all") {
		cost = left
	}
	one := spending{admitted: s.now, billed: s.now, cost: cost}
	if long := s.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(s.t, "long")) * time.Minute); s.underWay().Add(cost).Cmp(s.headroom) <= 0 {
		one.billed = long
	}
	if key := s.key(); key.Limited && key.Amount.Sub(key.Used[key.Reset]).Sub(s.underWay()).Cmp(cost) < 0 {
		s.t.Fatalf("at %v the budget %+v has %v left for %v, and the key (%v) has spent %v of %v, with %v under way",
			s.now, s.budget, left, cost, s.limit, key.Used[key.Reset], key.Amount, s.underWay())
	}
	s.all = append(s.all, one)
}

func (s *schedule) spentOfBudget() money.Amount {
	return s.sum(func(one spending) bool {
		calendar, err := budget.NewCalendar(s.budget.Period, s.budget.TimeZone)
		if err != nil {
			s.t.Fatal(err)
		}
		return !one.admitted.Before(calendar.WindowAt(s.now).Start)
	})
}

func (s *schedule) underWay() money.Amount {
	return s.sum(func(one spending) bool { return one.billed.After(s.now) })
}

// key is how the upstream has it.
func (s *schedule) key() fence.Key {
	key := fence.Key{Limited: s.asked.Limited, Amount: s.asked.Amount, Reset: s.asked.Reset, Used: map[fence.Reset]money.Amount{}}
	for reset, began := range windowsOf(s.now) {
		key.Used[reset] = s.sum(func(one spending) bool { return !one.billed.After(s.now) && !one.billed.Before(began) })
	}
	return key
}

func (s *schedule) sum(counts func(spending) bool) money.Amount {
	sum := money.Amount{}
	for _, one := range s.all {
		if counts(one) {
			sum = sum.Add(one.cost)
		}
	}
	return sum
}

// windowsOf are the beginnings of OpenRouter's windows at a time.
func windowsOf(now time.Time) map[fence.Reset]time.Time {
	midnight := now.Truncate(24 * time.Hour)
	return map[fence.Reset]time.Time{
		fence.Never:   {},
		fence.Daily:   midnight,
		fence.Weekly:  midnight.AddDate(0, 0, -(int(now.Weekday())+6)%7),
		fence.Monthly: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC),
	}
}

// What a key may spend is bounded: after a change it sinks to the limit, and stays there.
func TestTheFenceSettlesAtItsLimitOnceTheWindowsHaveTurned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := fence.Around([]fence.Budget{drawBudget(t)}, headroomPercent)
		used := money.FromNano(rapid.Int64Range(0, 1000*money.NanoPerUSD).Draw(t, "used"))
		key := fence.Key{Limited: rapid.Bool().Draw(t, "limited"), Amount: used, Reset: fence.Monthly, Used: map[fence.Reset]money.Amount{
			fence.Never: used, fence.Daily: used, fence.Weekly: used, fence.Monthly: used,
		}}
		ask := limit.Next(key, true)
		if ceiling := used.Add(limit.Amount).Add(money.FromNano(money.NanoPerUSD / 100)); ask.Amount.Cmp(ceiling) > 0 {
			t.Fatalf("it asks for %v, with %v used, on the way to %v", ask.Amount, used, limit)
		}
		for reset := range key.Used {
			key.Used[reset] = money.Amount{}
		}
		for range 2 {
			key.Limited, key.Amount, key.Reset = ask.Limited, ask.Amount, ask.Reset
			ask = limit.Next(key, false)
		}
		if ask != limit.First() {
			t.Fatalf("it settles at %+v, not at %v", ask, limit)
		}
		key.Used[limit.Reset] = limit.Amount
		if again := limit.Next(key, false); again != ask || !again.Fits(key) {
			t.Fatalf("with all of it used it asks for %+v", again)
		}
	})
}

// A window of the key meets no more windows of a budget than the limit has room for.
func TestAWindowOfTheKeyMeetsAsManyWindowsOfTheBudgetAsThereIsRoomFor(t *testing.T) {
	for _, period := range periods[:len(periods)-1] {
		for _, zone := range zones {
			calendar, err := budget.NewCalendar(period, zone)
			if err != nil {
				t.Fatal(err)
			}
			limit := fence.Around([]fence.Budget{{Amount: money.FromNano(money.NanoPerUSD), Period: period, TimeZone: zone}}, 0)
			room := limit.Amount.Nano() / money.NanoPerUSD
			for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2028; at = nextWindow(limit.Reset, at) {
				met := int64(0)
				for window := calendar.WindowAt(at); window.Start.Before(nextWindow(limit.Reset, at)); window = calendar.WindowAt(window.End) {
					met++
				}
				if met > room {
					t.Fatalf("%s in %q: the window from %v meets %d, and has room for %d", period, zone, at, met, room)
				}
			}
		}
	}
}

// nextWindow is when the key's window ends that begins at a time, or that contains it.
func nextWindow(reset fence.Reset, at time.Time) time.Time {
	began := windowsOf(at)[reset]
	switch reset {
	case fence.Weekly:
		return began.AddDate(0, 0, 7)
	case fence.Monthly:
		return began.AddDate(0, 1, 0)
	default:
		return began.AddDate(0, 0, 1)
	}
}

func TestTheTightestBudgetMakesTheLimit(t *testing.T) {
	usd := func(amount int64) money.Amount { return money.FromNano(amount * money.NanoPerUSD) }
	monthly := fence.Budget{Amount: usd(500), Period: budget.Month}
	cases := map[string]struct {
		budgets []fence.Budget
		want    string
	}{
		"no budget":                      {nil, "none"},
		"one in UTC":                     {[]fence.Budget{monthly}, "550.00 USD monthly"},
		"one in another zone":            {[]fence.Budget{{Amount: usd(500), Period: budget.Month, TimeZone: "Europe/Berlin"}}, "1100.00 USD monthly"},
		"an hour":                        {[]fence.Budget{{Amount: usd(1), Period: budget.Hour}}, "26.40 USD daily"},
		"a year":                         {[]fence.Budget{{Amount: usd(1000), Period: budget.Year}}, "1100.00 USD monthly"},
		"all that is ever spent":         {[]fence.Budget{monthly, {Amount: usd(500), Period: budget.Total}}, "550.00 USD in all"},
		"a day that allows less":         {[]fence.Budget{monthly, {Amount: usd(10), Period: budget.Day}}, "11.00 USD daily"},
		"a day that allows more":         {[]fence.Budget{monthly, {Amount: usd(20), Period: budget.Day}}, "550.00 USD monthly"},
		"a week that allows less":        {[]fence.Budget{{Amount: usd(80), Period: budget.Week}, monthly}, "88.00 USD weekly"},
		"nothing":                        {[]fence.Budget{{Period: budget.Month}}, "0.01 USD monthly"},
		"a fraction of a cent":           {[]fence.Budget{{Amount: money.FromNano(1), Period: budget.Month}}, "0.01 USD monthly"},
		"more than can be written":       {[]fence.Budget{{Amount: usd(999_999_999), Period: budget.Hour}}, "none"},
		"one that can, and one that not": {[]fence.Budget{{Amount: usd(999_999_999), Period: budget.Hour}, monthly}, "550.00 USD monthly"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := fence.Around(tc.budgets, headroomPercent).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			slices.Reverse(tc.budgets)
			if got := fence.Around(tc.budgets, headroomPercent).String(); got != tc.want {
				t.Errorf("in the other order: got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestALimitThatIsChangedByHandIsPutBack(t *testing.T) {
	usd := func(amount int64) money.Amount { return money.FromNano(amount * money.NanoPerUSD) }
	limit := fence.Around([]fence.Budget{{Amount: usd(100), Period: budget.Month}}, headroomPercent)
	for _, other := range []fence.Key{
		{}, {Limited: true, Amount: usd(1000), Reset: fence.Monthly}, {Limited: true, Amount: usd(1), Reset: fence.Monthly},
		{Limited: true, Amount: usd(110), Reset: fence.Daily}, {Limited: true, Amount: usd(110)},
	} {
		if ask := limit.Next(other, false); ask.Fits(other) || ask != limit.First() {
			t.Errorf("of %+v it makes %+v", other, ask)
		}
	}
	near := fence.Key{Limited: true, Amount: usd(110).Add(money.FromNano(1)), Reset: fence.Monthly}
	if ask := limit.Next(near, false); !ask.Fits(near) {
		t.Errorf("a rounding of the upstream's is taken for a change")
	}
}
