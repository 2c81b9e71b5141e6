package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// pageHead is what the page of the benchmarks begins with.
const pageHead = `# Benchmarks

Each section of this page is written by the benchmark that it names; do not edit it.
`

// WriteSection puts the section of one benchmark into the page, in place of the one that is there or at the end, and leaves the sections
// of the others as they are. Its headings begin at the second level.
func WriteSection(path, name, text string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = []byte(pageHead), nil
	}
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	changed := withSection(string(content), name, text)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil { //nolint:gosec // A page for everybody.
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

func withSection(page, name, text string) string {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
	section := begin + strings.TrimSpace(text) + "\n" + end
	before, rest, begun := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return page + "\n" + section
	}
	return before + section + after
}

// Prose is text as it stands here, with ' for the marks of Markdown that a raw string cannot have.
func Prose(text string) string { return strings.ReplaceAll(text, "'", "`") }
