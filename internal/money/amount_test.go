package money_test

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
)

func TestAddIsTheSumHeldAtTheEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		want := saturated(new(big.Int).Add(bigOf(a), bigOf(b)))
		if got := a.Add(b); got != want {
			t.Fatalf("%d + %d = %d, want %d", a.Nano(), b.Nano(), got.Nano(), want.Nano())
		}
	})
}

func TestSubIsTheDifferenceHeldAtTheEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		want := saturated(new(big.Int).Sub(bigOf(a), bigOf(b)))
		if got := a.Sub(b); got != want {
			t.Fatalf("%d - %d = %d, want %d", a.Nano(), b.Nano(), got.Nano(), want.Nano())
		}
	})
}

func TestArithmeticSaturates(t *testing.T) {
	lowest, one, minusOne := money.FromNano(math.MinInt64), money.FromNano(1), money.FromNano(-1)
	for reason, test := range map[string]struct{ got, want money.Amount }{
		"the largest sum stays the largest":                {money.Max.Add(one), money.Max},
		"the largest doubled stays the largest":            {money.Max.Add(money.Max), money.Max},
		"the lowest sum stays the lowest":                  {lowest.Add(minusOne), lowest},
		"the lowest doubled stays the lowest":              {lowest.Add(lowest), lowest},
		"taking a debt away from the largest":              {money.Max.Sub(minusOne), money.Max},
		"taking from the lowest":                           {lowest.Sub(one), lowest},
		"the lowest has no counterpart among the positive": {money.Amount{}.Sub(lowest), money.Max},
		"one below that just fits":                         {minusOne.Sub(lowest), money.Max},
		"the ends together are one short of nothing":       {money.Max.Add(lowest), minusOne},
	} {
		t.Run(reason, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("got %d, want %d", test.got.Nano(), test.want.Nano())
			}
		})
	}
}

func TestComparisonIsThatOfTheNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		want := bigOf(a).Cmp(bigOf(b))
		if got := a.Cmp(b); got != want {
			t.Errorf("Cmp(%d, %d) = %d, want %d", a.Nano(), b.Nano(), got, want)
		}
		if a.Equal(b) != (want == 0) {
			t.Errorf("Equal(%d, %d) = %v", a.Nano(), b.Nano(), a.Equal(b))
		}
		if a.IsZero() != (bigOf(a).Sign() == 0) || a.IsNegative() != (bigOf(a).Sign() < 0) {
			t.Errorf("%d: IsZero = %v, IsNegative = %v", a.Nano(), a.IsZero(), a.IsNegative())
		}
	})
}

func TestPercentOfIsTheWholePercentageRoundedDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spent, limit := amounts().Draw(t, "spent"), amounts().Draw(t, "limit")
		if got, want := spent.PercentOf(limit), percentTruth(spent, limit); got != want {
			t.Fatalf("%d is %d %% of %d, want %d %%", spent.Nano(), got, limit.Nano(), want)
		}
	})
}

func percentTruth(spent, limit money.Amount) int32 {
	if limit.Nano() <= 0 {
		return 100
	}
	percent := new(big.Int).Mul(bigOf(spent), big.NewInt(100))
	percent.Div(percent, bigOf(limit))
	switch {
	case percent.Sign() < 0:
		return 0
	case percent.Cmp(big.NewInt(math.MaxInt32)) > 0:
		return math.MaxInt32
	}
	return int32(percent.Int64())
}

func TestPercentOf(t *testing.T) {
	for reason, test := range map[string]struct {
		spent, limit int64
		want         int32
	}{
		"one nano-USD short of the limit is not 100 %":   {spent: 499_999_999_999, limit: 500_000_000_000, want: 99},
		"the limit is 100 %":                             {spent: 500_000_000_000, limit: 500_000_000_000, want: 100},
		"a debt shows above 100 %":                       {spent: 750_000_000_000, limit: 500_000_000_000, want: 150},
		"a limit of nothing is used up from the start":   {spent: 0, limit: 0, want: 100},
		"a limit below nothing is used up":               {spent: -5, limit: -1, want: 100},
		"spend below nothing shows as nothing":           {spent: -5, limit: 10, want: 0},
		"what no status field can hold stays at its end": {spent: math.MaxInt64, limit: 1, want: math.MaxInt32},
		"a hundredfold that is just beyond 64 bits":      {spent: 184_467_440_737_095_517, limit: 1, want: math.MaxInt32},
		"the largest limit":                              {spent: math.MaxInt64 - 1, limit: math.MaxInt64, want: 99},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := money.FromNano(test.spent).PercentOf(money.FromNano(test.limit)); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestAmountsAreReadableInJSON(t *testing.T) {
	encoded, err := json.Marshal(map[string]money.Amount{"spent": money.FromNano(12_345_678_000)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(encoded), `{"spent":"12.345678"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
