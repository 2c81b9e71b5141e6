package crdcel

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// walk calls visit for each property below schema, with its path.
func walk(path string, schema apiextensionsv1.JSONSchemaProps, visit func(string, apiextensionsv1.JSONSchemaProps)) {
	for name, property := range schema.Properties {
		visit(path+"."+name, property)
		walk(path+"."+name, property, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(path+"[]", *schema.Items.Schema, visit)
	}
}

// kinds are the resources of the API, with the names of their kinds in small letters.
var kinds = map[string]string{"modelroute": "modelroutes", "modelkey": "modelkeys", "teambudget": "teambudgets",
	"modelgateway": "modelgateways"}

func readSchema(t *testing.T, kind string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	return *readVersion(t, kind).Schema.OpenAPIV3Schema
}

func readVersion(t *testing.T, kind string) apiextensionsv1.CustomResourceDefinitionVersion {
	t.Helper()
	return readDefinition(t, kind).Spec.Versions[0]
}

func readDefinition(t *testing.T, kind string) apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	content, err := os.ReadFile("../../config/crd/bases/modelroute.dev_" + kinds[kind] + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		t.Fatal(err)
	}
	return crd
}

// kubectl takes a word for a category before it takes it for a kind: "kubectl get modelroute NAME" would ask for all kinds of the category.
func TestNoCategoryHasTheNameOfAKind(t *testing.T) {
	names, categories := map[string]bool{}, map[string]bool{}
	for kind := range kinds {
		its := readDefinition(t, kind).Spec.Names
		for _, name := range append(its.ShortNames, its.Singular, its.Plural) {
			names[name] = true
		}
		for _, category := range its.Categories {
			categories[category] = true
		}
	}
	for category := range categories {
		if names[category] {
			t.Errorf("%s is a category and a kind", category)
		}
	}
	if len(categories) == 0 {
		t.Error("no kind is in a category")
	}
}

