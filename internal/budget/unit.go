package budget

import (
	"strconv"

	"github.com/modelroute/modelroute/internal/money"
)

// Unit is what an account counts: money, or the requests or tokens of a rate limit.
type Unit int

const (
	// USD is money, counted in nano-USD.
	USD Unit = iota
	// Requests are counted one by one.
	Requests
	// Tokens are those of prompts and completions together, counted one by one.
	Tokens
)

// units is how many units there are.
const units = 3

func (u Unit) String() string { return [units]string{"USD", "requests", "tokens"}[u] }

// Format writes an amount of the unit for people: "1.5 USD", "3 requests".
func (u Unit) Format(amount money.Amount) string {
	if u == USD {
		return amount.String() + " USD"
	}
	return strconv.FormatInt(amount.Nano(), 10) + " " + u.String()
}

// Amounts is an amount of each unit. One that is not money is a count, of which one is what a nano-USD is of money: the rules by which
// it is lent and spent are the same.
type Amounts [units]money.Amount

// Add returns the sums.
func (a Amounts) Add(b Amounts) Amounts {
	for unit := range a {
		a[unit] = a[unit].Add(b[unit])
	}
	return a
}

// Sub returns the differences.
func (a Amounts) Sub(b Amounts) Amounts {
	for unit := range a {
		a[unit] = a[unit].Sub(b[unit])
	}
	return a
}

// Least returns the lesser of two in each unit.
func (a Amounts) Least(b Amounts) Amounts {
	for unit := range a {
		if b[unit].Cmp(a[unit]) < 0 {
			a[unit] = b[unit]
		}
	}
	return a
}
