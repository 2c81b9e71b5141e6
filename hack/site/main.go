// Command site makes the guide's site: the pages of docs/, in the order of docs/navigation.yaml, as files of HTML that can be put anywhere
// and load nothing from another host. Links among pages lead to the site's pages, those to other files to the repository at a release. A
// link that leads nowhere fails the build.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", ".", "the `directory` of the repository")
	output := flag.String("output", "bin/site", "the `directory` to write into; what is in it is deleted")
	repository := flag.String("repository", "https://github.com/modelroute/modelroute", "the `URL` of the repository, for links to files")
	release := flag.String("release", "main", "the `tag` or branch that these links lead to")
	flag.Parse()
	if err := run(*root, *output, *repository, *release); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

func run(root, output, repository, release string) error {
	built, err := newSite(os.DirFS(root), repository, release)
	if err != nil {
		return err
	}
	files, err := built.render()
	if err != nil {
		return err
	}
	return write(output, files)
}
