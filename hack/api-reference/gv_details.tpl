{{- /* The kinds come first, then what they are made of, by name. */ -}}
{{- define "gvDetails" -}}
Every field of `{{ .GroupVersionString }}`, with the rules that the API server holds it to. `kubectl explain` says the same without the rules. What conditions and their reasons
mean is in [status.md](status.md).

{{ range .SortedKinds }}{{ with $.TypeForKind . }}* {{ markdownRenderTypeLink . }}
{{ end }}{{ end }}
{{- range .SortedKinds }}{{ template "type" ($.TypeForKind .) }}{{ end }}
{{- range .SortedTypes }}{{ if not .GVK }}{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}
