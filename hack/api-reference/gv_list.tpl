{{- define "gvList" -}}
<!-- Made by `make api-reference` from the types in api/v1alpha1. Change them there. -->

# API reference

{{ range . }}{{ template "gvDetails" . }}{{ end -}}
{{- end -}}
