{{- define "type" -}}
{{- if markdownShouldRenderType . }}

## {{ .Name }}

{{ .Doc | trim }}
{{- with .References }}

In {{ range $i, $type := $.SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $type }}{{ end }}.
{{- end }}
{{- if .IsAlias }}

It is a {{ .UnderlyingType.Name }}{{ with .Validation }}: {{ template "rules" . }}{{ end }}.
{{- end }}
{{- with index .Markers "kubebuilder:validation:XValidation" }}
{{ range . }}
* Refused: {{ .Message }}.
{{- end }}
{{- end }}
{{- with .EnumValues }}

| value | what it means |
| --- | --- |
{{- range . }}
| `{{ .Name }}` | {{ template "cell" .Doc }} |
{{- end }}
{{- end }}
{{- if not .IsAlias }}{{ with .Members }}

| field | type | what it is |
| --- | --- | --- |
{{- range . }}
| `{{ .Name }}` | {{ markdownRenderType .Type }} | {{ template "type_members" . }} |
{{- end }}
{{- end }}{{ end }}
{{- end }}
{{- end -}}
