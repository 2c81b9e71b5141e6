package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/yaml"
)

const (
	// guide is the folder with the pages.
	guide          = "docs"
	navigationFile = guide + "/navigation.yaml"
)

// navigation is the order of the guide. Paths are those in the repository; in the file they are relative to its folder.
type navigation struct {
	// Home is the page that the site begins with.
	Home     string    `json:"home"`
	Sections []section `json:"sections"`
}

// section is a part of the guide, with a title over its pages.
type section struct {
	Title string   `json:"title"`
	Pages []string `json:"pages"`
}

// readNavigation fails unless every page of the guide is named, and none twice.
func readNavigation(files fs.FS) (navigation, error) {
	content, err := fs.ReadFile(files, navigationFile)
	if err != nil {
		return navigation{}, fmt.Errorf("reading the order of the pages: %w", err)
	}
	var read navigation
	if err := yaml.UnmarshalStrict(content, &read); err != nil {
		return navigation{}, fmt.Errorf("%s: %w", navigationFile, err)
	}
	read.Home = path.Join(guide, read.Home)
	for _, one := range read.Sections {
		for i, name := range one.Pages {
			one.Pages[i] = path.Join(guide, name)
		}
	}
	return read, read.check(files)
}

// pages are all pages in their order.
func (n navigation) pages() []string {
	all := []string{n.Home}
	for _, one := range n.Sections {
		all = append(all, one.Pages...)
	}
	return all
}

func (n navigation) check(files fs.FS) error {
	there, err := fs.Glob(files, guide+"/*.md")
	if err != nil {
		return fmt.Errorf("looking for pages: %w", err)
	}
	var problems []error
	named := n.pages()
	for _, name := range there {
		if !slices.Contains(named, name) {
			problems = append(problems, fmt.Errorf("%s does not name %s: add it where readers would look for it", navigationFile, name))
		}
	}
	slices.Sort(named)
	for i, name := range named {
		if i > 0 && name == named[i-1] {
			problems = append(problems, fmt.Errorf("%s names %s twice", navigationFile, name))
		}
	}
	return errors.Join(problems...)
}
