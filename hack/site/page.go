package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extensionast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// markdown is GitHub's dialect, but that cells are aligned by an attribute, since pages have no inline style. HTML is passed on: the pages
// are our own, and have comments.
var markdown = goldmark.New(
	goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Strikethrough, extension.Linkify, extension.TaskList,
	),
	goldmark.WithRendererOptions(html.WithUnsafe(), renderer.WithNodeRenderers(util.Prioritized(newHighlighter(), 1))),
)

// page is a file of Markdown.
type page struct {
	// path is where it is in the repository.
	path     string
	source   []byte
	document ast.Node
	// title is its first heading.
	title    string
	headings []heading
}

// heading is one of a page's, with the anchor by which GitHub and the site link to it.
type heading struct {
	Level        int
	Anchor, Text string
}

func parsePage(path string, source []byte) (*page, error) {
	parsed := &page{path: path, source: source, document: markdown.Parser().Parse(text.NewReader(source))}
	seen := map[string]int{}
	err := ast.Walk(parsed.document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if table, isTable := node.(*extensionast.Table); isTable {
			table.SetAttributeString("tabindex", []byte("0")) // As a block of code, it may be wider than the window.
		}
		found, isHeading := node.(*ast.Heading)
		if !entering || !isHeading {
			return ast.WalkContinue, nil
		}
		one := heading{Level: found.Level, Text: textOf(found, source)}
		one.Anchor = anchor(one.Text, seen)
		found.SetAttributeString("id", []byte(one.Anchor))
		parsed.headings = append(parsed.headings, one)
		return ast.WalkSkipChildren, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(parsed.headings) == 0 || parsed.headings[0].Level != 1 {
		return nil, fmt.Errorf("%s has no title: begin it with a line such as # Budgets", path)
	}
	parsed.title = parsed.headings[0].Text
	return parsed, nil
}

// textOf is what a reader sees of a node.
func textOf(node ast.Node, source []byte) string {
	var out strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		switch one := child.(type) {
		case *ast.Text:
			out.Write(one.Segment.Value(source))
		case *ast.String:
			out.Write(one.Value)
		default:
			out.WriteString(textOf(one, source))
		}
	}
	return out.String()
}

// anchor is GitHub's for a heading: in small letters, with hyphens for spaces, without punctuation, and with a number if the page has had
// the same before.
func anchor(heading string, seen map[string]int) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
	seen[plain]++
	if before := seen[plain] - 1; before > 0 {
		return fmt.Sprintf("%s-%d", plain, before)
	}
	return plain
}

func (p *page) hasAnchor(name string) bool {
	for _, one := range p.headings {
		if one.Anchor == name {
			return true
		}
	}
	return false
}

// eachLink calls visit with the destination of each link and image, which visit may change.
func (p *page) eachLink(visit func(destination *[]byte, isImage bool) error) error {
	return ast.Walk(p.document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch one := node.(type) {
		case *ast.Link:
			return ast.WalkContinue, visit(&one.Destination, false)
		case *ast.Image:
			return ast.WalkContinue, visit(&one.Destination, true)
		}
		return ast.WalkContinue, nil
	})
}
