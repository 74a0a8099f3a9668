{{- define "hawker.labels" -}}
app.kubernetes.io/name: hawker
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hawker.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "hawker.secret" -}}
{{ .Values.secret.existing | default "hawker" }}
{{- end }}

{{/* A supernode with a certificate speaks TLS. */}}
{{- define "hawker.scheme" -}}
{{ if dig "cluster" "tls" "cert" "" .Values.config }}https{{ else }}http{{ end }}
{{- end }}

{{/* hawker.yaml: what the chart sets, and what .Values.config says of it and beside it. */}}
{{- define "hawker.config" -}}
{{- $supernodes := list }}
{{- range $i := until (int .Values.supernode.replicas) }}
{{- $supernodes = append $supernodes (printf "%s://hawker-supernode-%d.hawker-supernode.%s.svc:6789" (include "hawker.scheme" $) $i $.Release.Namespace) }}
{{- end }}
{{- $own := dict
  "cluster" (dict "secretFile" "/etc/hawker/secrets/join-secret")
  "store" (dict "dir" "/var/lib/hawker" "quota" .Values.store.quota)
  "supernode" (dict "listen" "0.0.0.0:6789")
  "supernodes" $supernodes
}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* Of what has to be root on the node: no more than that. */}}
{{- define "hawker.asRoot" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- end }}

{{- define "hawker.setupResources" -}}
requests:
  cpu: 10m
  memory: 64Mi
limits:
  memory: 256Mi
{{- end }}
