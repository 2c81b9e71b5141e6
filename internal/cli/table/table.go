// Package table writes tables for people: columns of words and of amounts.
package table

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Nothing stands in a cell that has nothing to say.
const Nothing = "-"

// Column is a column of a table. Amounts stand with their ends below each other, words with their beginnings.
type Column struct {
	Title  string
	Amount bool
	// Optional columns are left out where all cells are zero.
	Optional bool
}

// Table is a table. Each row has a cell for each column.
type Table struct {
	Columns []Column
	Rows    [][]string
	// Paint returns a cell of a row in its colour; nil leaves all as they are. What it adds must take no room on the screen.
	Paint func(row []string, column int) string
}

// Write writes the table with its header. The error is the writer's.
func (t Table) Write(out io.Writer) error {
	const gap = "   "
	header := make([]string, 0, len(t.Columns))
	for _, column := range t.Columns {
		header = append(header, column.Title)
	}
	all := append([][]string{header}, t.Rows...)
	var text strings.Builder
	for number, row := range all {
		var line strings.Builder
		for i, column := range t.Columns {
			if column.Optional && t.allZero(i) {
				continue
			}
			cell, padding := row[i], strings.Repeat(" ", width(all, i)-utf8.RuneCountInString(row[i]))
			if t.Paint != nil && number > 0 {
				cell = t.Paint(row, i)
			}
			if column.Amount {
				line.WriteString(padding + cell + gap)
			} else {
				line.WriteString(cell + padding + gap)
			}
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func width(rows [][]string, column int) int {
	widest := slices.MaxFunc(rows, func(a, b []string) int {
		return utf8.RuneCountInString(a[column]) - utf8.RuneCountInString(b[column])
	})
	return utf8.RuneCountInString(widest[column])
}

func (t Table) allZero(column int) bool {
	return !slices.ContainsFunc(t.Rows, func(row []string) bool { return strings.Trim(row[column], "0.-") != "" })
}

// Places writes a decimal with six places, so that points stand below each other, and with all nine where it has them. What is empty is
// Nothing.
func Places(decimal string) string {
	if decimal == "" {
		return Nothing
	}
	whole, fraction, _ := strings.Cut(decimal, ".")
	return whole + "." + fraction + strings.Repeat("0", max(0, 6-len(fraction)))
}
