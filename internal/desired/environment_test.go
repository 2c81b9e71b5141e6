package desired_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/internal/desired"
)

func TestProxiesGetOfTheManagersEnvironment(t *testing.T) {
	const egress = "http://egress.example:3128"
	type variables = []desired.EnvVar
	for reason, test := range map[string]struct {
		environ  []string
		want     variables
		withheld []string
	}{
		"nothing that is not about the way out or telemetry": {environ: []string{"PATH=/bin", "HOME=/", "POD_NAME=manager-0", "AWS_SECRET=x"}},
		"nothing that is empty":                              {environ: []string{"HTTPS_PROXY=", "OTEL_SERVICE_NAME="}},
		"the egress proxy, and who is reached without it": {
			environ: []string{"HTTPS_PROXY=" + egress, "https_proxy=" + egress},
			want: variables{{Name: "HTTPS_PROXY", Value: egress}, {Name: "NO_PROXY", Value: "ledger.svc,10.96.0.1"},
				{Name: "https_proxy", Value: egress}}},
		"whom the manager reaches directly, and those two": {
			environ: []string{"HTTP_PROXY=" + egress, "NO_PROXY=.svc, ledger.svc", "no_proxy=*.local"},
			want: variables{{Name: "HTTP_PROXY", Value: egress}, {Name: "NO_PROXY", Value: ".svc,ledger.svc,10.96.0.1"},
				{Name: "no_proxy", Value: "*.local,ledger.svc,10.96.0.1"}}},
		"the name in small letters alone, where the manager has that alone": {
			environ: []string{"https_proxy=" + egress, "no_proxy=a"},
			want:    variables{{Name: "https_proxy", Value: egress}, {Name: "no_proxy", Value: "a,ledger.svc,10.96.0.1"}}},
		"no more hosts where there is no egress proxy": {
			environ: []string{"NO_PROXY=a"}, want: variables{{Name: "NO_PROXY", Value: "a"}}},
		"telemetry": {
			environ: []string{"OTEL_TRACES_SAMPLER_ARG=0.1", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"},
			want: variables{{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://collector:4318"},
				{Name: "OTEL_TRACES_SAMPLER_ARG", Value: "0.1"}}},
		"values as they are, whatever the kubelet would make of them": {
			environ: []string{"OTEL_RESOURCE_ATTRIBUTES=a=$(POD_NAME)"},
			want:    variables{{Name: "OTEL_RESOURCE_ATTRIBUTES", Value: "a=$$(POD_NAME)"}}},
		"no credentials": {
			environ: []string{"HTTPS_PROXY=http://user:password@egress:3128", "http_proxy=user@egress:3128",
				"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer secret", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b",
				"OTEL_EXPORTER_OTLP_ENDPOINT=https://user:password@collector"},
			withheld: []string{"HTTPS_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
				"http_proxy"}},
		"no names of files": {
			environ:  []string{"OTEL_EXPORTER_OTLP_CERTIFICATE=/ca.crt", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=/key"},
			withheld: []string{"OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"}},
	} {
		t.Run(reason, func(t *testing.T) {
			got, withheld := desired.Environment(test.environ, "ledger.svc", "10.96.0.1", "")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("handed on (-want +got):\n%s", diff)
			}
			var names []string
			for _, one := range withheld {
				names = append(names, one.Name)
				if one.Reason == "" || strings.Contains(one.Reason, "secret") || strings.Contains(one.Reason, "password@") {
					t.Errorf("%s is withheld because %q", one.Name, one.Reason)
				}
			}
			if diff := cmp.Diff(test.withheld, names); diff != "" {
				t.Errorf("withheld (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDeploymentHasTheEnvironment(t *testing.T) {
	all := desired.Objects(desired.Input{
		Route:   readRoute(t, "../../test/crdcel/testdata/base.yaml"),
		Program: desired.Program{Image: "modelroute:test", Env: []desired.EnvVar{{Name: "HTTPS_PROXY", Value: "http://egress:3128"}}},
	})
	deployment, err := yaml.Marshal(all[len(all)-1].Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- name: HTTPS_PROXY\n          value: http://egress:3128\n", "- name: POD_NAME\n"} {
		if !strings.Contains(string(deployment), want) {
			t.Errorf("no %q in\n%s", want, deployment)
		}
	}
}
