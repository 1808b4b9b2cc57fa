{{- define "penstock.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* At most 40 characters, which leaves room for what is added in names of objects. */}}
{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "penstock.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "penstock.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What a selector may use: it never changes. Takes a dict of root and component. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ include "penstock.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Takes a dict of image and version, the tag where the image has none. */}}
{{- define "penstock.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{- define "penstock.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (printf "%s-operator" (include "penstock.fullname" .)) }}
{{- end }}

{{- /* Roles of different installations meet in the cluster and in the namespaces they look after. */}}
{{- define "penstock.roleName" -}}
{{- printf "%s-%s-operator" .Release.Namespace (include "penstock.fullname" .) }}
{{- end }}

{{- define "penstock.postgres" -}}
{{- printf "%s-postgresql" (include "penstock.fullname" .) }}
{{- end }}

{{- /* Which Secret holds the database's address, as YAML: name, key, workerKey. */}}
{{- define "penstock.database" -}}
{{- $bundled := dict "name" (include "penstock.postgres" .) "key" "url" "workerKey" "" }}
{{- ternary .Values.database.existingSecret $bundled (ne .Values.database.existingSecret.name "") | toYaml }}
{{- end }}

{{- define "penstock.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- /* What the operator may do, wherever the BatchJobs it looks after are. */}}
{{- define "penstock.rules" -}}
- apiGroups: [penstock.dev]
  resources: [batchjobs]
  verbs: [get, list, watch, delete]
- apiGroups: [penstock.dev]
  resources: [batchjobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
# The address of the database for the pods of a job. It can read none, and its own go with their
# BatchJob.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end }}
