package portal

import (
	"math"
	"math/big"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// A forecast needs something to go by: an hour of the window, and a part of it, which is 2 %.
	forecastAfter = time.Hour
	forecastPart  = 50
	// longWindow is from how long on a window is spoken of in days.
	longWindow = 48 * time.Hour
)

// forecast says what becomes of a budget until its window ends if spending goes on as it has in this window so far. It is empty where that
// cannot be said: too little of the window is over, or all of it, or it never ends; and where nothing is spent, or all.
func forecast(spent, limit money.Amount, window budget.Window, location *time.Location, now time.Time) string {
	elapsed, whole := now.Sub(window.Start), window.End.Sub(window.Start)
	if elapsed < forecastAfter || elapsed < whole/forecastPart || elapsed >= whole || spent.Nano() <= 0 || spent.Cmp(limit) >= 0 {
		return ""
	}
	end := money.FromNano(proportion(spent.Nano(), int64(whole), int64(elapsed)))
	if end.Cmp(limit) <= 0 {
		return "At this rate it is about " + about(end) + " by the end."
	}
	at := window.Start.Add(time.Duration(proportion(int64(elapsed), limit.Nano(), spent.Nano()))).In(location)
	if whole > longWindow {
		return "At this rate it is used up on " + at.Format(time.DateOnly) + "."
	}
	return "At this rate it is used up at " + at.Format("15:04 MST") + "."
}

// proportion is what b is to c, as a part of a: a × b ÷ c, rounded down, and at most what fits. None of them is negative, and c is not 0.
func proportion(a, b, c int64) int64 {
	product := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
	if quotient := product.Quo(product, big.NewInt(c)); quotient.IsInt64() {
		return quotient.Int64()
	}
	return math.MaxInt64
}
