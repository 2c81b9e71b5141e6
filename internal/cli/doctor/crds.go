package doctor

import (
	"context"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/config/crd"
	"github.com/modelroute/modelroute/internal/cli/cluster"
)

const install = "Install ModelRoute's manifests of the release that you want: docs/install.md\n" +
	"Its CRDs alone: kubectl apply --server-side -k config/crd"

// checkCRDs compares the cluster's CRDs with those that this program was built with.
func checkCRDs(ctx context.Context, in *cluster.Cluster) []finding {
	wanted, err := ownCRDs()
	if err != nil {
		return []finding{unseen("CRDs", "the CRDs of this program", err)}
	}
	var findings []finding
	for _, one := range wanted {
		found := &apiextensionsv1.CustomResourceDefinition{}
		switch err := in.Get(ctx, client.ObjectKeyFromObject(one), found); {
		case apierrors.IsForbidden(err):
			return []finding{unseen("CRDs", "CRDs", err)}
		case apierrors.IsNotFound(err):
			findings = append(findings, finding{
				Check: "CRDs", State: problem, Says: "The CRD " + one.Name + " is not there.", Mend: install,
			})
		case err != nil:
			findings = append(findings, unseen("CRDs", "the CRD "+one.Name, err))
		default:
			findings = append(findings, ofCRD(one, found)...)
		}
	}
	if len(findings) == 0 {
		says := fmt.Sprintf("All %d are there and of this program's version.", len(wanted))
		findings = []finding{{Check: "CRDs", State: good, Says: says}}
	}
	return findings
}

// ownCRDs are the CRDs that this program was built with.
func ownCRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	all := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(files))
	for _, name := range files {
		content, err := crd.Bases.ReadFile(name)
		if err != nil {
			return nil, err
		}
		one := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(content, one); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// ofCRD finds what is wrong with a CRD that is there.
func ofCRD(wanted, found *apiextensionsv1.CustomResourceDefinition) []finding {
	if !isEstablished(found) {
		return []finding{{
			Check: "CRDs", State: problem, Says: "The API server does not serve the CRD " + found.Name + ".",
			Mend: "Why: kubectl describe crd " + found.Name,
		}}
	}
	if !equality.Semantic.DeepEqual(schemas(wanted), schemas(found)) {
		return []finding{{
			Check: "CRDs", State: warning, Says: "The CRD " + found.Name + " is of another version than this program.",
			Mend: "Take kubectl-modelroute and the manifests of one release. In an upgrade the CRDs come first: docs/install.md#upgrade",
		}}
	}
	return nil
}

func isEstablished(one *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range one.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// schemas are those of a CRD's versions, by their names.
func schemas(one *apiextensionsv1.CustomResourceDefinition) map[string]*apiextensionsv1.CustomResourceValidation {
	all := map[string]*apiextensionsv1.CustomResourceValidation{}
	for _, version := range one.Spec.Versions {
		all[version.Name] = version.Schema
	}
	return all
}
