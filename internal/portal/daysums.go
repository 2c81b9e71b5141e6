package portal

import (
	"cmp"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// maxSeries is how many consumers have a series of their own: more colours than these are hard to tell apart.
const maxSeries = 5

// daySums are what was spent by day and series.
type daySums struct {
	names []string
	// othersAt is which of the series are all others; less than 0 if there is none.
	othersAt int
	// amounts are by day, and then by series.
	amounts [][]money.Amount
}

// sumUp makes a series of each of those that spent most, and one of all others.
func sumUp(spent []Spent, days []time.Time) daySums {
	dayOf := make(map[int64]int, len(days))
	for i, day := range days {
		dayOf[day.Unix()] = i
	}
	byConsumer := map[string]money.Amount{}
	for _, one := range spent {
		if _, known := dayOf[one.Day.Unix()]; known {
			byConsumer[one.Consumer] = byConsumer[one.Consumer].Add(one.Amount)
		}
	}
	sums := daySums{othersAt: -1}
	seriesOf := map[string]int{}
	for i, name := range mostFirst(byConsumer) {
		seriesOf[name] = min(i, maxSeries)
		sums.names = append(sums.names, name)
	}
	if others := len(sums.names) - maxSeries; others > 0 {
		sums.names, sums.othersAt = append(sums.names[:maxSeries], plural(int64(others), "other")), maxSeries
	}
	for range days {
		sums.amounts = append(sums.amounts, make([]money.Amount, len(sums.names)))
	}
	for _, one := range spent {
		day, isDay := dayOf[one.Day.Unix()]
		series, isSeries := seriesOf[one.Consumer]
		if isDay && isSeries {
			at := &sums.amounts[day][series]
			*at = at.Add(one.Amount)
		}
	}
	return sums
}

// mostFirst are those who spent anything, by how much, and then by name.
func mostFirst(spent map[string]money.Amount) []string {
	var names []string
	for name, total := range spent {
		if !total.IsZero() {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(spent[b].Cmp(spent[a]), cmp.Compare(a, b)) })
	return names
}

func (s daySums) ofSeries(series int) money.Amount {
	var sum money.Amount
	for _, day := range s.amounts {
		sum = sum.Add(day[series])
	}
	return sum
}

func (s daySums) total() money.Amount {
	var sum money.Amount
	for _, day := range s.amounts {
		sum = sum.Add(sumOf(day))
	}
	return sum
}

// most is what was spent on the day on which most was.
func (s daySums) most() money.Amount {
	var most money.Amount
	for _, day := range s.amounts {
		if sum := sumOf(day); sum.Cmp(most) > 0 {
			most = sum
		}
	}
	return most
}

func sumOf(amounts []money.Amount) money.Amount {
	var sum money.Amount
	for _, one := range amounts {
		sum = sum.Add(one)
	}
	return sum
}
