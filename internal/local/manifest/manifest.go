// Package manifest reads the manifests of a cluster from files, as strictly as an API server does, and puts together what belongs
// together: routes, and the keys of their upstreams.
package manifest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/crdschema"
)

// defaultNamespace is that of objects that name none, as it is kubectl's.
const defaultNamespace = "default"

// File is a file with its content.
type File struct {
	Name    string
	Content []byte
}

// SecretKey names one value of a Secret.
type SecretKey struct{ Namespace, Name, Key string }

// String is NAMESPACE/NAME/KEY.
func (k SecretKey) String() string { return k.Namespace + "/" + k.Name + "/" + k.Key }

// Route is a route that is valid, with what it refers to and what it leaves out. Its status has the prices that are in force.
type Route struct {
	*v1alpha1.ModelRoute
	// UpstreamKeys are the API keys of its upstreams, by the upstream's name.
	UpstreamKeys map[string]string
	// UpstreamAuthorities are the certificates in PEM, by the upstream's name, of the authorities that upstreams are known by beside those
	// of the system.
	UpstreamAuthorities map[string]string
	// SupportedParameters are what is known of the model where the route does not say.
	SupportedParameters []string
	// ModelKeys are those that name the route, in the order of the files.
	ModelKeys []*v1alpha1.ModelKey
	// Teams are the budgets of the teams in whose names its consumers and ModelKeys spend.
	Teams compile.Teams
}

// Authorities returns the certificates, in PEM, of the authorities that an upstream is known by beside those of the system; empty if there
// are none.
type Authorities func(compile.Way) string

// Reader reads manifests.
type Reader struct {
	// Complete adds to routes what they leave out; where it is nil, that is what the built-in catalog has.
	Complete func(ctx context.Context, route *v1alpha1.ModelRoute, authorities Authorities) compile.Completed

	schemas map[string]*crdschema.Schema
	given   map[SecretKey]string
}

// NewReader makes a reader. What is given goes before what Secrets in the files have.
func NewReader(given map[SecretKey]string) (*Reader, error) {
	schemas, err := crdschema.Load()
	if err != nil {
		return nil, err
	}
	return &Reader{schemas: schemas, given: given}, nil
}

// ReadFiles reads the files.
func ReadFiles(names []string) ([]File, error) {
	files := make([]File, 0, len(names))
	var problems Problems
	for _, name := range names {
		content, err := readFile(name)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		files = append(files, File{Name: name, Content: content})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: is a folder: name the files in it, each with -f", name)
	}
	content, err := os.ReadFile(name)
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("%s: cannot be read: %w", name, cause.Err)
	}
	return content, err
}

// Routes returns the routes that the files declare, sorted by namespace and name. The error is Problems if there is anything wrong with
// any of the manifests.
func (r *Reader) Routes(ctx context.Context, files []File) ([]Route, error) {
	found := &objects{reader: r, declared: map[string]place{}, secrets: map[SecretKey]string{},
		configMaps: map[SecretKey]string{}, delivered: map[string]string{}}
	for _, file := range files {
		found.readDocuments(ctx, file)
	}
	if len(found.problems) > 0 {
		return nil, found.problems // What else is wrong may be a consequence.
	}
	if len(found.routes) == 0 {
		return nil, Problems{"there is no ModelRoute in the files: name one that has one, with -f"}
	}
	routes := found.resolve(ctx)
	found.resolveKeys(routes)
	found.resolveTeams(routes)
	if len(found.problems) > 0 {
		return nil, found.problems
	}
	slices.SortFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return routes, nil
}

// objects is what was found in the files so far.
type objects struct {
	reader    *Reader
	routes    []locatedRoute
	modelKeys []locatedKey
	teams     []locatedTeam
	// declared has where each object stands, by its kind and name.
	declared map[string]place
	// delivered has whose each Secret is that is made here, by NAMESPACE/NAME.
	delivered map[string]string
	secrets   map[SecretKey]string
	// configMaps has the values of ConfigMaps, which are named as those of Secrets are.
	configMaps map[SecretKey]string
	problems   Problems
}

type locatedRoute struct {
	place
	route *v1alpha1.ModelRoute
}

type locatedKey struct {
	place
	key *v1alpha1.ModelKey
}

type locatedTeam struct {
	place
	team *v1alpha1.TeamBudget
}

func (o *objects) add(at place, format string, arguments ...any) {
	o.problems = append(o.problems, at.String()+": "+fmt.Sprintf(format, arguments...))
}

func (o *objects) readDocuments(ctx context.Context, file File) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(file.Content)))
	at := place{file: file.Name}
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		at.document++
		if err != nil {
			o.add(at, "cannot be read: %v", err)
			return
		}
		if !o.readDocument(ctx, at, document) {
			at.document-- // There is nothing in it, or only comments.
		}
	}
}
