// Package guide reads the pages of the guide as people do: it finds the commands and the files that they are to copy, and runs the
// commands.
package guide

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Section is what a page has below a heading of the second level, or before the first one.
type Section struct {
	// Heading is empty for what is before the first one.
	Heading string
	Blocks  []Block
}

// Block is a fenced block.
type Block struct {
	// Language is what the fence says: sh, yaml; empty for none.
	Language, Text string
	// Line is that of the fence, from 1.
	Line int
	// File is the name that the text before it gives to a block of YAML: the last one in the section; empty if there is none.
	File string
}

var fileName = regexp.MustCompile("`([a-z-]+\\.yaml)`")

// Read reads a page.
func Read(page string) ([]Section, error) {
	content, err := os.ReadFile(page)
	if err != nil {
		return nil, fmt.Errorf("reading a page: %w", err)
	}
	sections := []Section{{}}
	var block *Block
	file := ""
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		language, isFence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		current := &sections[len(sections)-1]
		switch {
		case block != nil && isFence:
			current.Blocks = append(current.Blocks, *block)
			block = nil
		case block != nil:
			block.Text += line
		case isFence:
			block = &Block{Language: language, Line: number, File: file}
		case strings.HasPrefix(line, "## "):
			sections = append(sections, Section{Heading: strings.TrimSpace(line[3:])})
			file = ""
		default:
			if named := fileName.FindAllStringSubmatch(line, -1); len(named) > 0 {
				file = named[len(named)-1][1]
			}
		}
	}
	if block != nil {
		return nil, fmt.Errorf("%s:%d: this block does not end", page, block.Line)
	}
	return sections, nil
}
