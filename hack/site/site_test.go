package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"
)

const (
	repositoryRoot = "../.."
	repositoryURL  = "https://github.com/modelroute/modelroute"
)

func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	repository := newTree(os.DirFS(repositoryRoot))
	for _, name := range pagesToCheck(t) {
		checked, err := repository.page(name)
		if err != nil {
			t.Error(err)
			continue
		}
		err = checked.eachLink(func(destination *[]byte, _ bool) error {
			if _, err := repository.find(checked, string(*destination)); err != nil {
				t.Error(err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// pagesToCheck are the pages of the guide and those that people read in the repository.
func pagesToCheck(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md", "CONTRIBUTING.md", "charts/modelroute/README.md", "hack/cluster/README.md", "hack/upstream/README.md"}
	guidePages, err := fs.Glob(os.DirFS(repositoryRoot), guide+"/*.md")
	if err != nil || len(guidePages) == 0 {
		t.Fatalf("there are no pages: %v", err)
	}
	return append(pages, guidePages...)
}

func TestEveryPageOfTheGuideIsReachedFromTheREADME(t *testing.T) {
	repository := newTree(os.DirFS(repositoryRoot))
	reached, queue := map[string]bool{"README.md": true}, []string{"README.md"}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		from, err := repository.page(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = from.eachLink(func(destination *[]byte, _ bool) error {
			to, err := repository.find(from, string(*destination))
			if to.isDirectory {
				to.path += "/README.md" // What GitHub shows of a folder.
			}
			if _, missing := fs.Stat(repository.files, to.path); err == nil && missing == nil && path.Ext(to.path) == ".md" && !reached[to.path] {
				reached[to.path] = true
				queue = append(queue, to.path)
			}
			return nil
		})
	}
	for _, name := range pagesToCheck(t) {
		if !reached[name] {
			t.Errorf("no page that is reached from README.md links to %s", name)
		}
	}
}

func TestTheSiteIsWholeAndLoadsNothingFromElsewhere(t *testing.T) {
	output := filepath.Join(t.TempDir(), "site")
	for range 2 { // The second one replaces the first.
		if err := run(repositoryRoot, output, repositoryURL, "v1.2.3"); err != nil {
			t.Fatal(err)
		}
	}
	written := readSite(t, output)
	if len(written) < 30 {
		t.Fatalf("the site has only %d pages", len(written))
	}
	for name, page := range written {
		for _, link := range page.links {
			checkLink(t, written, name, link)
		}
		for _, loaded := range page.loaded {
			if _, err := os.Stat(filepath.Join(output, loaded)); err != nil {
				t.Errorf("%s loads %q, which is not in the site", name, loaded)
			}
		}
		if len(page.inline) > 0 {
			t.Errorf("%s has what its Content-Security-Policy forbids: %v", name, page.inline)
		}
	}
	styles, err := os.ReadFile(filepath.Join(output, stylesheetFile))
	if err != nil || bytes.Contains(styles, []byte("url(")) || bytes.Contains(styles, []byte("@import")) {
		t.Errorf("the stylesheet loads something: %v", err)
	}
}

// checkLink holds a link to what the site has. One to another host is for readers to follow, and may be any.
func checkLink(t *testing.T, written map[string]writtenPage, from, link string) {
	t.Helper()
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
		return
	}
	name, anchor, _ := strings.Cut(link, "#")
	if name == "" {
		name = from
	}
	to, there := written[name]
	if !there {
		t.Errorf("%s links to %q, which is not in the site", from, link)
		return
	}
	if anchor != "" && !slices.Contains(to.ids, anchor) {
		t.Errorf("%s links to %q: there is no such id", from, link)
	}
}

// writtenPage is what a page of the site refers to, and can be referred to by.
type writtenPage struct {
	links, ids []string
	// loaded is what a browser loads by itself, inline what it would have to take from the page.
	loaded, inline []string
}

func readSite(t *testing.T, folder string) map[string]writtenPage {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.html"))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]writtenPage{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root, err := html.Parse(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		var page writtenPage
		for node := range root.Descendants() {
			page.read(node)
		}
		written[filepath.Base(file)] = page
	}
	return written
}

func (p *writtenPage) read(node *html.Node) {
	if node.Type != html.ElementNode {
		return
	}
	if node.Data == "script" || node.Data == "style" {
		p.inline = append(p.inline, node.Data)
	}
	for _, attribute := range node.Attr {
		switch {
		case attribute.Key == "id":
			p.ids = append(p.ids, attribute.Val)
		case attribute.Key == "href" && node.Data == "a":
			p.links = append(p.links, attribute.Val)
		case attribute.Key == "href", attribute.Key == "src", attribute.Key == "srcset", attribute.Key == "poster":
			p.loaded = append(p.loaded, attribute.Val)
		case attribute.Key == "style", strings.HasPrefix(attribute.Key, "on"):
			p.inline = append(p.inline, attribute.Key+"="+attribute.Val)
		}
	}
}

// small is a repository with two pages.
func small() fstest.MapFS {
	return fstest.MapFS{
		navigationFile:     {Data: []byte("home: ../README.md\nsections:\n- {title: All, pages: [a.md]}\n")},
		"README.md":        {Data: []byte("# Home\n\n[a](docs/a.md#set-it) `a_b<c` [config](config) [file](config/x.yaml)\n")},
		"docs/a.md":        {Data: []byte("# A\n\n## Set `it`!\n\n[home](../README.md) [there](https://elsewhere.example/)\n\n![p](p.svg)\n")},
		"docs/p.svg":       {Data: []byte("<svg/>")},
		iconFile:           {Data: []byte("<svg/>")},
		"config/x.yaml":    {Data: []byte("{}")},
		"config/README.md": {Data: []byte("no title")},
	}
}

func TestLinksLeadToTheSiteOrToTheRepositoryAtTheRelease(t *testing.T) {
	built, err := newSite(small(), repositoryURL, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	files, err := built.render()
	if err != nil {
		t.Fatal(err)
	}
	for file, wanted := range map[string][]string{
		"index.html": {
			`<a href="a.html#set-it">a</a>`, `<code>a_<wbr>b&lt;c</code>`,
			`<a href="` + repositoryURL + `/tree/v1.2.3/config">config</a>`,
			`<a href="` + repositoryURL + `/blob/v1.2.3/config/x.yaml">file</a>`,
		},
		"a.html": {
			`<h2 id="set-it">`, `<a href="index.html">home</a>`, `<a href="https://elsewhere.example/">there</a>`,
			`<img src="images/docs-p.svg" alt="p"`, `<title>A · ModelRoute</title>`, `<a href="a.html" aria-current="page">A</a>`,
		},
	} {
		for _, want := range wanted {
			if !strings.Contains(string(files[file]), want) {
				t.Errorf("%s lacks %s:\n%s", file, want, files[file])
			}
		}
	}
	if got := string(files["images/docs-p.svg"]); got != "<svg/>" {
		t.Errorf("the image is %q", got)
	}
}

func TestWhatIsWrongWithThePagesIsSaid(t *testing.T) {
	tests := map[string]struct{ file, content, want string }{
		"a file that is not there":      {"docs/a.md", "# A\n[b](b.md)", "docs/a.md links to b.md: there is no docs/b.md"},
		"a heading that is not there":   {"docs/a.md", "# A\n[b](../README.md#x)", "docs/a.md links to ../README.md#x: README.md has no heading #x"},
		"a heading of its own":          {"docs/a.md", "# A\n[b](#x)", "docs/a.md links to #x: docs/a.md has no heading #x"},
		"an anchor in another file":     {"docs/a.md", "# A\n[b](../config/x.yaml#x)", "only pages have anchors"},
		"a file outside":                {"docs/a.md", "# A\n[b](../../x)", "there is no ../x"},
		"an image that is not there":    {"docs/a.md", "# A\n![b](b.png)", "docs/a.md links to b.png: there is no docs/b.png"},
		"a page without a title":        {"docs/a.md", "no title", "docs/a.md has no title"},
		"a page that is not named":      {"docs/b.md", "# B", "docs/navigation.yaml does not name docs/b.md"},
		"a page that is named twice":    {navigationFile, "home: ../README.md\nsections: [{title: All, pages: [a.md, a.md]}]", "names docs/a.md twice"},
		"a page that is named, and not": {navigationFile, "home: ../README.md\nsections: [{title: All, pages: [a.md, c.md]}]", "docs/c.md"},
		"two pages of one name": {
			navigationFile, "home: ../README.md\nsections: [{title: All, pages: [a.md, ../x/a.md]}]", "docs/a.md and x/a.md would both be a.html",
		},
		"a field that there is not": {navigationFile, "hone: ../README.md", `unknown field "hone"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files := small()
			files[test.file] = &fstest.MapFile{Data: []byte(test.content)}
			built, err := newSite(files, repositoryURL, "main")
			if err == nil {
				_, err = built.render()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestAFolderWithOtherFilesIsLeftAlone(t *testing.T) {
	folder := t.TempDir()
	mine := filepath.Join(folder, "mine.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := write(folder, map[string][]byte{"index.html": nil})
	if err == nil || !strings.Contains(err.Error(), "has other files than a site") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(mine); errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is gone")
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	source := "# A page\n"
	want := []string{"a-page"}
	for _, one := range []struct{ heading, anchor string }{
		{"Beyond the cluster", "beyond-the-cluster"},
		{"The upstream's books, and ours", "the-upstreams-books-and-ours"},
		{"`spec.proxy` and a [link](https://x.example)", "specproxy-and-a-link"},
		{"A / B", "a--b"},
		{"snake_case", "snake_case"},
		{"Über Geld", "über-geld"},
		{"*Twice*", "twice"},
		{"Twice", "twice-1"},
		{"Twice", "twice-2"},
	} {
		source += fmt.Sprintf("\n## %s\n", one.heading)
		want = append(want, one.anchor)
	}
	parsed, err := parsePage("page.md", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range parsed.headings {
		if one.Anchor != want[i] {
			t.Errorf("%q has the anchor %q, want %q", one.Text, one.Anchor, want[i])
		}
	}
}
