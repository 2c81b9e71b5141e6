package manifest

import (
	"fmt"
	"strings"
)

// place is where an object stands.
type place struct {
	file string
	// document counts the documents of the file that have something in them, from 1.
	document int
	// object is its kind and name, as far as they are known.
	object string
}

// String names the place to people.
func (p place) String() string {
	text := fmt.Sprintf("%s: document %d", p.file, p.document)
	if p.object != "" {
		text += " (" + p.object + ")"
	}
	return text
}

// Problems is all that is wrong with manifests. Each of them names the file, the document and the field. None holds a value of a Secret.
type Problems []string

// Error lists the problems, one in a line.
func (p Problems) Error() string { return strings.Join(p, "\n") }
