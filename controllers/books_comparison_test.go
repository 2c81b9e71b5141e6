package controllers

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// standing is how both books stand so many minutes after noon, in US cents.
type standing struct{ minute, billed, settled, uncertain int64 }

func (s standing) look() look {
	cents := func(count int64) money.Amount { return money.FromNano(count * nanoPerCent) }
	return look{
		at: noon.Add(time.Duration(s.minute) * time.Minute), billed: cents(s.billed),
		settled: cents(s.settled), spent: cents(s.settled + s.uncertain),
	}
}

// compared is a comparison that has a baseline of nothing at minute 10, after looks at noon, and goes on with these.
func compared(looks ...standing) *comparison {
	c := &comparison{}
	for _, one := range append([]standing{{0, 7000, 500, 0}, {5, 7000, 500, 0}, {10, 7000, 500, 0}}, looks...) {
		c.add(one.look())
	}
	return c
}

func TestDriftIsWhatNeitherLagNorUncertaintyExplains(t *testing.T) {
	for reason, test := range map[string]struct {
		looks []standing
		cents int64
		state v1alpha1.BooksState
	}{
		"nothing happens":                                 {[]standing{{20, 7000, 500, 0}}, 0, v1alpha1.BooksAgreeing},
		"both grow by the same":                           {[]standing{{20, 7100, 600, 0}, {30, 7200, 700, 0}}, 0, v1alpha1.BooksAgreeing},
		"the upstream has just billed more":               {[]standing{{20, 7000, 500, 0}, {29, 7100, 500, 0}}, 0, v1alpha1.BooksAgreeing},
		"the upstream has billed more for long":           {[]standing{{20, 7100, 500, 0}, {30, 7100, 500, 0}}, 100, v1alpha1.BooksDrifting},
		"more and more":                                   {[]standing{{20, 7100, 500, 0}, {30, 7300, 500, 0}}, 100, v1alpha1.BooksDrifting},
		"what was billed is booked late":                  {[]standing{{20, 7100, 500, 0}, {30, 7100, 600, 0}}, 0, v1alpha1.BooksAgreeing},
		"more was just settled":                           {[]standing{{20, 7000, 500, 0}, {29, 7000, 600, 0}}, 0, v1alpha1.BooksAgreeing},
		"more is settled for long":                        {[]standing{{20, 7000, 600, 0}, {30, 7000, 600, 0}}, -100, v1alpha1.BooksDrifting},
		"the upstream bills late":                         {[]standing{{20, 7000, 600, 0}, {30, 7100, 600, 0}}, 0, v1alpha1.BooksAgreeing},
		"what is uncertain may have been billed":          {[]standing{{20, 7100, 500, 100}, {30, 7100, 500, 100}}, 0, v1alpha1.BooksAgreeing},
		"or not":                                          {[]standing{{20, 7000, 500, 100}, {30, 7000, 500, 100}}, 0, v1alpha1.BooksAgreeing},
		"but not more than that":                          {[]standing{{20, 7300, 500, 100}, {30, 7300, 500, 100}}, 200, v1alpha1.BooksDrifting},
		"a cent is nothing":                               {[]standing{{20, 7001, 500, 0}, {30, 7001, 500, 0}}, 1, v1alpha1.BooksAgreeing},
		"one percent is nothing":                          {[]standing{{20, 17000, 10400, 0}, {30, 17000, 10400, 0}}, 100, v1alpha1.BooksAgreeing},
		"more than one percent is":                        {[]standing{{20, 17000, 10399, 0}, {30, 17000, 10399, 0}}, 101, v1alpha1.BooksDrifting},
		"a ledger that forgets what was spent":            {[]standing{{20, 7100, 600, 0}, {30, 7100, 300, 0}}, 300, v1alpha1.BooksDrifting},
		"an upstream that was not there for an hour":      {[]standing{{20, 7000, 500, 0}, {80, 7500, 1000, 0}}, 0, v1alpha1.BooksAgreeing},
		"and what was wrong before that is wrong still":   {[]standing{{20, 7100, 500, 0}, {80, 7600, 1000, 0}}, 0, v1alpha1.BooksAgreeing},
		"which shows when the books were looked at again": {[]standing{{20, 7100, 500, 0}, {80, 7600, 900, 0}, {90, 7600, 900, 0}}, 200, v1alpha1.BooksDrifting},
	} {
		t.Run(reason, func(t *testing.T) {
			got, isThere := compared(test.looks...).finding()
			if !isThere {
				t.Fatal("nothing is found")
			}
			if got.drift.Nano() != test.cents*nanoPerCent || got.state() != test.state {
				t.Errorf("the drift is %s, %s; want %d cents, %s", got.drift, got.state(), test.cents, test.state)
			}
		})
	}
}

func TestWhatWasSpentBeforeAComparisonIsNoDrift(t *testing.T) {
	for reason, looks := range map[string][]standing{
		"billed after it began":        {{0, 7000, 500, 0}, {5, 7100, 500, 0}, {10, 7100, 500, 0}, {20, 7100, 500, 0}, {30, 7100, 500, 0}},
		"settled after it began":       {{0, 7000, 500, 0}, {5, 7000, 600, 0}, {10, 7000, 600, 0}, {20, 7000, 600, 0}, {30, 7000, 600, 0}},
		"uncertain when it began":      {{0, 7000, 500, 90}, {5, 7000, 500, 90}, {10, 7000, 500, 90}, {20, 7000, 590, 0}, {30, 7000, 590, 0}},
		"uncertain and billed by then": {{0, 7000, 500, 90}, {5, 7080, 500, 90}, {10, 7080, 500, 90}, {20, 7080, 580, 0}, {30, 7080, 580, 0}},
	} {
		c := &comparison{}
		for _, one := range looks {
			c.add(one.look())
		}
		if got, isThere := c.finding(); !isThere || !got.drift.IsZero() {
			t.Errorf("%s: the drift is %s, %t", reason, got.drift, isThere)
		}
	}
}

func TestAComparisonKeepsFewLooksAndSaysNothingAtFirst(t *testing.T) {
	c := &comparison{}
	for minute := range int64(600) {
		c.add(standing{minute, 7000 + minute, 500 + minute, 0}.look())
		if _, isThere := c.finding(); isThere != (minute >= 10) {
			t.Fatalf("after %d minutes something is said: %t", minute, isThere)
		}
		if len(c.looks) > 12 {
			t.Fatalf("%d looks are kept", len(c.looks))
		}
	}
	got, _ := c.finding()
	if !got.drift.IsZero() || got.billed.Nano() != 599*nanoPerCent || got.settled.Nano() != 599*nanoPerCent || !got.from.since.Equal(noon) {
		t.Errorf("found %+v", got)
	}
}
