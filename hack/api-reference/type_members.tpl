{{- define "type_members" -}}
{{- if eq .Name "metadata" -}}
As of every object.
{{- else -}}
{{ template "cell" .Doc }}
{{- if has "Required: {}" .Validation }} **Required.**{{ end }}
{{- with without .Validation "Required: {}" "Optional: {}" }} {{ template "rules" . }}.{{ end }}
{{- /* A field has the rules of its type as well, which stand there. */ -}}
{{- $rules := index .Markers "kubebuilder:validation:XValidation" }}
{{- if not (deepEqual $rules (index .Type.Markers "kubebuilder:validation:XValidation")) }}
{{- range $rules }} Refused: {{ template "cell" .Message }}.{{ end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* cell is a text in a cell of a table: on one line, with nothing in it that would end the cell. */ -}}
{{- define "cell" -}}
{{ . | trim | replace "\n" " " | replace "|" "\\|" | replace "<" "&lt;" }}
{{- end -}}

{{- define "rules" -}}
{{- range $i, $rule := . }}{{ if $i }}, {{ end }}{{ $rule | replace "|" "\\|" }}{{ end -}}
{{- end -}}
