package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// site is the guide before it is rendered.
type site struct {
	tree       *tree
	navigation navigation
	// repository is the URL of the repository, and release the tag or branch of it that links to files lead to.
	repository, release string
	// names are the files of the site by the pages that they are made from.
	names map[string]string
}

func newSite(files fs.FS, repository, release string) (*site, error) {
	order, err := readNavigation(files)
	if err != nil {
		return nil, err
	}
	s := &site{tree: newTree(files), navigation: order, repository: repository, release: release, names: map[string]string{}}
	taken := map[string]string{}
	for _, name := range order.pages() {
		file := strings.ToLower(strings.TrimSuffix(path.Base(name), ".md")) + ".html"
		if name == order.Home {
			file = "index.html"
		}
		if other := taken[file]; other != "" {
			return nil, fmt.Errorf("%s and %s would both be %s: rename one", other, name, file)
		}
		taken[file], s.names[name] = name, file
	}
	return s, nil
}

// render returns the files of the site by their paths in it. All that is wrong with links is in the one error.
func (s *site) render() (map[string][]byte, error) {
	styles, err := stylesheet()
	if err != nil {
		return nil, err
	}
	icon, err := fs.ReadFile(s.tree.files, iconFile)
	if err != nil {
		return nil, fmt.Errorf("reading the icon: %w", err)
	}
	files := map[string][]byte{stylesheetFile: styles, "icon.svg": icon}
	order := s.navigation.pages()
	problems := make([]error, len(order))
	for i, name := range order {
		files[s.names[name]], problems[i] = s.renderPage(i, order, files)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return files, nil
}

// renderPage returns the page that is the i-th in the order, and adds its images to the files.
func (s *site) renderPage(i int, order []string, files map[string][]byte) ([]byte, error) {
	parsed, err := s.tree.page(order[i])
	if err != nil {
		return nil, err
	}
	var problems []error
	err = parsed.eachLink(func(destination *[]byte, isImage bool) error {
		found, err := s.tree.find(parsed, string(*destination))
		switch {
		case err != nil:
			problems = append(problems, err)
		case found.path != "" && isImage:
			image := "images/" + strings.ReplaceAll(found.path, "/", "-")
			*destination = []byte(image)
			files[image], err = fs.ReadFile(s.tree.files, found.path)
			problems = append(problems, err)
		case found.path != "":
			*destination = []byte(s.href(found))
		}
		return nil
	})
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := markdown.Renderer().Render(&body, parsed.source, parsed.document); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", parsed.path, err)
	}
	return s.layOut(i, order, parsed, body.String())
}

// href is the link to a file of the repository: to the site's page where it is one, else to the repository.
func (s *site) href(to target) string {
	link := s.names[to.path]
	if link == "" {
		kind := "blob"
		if to.isDirectory {
			kind = "tree"
		}
		link = s.repository + "/" + path.Join(kind, s.release, to.path)
	}
	if to.fragment != "" {
		link += "#" + to.fragment
	}
	return link
}

// write puts the files into a folder in the place of a site that is there.
func write(folder string, files map[string][]byte) error {
	if err := makeRoom(folder); err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // The site is public.
			return fmt.Errorf("writing the site: %w", err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // The site is public.
			return fmt.Errorf("writing the site: %w", err)
		}
	}
	return nil
}

// makeRoom deletes the site that is in a folder, and nothing else: a mistake in a flag is not to cost anybody's files.
func makeRoom(folder string) error {
	there, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(there) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into %s: %w", folder, err)
	}
	if _, err := os.Stat(filepath.Join(folder, stylesheetFile)); err != nil {
		return fmt.Errorf("%s has other files than a site: name an empty folder, or a new one", folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("emptying %s: %w", folder, err)
	}
	return nil
}
