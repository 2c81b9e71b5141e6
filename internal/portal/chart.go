package portal

import (
	"fmt"
	"math"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// The picture of a chart, in its own units, which are about a pixel each.
const (
	chartWidth, chartHeight = 420, 190
	// chartTop and chartFoot are where bars end and begin, chartEnd is where the last of them does.
	chartTop, chartFoot, chartEnd = 10, chartHeight - 24, chartWidth - 4
	// chartLetter is about how wide a letter is, and chartGap how far bars are apart.
	chartLetter, chartGap = 7, 2
)

// Chart is what was spent on each of some days, stacked by consumer: a picture, and a table with the same figures.
type Chart struct {
	Width, Height int
	// Days is how many days there are, TimeZone is whose days they are, Total what was spent in all, in USD.
	Days            int
	TimeZone, Total string
	// Series are the consumers that spent most, the first of them the most, and then all others as one.
	Series []Series
	// Lines are the heights that have a label, and Labels stand below the days.
	Lines  []Line
	Labels []Label
	// Rows are the days on which something was spent, the oldest first.
	Rows []Day
}

// Series is what has one colour: a consumer, or all others.
type Series struct{ Name, Class, Total string }

// Line is a height of the picture with what it stands for.
type Line struct {
	From, To, Y float64
	Label       Label
}

// Label is a text in the picture.
type Label struct {
	X, Y         float64
	Anchor, Text string
}

// Day is a day on which something was spent.
type Day struct {
	Date, Total string
	// Amounts are those of the series, in USD; empty for nothing.
	Amounts []string
	// Bars are the parts of the day's bar, from the bottom.
	Bars []Bar
}

// Bar is a rectangle of the picture.
type Bar struct {
	Class               string
	X, Y, Width, Height float64
}

// newChart draws what was spent on days that begin at these times, in their zone; nil if nothing was. What is of no such day is left out.
func newChart(spent []Spent, days []time.Time, location *time.Location) *Chart {
	sums := sumUp(spent, days)
	if len(sums.names) == 0 {
		return nil
	}
	chart := &Chart{
		Width: chartWidth, Height: chartHeight, Days: len(days), TimeZone: location.String(), Total: usd(sums.total()),
	}
	for i, name := range sums.names {
		class := fmt.Sprintf("series-%d", i+1)
		if i == sums.othersAt {
			class = "series-others"
		}
		chart.Series = append(chart.Series, Series{Name: name, Class: class, Total: usd(sums.ofSeries(i))})
	}
	at := newFrame(sums.most(), len(days))
	chart.Lines, chart.Labels = at.lines(), at.labels(days, location)
	for i, amounts := range sums.amounts {
		if total := sumOf(amounts); !total.IsZero() {
			day := Day{Date: days[i].In(location).Format(time.DateOnly), Total: usd(total), Bars: at.bars(i, amounts, chart.Series)}
			for _, amount := range amounts {
				day.Amounts = append(day.Amounts, something(amount.String()))
			}
			chart.Rows = append(chart.Rows, day)
		}
	}
	return chart
}

// frame is where in a picture things are.
type frame struct {
	// top is the amount that reaches chartTop. Its half is an amount as well.
	top money.Amount
	// left is where the first day begins, and slot how wide a day is.
	left, slot float64
}

func newFrame(most money.Amount, days int) frame {
	top := roundScale(most)
	longest := max(len(usd(top)), len(usd(halfOf(top))))
	left := float64(chartLetter * (longest + 1))
	return frame{top: top, left: left, slot: (chartEnd - left) / float64(days)}
}

// height is how tall an amount is. A picture may be off by less than anybody sees: the table has the figures.
func (f frame) height(amount money.Amount) float64 {
	return float64(max(amount.Nano(), 0)) / float64(f.top.Nano()) * (chartFoot - chartTop)
}

// lines are nothing, the half, and the top.
func (f frame) lines() []Line {
	amounts := []money.Amount{{}, halfOf(f.top), f.top}
	lines := make([]Line, 0, len(amounts))
	for _, amount := range amounts {
		y := chartFoot - f.height(amount)
		lines = append(lines, Line{
			From: tenths(f.left), To: chartEnd, Y: tenths(y),
			Label: Label{X: tenths(f.left - chartLetter), Y: tenths(y + chartLetter/2.0), Anchor: "end", Text: usd(amount)},
		})
	}
	return lines
}

// bars are one upon the other.
func (f frame) bars(day int, amounts []money.Amount, series []Series) []Bar {
	var bars []Bar
	y := float64(chartFoot)
	for i, amount := range amounts {
		if height := f.height(amount); height > 0 {
			y -= height
			bars = append(bars, Bar{
				Class: series[i].Class, X: tenths(f.left + f.slot*float64(day)), Y: tenths(y),
				Width: tenths(f.slot - chartGap), Height: tenths(height),
			})
		}
	}
	return bars
}

// labels are the dates of the first, the middle and the last day.
func (f frame) labels(days []time.Time, location *time.Location) []Label {
	label := func(day int, x float64, anchor string) Label {
		return Label{X: tenths(x), Y: chartHeight - chartLetter, Anchor: anchor, Text: days[day].In(location).Format("Jan 2")}
	}
	middle, last := len(days)/2, len(days)-1
	return []Label{
		label(0, f.left, "start"), label(middle, f.left+f.slot*(float64(middle)+0.5), "middle"), label(last, chartEnd, "end"),
	}
}

func halfOf(amount money.Amount) money.Amount { return money.FromNano(amount.Nano() / 2) }

// roundScale is the least amount that is no less, and easy to read: 1, 2 or 5, and zeros. Half of it is an amount as well.
func roundScale(most money.Amount) money.Amount {
	scale := int64(10)
	for step := 0; scale < most.Nano(); step++ {
		switch {
		case scale > math.MaxInt64/3:
			return money.Max
		case step%3 == 1: // After 1 and 2 is 5.
			scale = scale / 2 * 5
		default:
			scale *= 2
		}
	}
	return money.FromNano(scale)
}

// tenths keeps the page short: a browser does not draw more finely.
func tenths(length float64) float64 { return math.Round(length*10) / 10 }
