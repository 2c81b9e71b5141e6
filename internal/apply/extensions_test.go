package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The record of the fields is as an API server writes it.
const recorded = `
apiVersion: example.com/v1
kind: Thing
metadata:
  name: thing
  namespace: ai
  labels: {ours: a, theirs: b}
  ownerReferences: [{uid: ours, name: chat, controller: true}, {uid: theirs, name: other}]
  managedFields:
  - manager: modelroute-controller
    operation: Apply
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:labels: {"f:ours": {}}
        f:ownerReferences: {'k:{"uid":"ours"}': {}}
      f:spec:
        f:whole: {}
        f:list: {}
        f:empty: {}
        f:count: {}
        f:set: {'v:"ours"': {}}
        f:ports:
          'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}
  - manager: modelroute-controller
    operation: Update
    subresource: status
    fieldsType: FieldsV1
    fieldsV1: {f:status: {f:seen: {}}}
  - manager: somebody
    operation: Update
    fieldsType: FieldsV1
    fieldsV1: {f:spec: {f:foreign: {}}}
spec:
  whole: {matchLabels: {a: b}}
  list: [{name: x, added: true}]
  empty: {}
  count: 3
  foreign: 1
  set: [ours, theirs]
  ports: [{port: 80, protocol: TCP, name: added}, {port: 80, protocol: UDP}]
status: {seen: 1}
`

const extracted = `
apiVersion: example.com/v1
kind: Thing
metadata: {name: thing, namespace: ai, labels: {ours: a}, ownerReferences: [{uid: ours, name: chat, controller: true}]}
spec:
  whole: {matchLabels: {a: b}}
  list: [{name: x, added: true}]
  empty: {}
  count: 3
  set: [ours]
  ports: [{port: 80, protocol: TCP}]
`

func TestOfAKindWithoutTypesOnlyWhatWeAppliedIsExtracted(t *testing.T) {
	got, err := extractExtension(thing(t, recorded), FieldOwner)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(thing(t, extracted).Object, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOfAnObjectThatWeAppliedNothingToOnlyItsNameIsExtracted(t *testing.T) {
	got, err := extractExtension(thing(t, recorded), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	want := thing(t, `{apiVersion: example.com/v1, kind: Thing, metadata: {name: thing, namespace: ai}}`).Object
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func thing(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	encoded, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(encoded); err != nil {
		t.Fatal(err)
	}
	return object
}
