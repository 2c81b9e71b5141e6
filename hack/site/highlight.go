package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/chroma/v2"
	chromahtml "github.com/alecthomas/chroma/v2/formatters/html"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/alecthomas/chroma/v2/styles"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

// highlighter colours blocks of code by classes, for which writeColours has the styles.
type highlighter struct{ formatter *chromahtml.Formatter }

func newHighlighter() *highlighter {
	return &highlighter{formatter: chromahtml.New(chromahtml.WithClasses(true), chromahtml.WithPreWrapper(scrollable{}))}
}

// scrollable is what a block of code is in: the keyboard reaches it, to scroll it where it is wider than the window.
type scrollable struct{}

// Start is called with whether there is code in it, as there always is here, and its attributes.
func (scrollable) Start(_ bool, attributes string) string {
	return `<pre tabindex="0"` + attributes + `><code>`
}

// End ends what Start began.
func (scrollable) End(bool) string { return `</code></pre>` }

// RegisterFuncs is what goldmark asks of a renderer.
func (h *highlighter) RegisterFuncs(registerer renderer.NodeRendererFuncRegisterer) {
	registerer.Register(ast.KindFencedCodeBlock, h.render)
	registerer.Register(ast.KindCodeSpan, renderSpan)
}

// breakable has long names of metrics, fields and files broken where a reader would break them.
var breakable = strings.NewReplacer("_", "_<wbr>", ".", ".<wbr>", "/", "/<wbr>")

func renderSpan(out util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		code := util.EscapeHTML([]byte(strings.ReplaceAll(textOf(node, source), "\n", " ")))
		_, _ = out.WriteString("<code>" + breakable.Replace(string(code)) + "</code>")
	}
	return ast.WalkSkipChildren, nil
}

func (h *highlighter) render(out util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	block := node.(*ast.FencedCodeBlock)
	var code strings.Builder
	for i := range block.Lines().Len() {
		line := block.Lines().At(i)
		code.Write(line.Value(source))
	}
	lexer := lexers.Fallback
	if language := string(block.Language(source)); language != "" {
		if known := lexers.Get(language); known != nil {
			lexer = known
		}
	}
	tokens, err := chroma.Coalesce(lexer).Tokenise(nil, code.String())
	if err != nil {
		return ast.WalkStop, fmt.Errorf("colouring a block of code: %w", err)
	}
	if err := h.formatter.Format(out, styles.Fallback, tokens); err != nil {
		return ast.WalkStop, fmt.Errorf("colouring a block of code: %w", err)
	}
	return ast.WalkSkipChildren, nil
}

// writeColours writes the styles of the classes. Each of the two has classes that the other leaves alone, so neither is below the other.
func writeColours(out io.Writer) error {
	formatter := newHighlighter().formatter
	for _, one := range []struct{ scheme, style string }{{"light", "github"}, {"dark", "github-dark"}} {
		_, _ = fmt.Fprintf(out, "@media (prefers-color-scheme: %s) {\n", one.scheme)
		if err := formatter.WriteCSS(out, styles.Get(one.style)); err != nil {
			return fmt.Errorf("writing the colours of code: %w", err)
		}
		_, _ = io.WriteString(out, "}\n")
	}
	return nil
}
