package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFillPutsTemplatesInTheirPlace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ object, want string }{
		"a value loses its quotes": {
			object: "spec:\n  replicas: '{{ .Values.replicas }}'\n",
			want:   "spec:\n  replicas: {{ .Values.replicas }}\n",
		},
		"quotes within the template are as they were": {
			object: "name: '{{ default ''it'' .Values.name }}'\n",
			want:   "name: {{ default 'it' .Values.name }}\n",
		},
		"a template that was broken into lines is one line again": {
			object: "name: '{{ printf \"%s-%s\"\n  .Chart.Name\n  .Chart.Version }}'\n",
			want:   "name: {{ printf \"%s-%s\" .Chart.Name .Chart.Version }}\n",
		},
		"what may be absent takes its key with it": {
			object: "spec:\n  class: '{{ with .Values.class }}{{ . }}{{ end }}'\n",
			want:   "spec:\n  {{- with .Values.class }}\n  class: {{ . }}\n  {{- end }}\n",
		},
		"a map gets the indentation of its place": {
			object: "spec:\n  resources: '{{ with .Values.resources }}{{ toYaml . }}{{ end }}'\n",
			want:   "spec:\n  {{- with .Values.resources }}\n  resources:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n",
		},
		"an item of a list may be absent": {
			object: "args:\n- '{{ if .Values.debug }}--debug{{ end }}'\n",
			want:   "args:\n{{- if .Values.debug }}\n- --debug\n{{- end }}\n",
		},
		"an item may be several": {
			object: "  env:\n  - splice: '{{ with .Values.env }}{{ toYaml . }}{{ end }}'\n",
			want:   "  env:\n  {{- with .Values.env }}\n  {{- toYaml . | nindent 2 }}\n  {{- end }}\n",
		},
		"a map of nothing but splice is the value": {
			object: "  secrets:\n    splice: '{{ with .Values.secrets }}{{ toYaml . }}{{ end }}'\n",
			want:   "  {{- with .Values.secrets }}\n  secrets:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n",
		},
		"everything else stays": {
			object: "a: 'quoted'\nb: --level={{ .Values.level }}\nc: |\n  'text'\n",
			want:   "a: 'quoted'\nb: --level={{ .Values.level }}\nc: |\n  'text'\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := fill(test.object)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFillRefusesAnItemThatWouldLoseItsFirstKey(t *testing.T) {
	t.Parallel()
	_, err := fill("env:\n- name: '{{ with .Values.name }}{{ . }}{{ end }}'\n  value: x\n")
	if err == nil || !strings.Contains(err.Error(), "- name: is the first key of an item") {
		t.Errorf("got %v", err)
	}
}

func TestAnObjectOfOneStoreComesOnlyWithIt(t *testing.T) {
	t.Parallel()
	const (
		account = "kind: ServiceAccount\nmetadata:\n  name: modelroute-ledger\n"
		crd     = "kind: CustomResourceDefinition\nmetadata:\n  name: modelroutes.modelroute.dev\n"
		service = "kind: Service\nmetadata:\n  name: modelroute-ledger\n"
		budget  = "kind: PodDisruptionBudget\nmetadata:\n  name: modelroute-ledger\n"
	)
	other := strings.Replace(service, "metadata:", "metadata: #\n", 1)
	got, err := templates(stores, []string{
		strings.Join([]string{account, crd, service}, "---\n"),
		strings.Join([]string{account, crd, other, budget}, "---\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ledger-serviceaccount.yaml":                 header + account,
		"modelroutes-customresourcedefinition.yaml":  header + when(".Values.crds.install", crd),
		"ledger-service-sqlite.yaml":                 header + when(`eq .Values.ledger.store "SQLite"`, service),
		"ledger-service-postgresql.yaml":             header + when(`eq .Values.ledger.store "PostgreSQL"`, other),
		"ledger-poddisruptionbudget-postgresql.yaml": header + when(`eq .Values.ledger.store "PostgreSQL"`, budget),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnObjectComesWhereItsAnnotationsSay(t *testing.T) {
	t.Parallel()
	const object = "kind: RoleBinding\nmetadata:\n%s  name: modelroute-manager\n  namespace: '{{ $namespace }}'\n"
	got, err := templates(stores[:1], []string{fmt.Sprintf(object, "  annotations:\n"+
		"    chart.modelroute.dev/each-namespace: prepend .Values.manager.namespaces .Release.Namespace\n      | uniq\n"+
		"    chart.modelroute.dev/when: .Values.manager.namespaces\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"manager-rolebinding.yaml": header + "{{- if .Values.manager.namespaces }}\n" +
		"{{- range $namespace := prepend .Values.manager.namespaces .Release.Namespace | uniq }}\n{{- with $ }}\n---\n" +
		"kind: RoleBinding\nmetadata:\n  name: modelroute-manager\n  namespace: {{ $namespace }}\n{{- end }}\n{{- end }}\n{{- end }}\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAConditionBesideOtherAnnotationsIsRefused(t *testing.T) {
	t.Parallel()
	_, err := templates(stores[:1], []string{"kind: Service\nmetadata:\n  annotations:\n" +
		"    a: b\n    chart.modelroute.dev/when: .Values.x\n  name: modelroute-ledger\n"})
	if err == nil || !strings.Contains(err.Error(), "stand beside others") {
		t.Errorf("got %v", err)
	}
}

func TestObjectsWithoutANameAreRefused(t *testing.T) {
	t.Parallel()
	_, err := templates(stores[:1], []string{"kind: Service\nmetadata: {}\n"})
	if err == nil || !strings.Contains(err.Error(), "for the store SQLite: an object has no kind or no name") {
		t.Errorf("got %v", err)
	}
}

func TestTwoObjectsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	const account = "kind: ServiceAccount\nmetadata:\n  name: modelroute-ledger\n"
	_, err := templates(stores[:1], []string{account + "---\n" + account})
	if err == nil || !strings.Contains(err.Error(), "want the template ledger-serviceaccount") {
		t.Errorf("got %v", err)
	}
}
