package main

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
)

// tree is the repository. It reads each page once.
type tree struct {
	files fs.FS
	pages map[string]*page
}

func newTree(files fs.FS) *tree { return &tree{files: files, pages: map[string]*page{}} }

func (t *tree) page(name string) (*page, error) {
	if read := t.pages[name]; read != nil {
		return read, nil
	}
	source, err := fs.ReadFile(t.files, name)
	if err != nil {
		return nil, fmt.Errorf("reading a page: %w", err)
	}
	parsed, err := parsePage(name, source)
	if err != nil {
		return nil, err
	}
	t.pages[name] = parsed
	return parsed, nil
}

// target is where a link leads.
type target struct {
	// path is a file or folder of the repository; empty for what is elsewhere.
	path        string
	isDirectory bool
	// fragment is the anchor there; empty if the link has none.
	fragment string
}

// find says where a link of a page leads, or why it leads nowhere.
func (t *tree) find(from *page, destination string) (target, error) {
	parsed, err := url.Parse(destination)
	if err != nil {
		return target{}, fmt.Errorf("%s links to %q: %w", from.path, destination, err)
	}
	if parsed.IsAbs() || parsed.Host != "" {
		return target{}, nil
	}
	found := target{path: from.path, fragment: parsed.Fragment}
	if parsed.Path != "" {
		found.path = path.Join(path.Dir(from.path), parsed.Path)
	}
	info, err := fs.Stat(t.files, found.path)
	if err != nil {
		return target{}, fmt.Errorf("%s links to %s: there is no %s", from.path, destination, found.path)
	}
	found.isDirectory = info.IsDir()
	if found.fragment == "" {
		return found, nil
	}
	if path.Ext(found.path) != ".md" {
		return target{}, fmt.Errorf("%s links to %s: only pages have anchors", from.path, destination)
	}
	to, err := t.page(found.path)
	if err != nil {
		return target{}, err
	}
	if !to.hasAnchor(found.fragment) {
		return target{}, fmt.Errorf("%s links to %s: %s has no heading #%s", from.path, destination, found.path, found.fragment)
	}
	return found, nil
}
