package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

const (
	stylesheetFile = "style.css"
	// iconFile is the product's, in the repository.
	iconFile = "internal/portal/assets/icon.svg"
)

var (
	//go:embed style.css
	ownStyles []byte
	//go:embed page.html
	pageSource string

	pageTemplate = template.Must(template.New("page").Parse(pageSource))
)

// view is what the template of a page shows.
type view struct {
	Title string
	// IsHome is true for the page that the site begins with.
	IsHome   bool
	Sections []sectionView
	// Headings are those of the second level.
	Headings []heading
	Body     template.HTML
	// Previous and Next are the pages before and after this one; nil if there is none.
	Previous, Next *entry
	// Source is the URL of the page's Markdown.
	Source string
}

// sectionView is a section of the navigation.
type sectionView struct {
	Title   string
	Entries []*entry
}

// entry is a page in the navigation.
type entry struct {
	Title, Href string
	// IsCurrent is true on the page itself.
	IsCurrent bool
}

// stylesheet is that of all pages.
func stylesheet() ([]byte, error) {
	out := bytes.NewBuffer(bytes.Clone(ownStyles))
	err := writeColours(out)
	return out.Bytes(), err
}

// layOut puts the page that is the i-th in the order into the template.
func (s *site) layOut(i int, order []string, shown *page, body string) ([]byte, error) {
	data := view{
		Title: shown.title, IsHome: i == 0,
		Body:   template.HTML(body), //nolint:gosec // It is made of the repository's own pages.
		Source: s.repository + "/blob/" + s.release + "/" + shown.path,
	}
	for _, one := range shown.headings {
		if one.Level == 2 {
			data.Headings = append(data.Headings, one)
		}
	}
	for _, part := range s.navigation.Sections {
		shownPart := sectionView{Title: part.Title}
		for _, name := range part.Pages {
			one, err := s.entry(name, shown.path)
			if err != nil {
				return nil, err
			}
			shownPart.Entries = append(shownPart.Entries, one)
		}
		data.Sections = append(data.Sections, shownPart)
	}
	var err error
	if i > 0 {
		if data.Previous, err = s.entry(order[i-1], shown.path); err != nil {
			return nil, err
		}
	}
	if i < len(order)-1 {
		if data.Next, err = s.entry(order[i+1], shown.path); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("laying out %s: %w", shown.path, err)
	}
	return out.Bytes(), nil
}

func (s *site) entry(name, current string) (*entry, error) {
	named, err := s.tree.page(name)
	if err != nil {
		return nil, err
	}
	return &entry{Title: named.title, Href: s.names[name], IsCurrent: name == current}, nil
}
