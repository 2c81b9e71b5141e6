package client

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
)

// Rate is where a rate limit stood when a hold was opened. Its numbers are requests or tokens.
type Rate struct {
	Unit  budget.Unit
	Limit int64
	// Remaining is what could still be had, as far as is known here: what others have drawn and not used is not in it.
	Remaining int64
	// ResetsIn is the time to the end of the window.
	ResetsIn time.Duration
}

// Rates are the rate limits that the hold counts against, of each unit the one with the least remaining.
func (h *Hold) Rates() []Rate {
	c := h.client
	c.mu.Lock()
	defer c.mu.Unlock()
	var rates []Rate
	for _, s := range h.slices {
		if s.unit == budget.USD {
			continue
		}
		rate := Rate{
			Unit: s.unit, Limit: s.told.limit.Nano(), Remaining: s.told.free.Add(s.free).Nano(), ResetsIn: s.ends.Sub(c.options.Now()),
		}
		rates = tighter(rates, rate)
	}
	return rates
}

// tighter puts a rate among others, of which each has another unit, unless one is tighter.
func tighter(rates []Rate, one Rate) []Rate {
	for i := range rates {
		if rates[i].Unit == one.Unit {
			if one.Remaining < rates[i].Remaining {
				rates[i] = one
			}
			return rates
		}
	}
	return append(rates, one)
}