func TestEveryFieldIsDocumentedForKubectlExplain(t *testing.T) {
	fields := 0
	for kind := range kinds {
		walk(kind, readSchema(t, kind), func(path string, property apiextensionsv1.JSONSchemaProps) {
			fields++
			if property.Description == "" && path != kind+".metadata" {
				t.Errorf("%s has no description", path)
			}
		})
	}
	if fields < 50 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func TestEveryAmountAndSpanSaysItsUnit(t *testing.T) {
	amount := regexp.MustCompile(`\.(amount|prompt|completion|limit|spent?|uncertain|held|remaining|total|summary\.budget)$`)
	units := 0
	saysIt := func(path string, property apiextensionsv1.JSONSchemaProps) {
		unit := ""
		switch {
		case property.Type == "string" && amount.MatchString(path):
			unit = "USD"
		case strings.HasSuffix(path, "timeoutSeconds"), strings.HasSuffix(path, "periodSeconds"):
			unit = "seconds"
		case strings.HasSuffix(path, "rateLimits[].requests"):
			unit = "requests"
		case strings.HasSuffix(path, "intervalDays"):
			unit = "days"
		case strings.HasSuffix(path, "overlapHours"):
			unit = "hours"
		case strings.HasSuffix(strings.ToLower(path), "percents"), strings.HasSuffix(path, "percentUsed"):
			unit = "percent"
		case strings.HasSuffix(path, "contextLength"), strings.HasSuffix(strings.ToLower(path), "tokens"):
			unit = "tokens"
		default:
			return
		}
		units++
		if !strings.Contains(property.Description, unit) {
			t.Errorf("%s does not say that it is in %s: %q", path, unit, property.Description)
		}
	}
	for kind := range kinds {
		walk(kind, readSchema(t, kind), saysIt)
	}
	if units < 20 {
		t.Errorf("only %d fields have a unit", units)
	}
}

// The ledger takes that many accounts of one owner, since it checks all of them in one statement.
const accountsInTheLedger = 32

func TestAllBudgetsAndRateLimitsOfOneOwnerFitIntoTheLedger(t *testing.T) {
	most := func(owner apiextensionsv1.JSONSchemaProps, list string) int64 {
		items := owner.Properties[list].MaxItems
		if items == nil {
			t.Fatalf("%s has no bound", list)
		}
		return *items
	}
	spec := readSchema(t, "modelroute").Properties["spec"]
	for name, owner := range map[string]apiextensionsv1.JSONSchemaProps{
		"route": spec, "consumer": *spec.Properties["consumers"].Items.Schema, "ModelKey": readSchema(t, "modelkey").Properties["spec"],
	} {
		// A rate limit is two accounts: one of requests, one of tokens.
		if accounts := most(owner, "budgets") + 2*most(owner, "rateLimits"); accounts > accountsInTheLedger {
			t.Errorf("a %s can have %d accounts, the ledger takes %d", name, accounts, accountsInTheLedger)
		}
	}
}

func TestKubectlGetShowsTheColumns(t *testing.T) {
	type columns struct{ Narrow, Wide []string }
	for kind, want := range map[string]columns{
		"modelroute": {[]string{"MODEL", "READY", "SPEND", "BUDGET", "USED", "RESETS", "AGE"}, []string{"ENDPOINT", "REASON"}},
		"modelkey": {
			[]string{"READY", "ROUTES", "SECRET", "SPEND", "BUDGET", "USED", "EXPIRES", "AGE"}, []string{"LAST USE", "KEY", "REASON"},
		},
		"modelgateway": {[]string{"READY", "ROUTES", "REPLICAS", "ENDPOINT", "AGE"}, []string{"REASON"}},
	} {
		var got columns
		for _, column := range readVersion(t, kind).AdditionalPrinterColumns {
			if column.Priority == 0 {
				got.Narrow = append(got.Narrow, strings.ToUpper(column.Name))
			} else {
				got.Wide = append(got.Wide, strings.ToUpper(column.Name))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("columns of a %s (-want +got):\n%s", kind, diff)
		}
	}
}

func TestEveryRuleOfTheSchemaHasACaseThatItRefuses(t *testing.T) {
	files, err := filepath.Glob("testdata/rule-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, file := range files {
		var rule ruleFile
		if err := json.Unmarshal(readYAML(t, filepath.Base(file)), &rule); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, rejected := range rule.Reject {
			refused = append(refused, rejected.Message)
		}
	}
	check := func(path string, schema apiextensionsv1.JSONSchemaProps) {
		for _, validation := range schema.XValidations {
			if !slices.ContainsFunc(refused, func(message string) bool { return strings.Contains(validation.Message, message) }) {
				t.Errorf("no case is refused with the message of the rule on %s: %s", path, validation.Message)
			}
		}
	}
	for kind := range kinds {
		check(kind, readSchema(t, kind))
		walk(kind, readSchema(t, kind), check)
	}
}

func TestTheSpecHasNoSchemaDefaultsBecauseGitOpsToolsWouldSeeThemAsDrift(t *testing.T) {
	for kind := range kinds {
		walk(kind+".spec", readSchema(t, kind).Properties["spec"], func(path string, property apiextensionsv1.JSONSchemaProps) {
			if property.Default != nil {
				t.Errorf("%s defaults to %s", path, property.Default.Raw)
			}
		})
	}
}

func TestSamplesAreStoredExactlyAsTheyAreWritten(t *testing.T) {
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, sample := range append(samples, "testdata/largest.yaml") {
		written := &unstructured.Unstructured{}
		content, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(content, &written.Object); err != nil {
			t.Fatalf("%s: %v", sample, err)
		}
		if kinds[strings.ToLower(written.GetKind())] == "" {
			continue
		}
		found[written.GetKind()] = true
		stored := written.DeepCopy()
		stored.SetNamespace("default")
		if err := newClient(t).Create(t.Context(), stored, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", sample, err)
			continue
		}
		if !equality.Semantic.DeepEqual(normalised(t, written.Object["spec"]), normalised(t, stored.Object["spec"])) {
			t.Errorf("%s: stored as %v", sample, stored.Object["spec"])
		}
	}
	if len(found) < len(kinds) {
		t.Errorf("there are samples of %v only", found)
	}
}

// normalised takes a value through JSON, so that int64 and float64 of one number are alike.
func normalised(t *testing.T, value any) string {
	t.Helper()
	encoded, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
