{{- define "cohort.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "cohort.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "cohort.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "cohort.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a part. (dict "root" $ "part" "api") */}}
{{- define "cohort.selector" -}}
app.kubernetes.io/name: {{ include "cohort.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "cohort.labels" -}}
{{ include "cohort.selector" . }}
app.kubernetes.io/part-of: cohort
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Name and labels of an object of a part; its name is <fullname>-<part>. */}}
{{- define "cohort.metadata" -}}
name: {{ include "cohort.fullname" .root }}-{{ .part }}
labels:
  {{- include "cohort.labels" . | nindent 2 }}
{{- end -}}

{{- define "cohort.stepsNamespace" -}}
{{- default (printf "%s-steps" .Release.Namespace) .Values.steps.namespace -}}
{{- end -}}

{{- define "cohort.apiUrl" -}}
{{- printf "http://%s-api.%s.svc:8470" (include "cohort.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* (dict "root" $ "image" "api") */}}
{{- define "cohort.image" -}}
{{- $images := .root.Values.images -}}
{{- $digest := get $images.digests .image -}}
{{- if $digest -}}
{{- printf "%s/%s@%s" $images.registry .image $digest -}}
{{- else -}}
{{- printf "%s/%s:%s" $images.registry .image (default .root.Chart.AppVersion $images.tag) -}}
{{- end -}}
{{- end -}}

{{- define "cohort.redisSecret" -}}
{{- default (printf "%s-redis" (include "cohort.fullname" .)) .Values.redis.existingSecret -}}
{{- end -}}

{{- define "cohort.runnerSecret" -}}
{{- default (printf "%s-runner" (include "cohort.fullname" .)) .Values.secrets.runner.existingSecret -}}
{{- end -}}

{{- define "cohort.apiKeySecret" -}}
{{- default (printf "%s-api-key" (include "cohort.fullname" .)) .Values.secrets.apiKey.existingSecret -}}
{{- end -}}

{{/* A key of a Secret as it is in the cluster, else a fresh one. (dict "root" $ "secret" … "key" … "fresh" …) */}}
{{- define "cohort.kept" -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace .secret).data | default dict -}}
{{- if hasKey $there .key -}}
{{- get $there .key | b64dec -}}
{{- else -}}
{{- .fresh -}}
{{- end -}}
{{- end -}}

{{- define "cohort.keepsFiles" -}}
{{- if hasPrefix "file:" .Values.artifacts.url -}}yes{{- end -}}
{{- end -}}

{{/* Settings as variables; numbers are written out. */}}
{{- define "cohort.settings" -}}
{{- range $name, $value := . }}
- name: COHORT_{{ upper $name }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end -}}

{{/* One variable out of a Secret. (list "NAME" "secret" "key") */}}
{{- define "cohort.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/* The variables of every service. */}}
{{- define "cohort.sharedEnvironment" -}}
- name: COHORT_EXECUTOR
  value: kubernetes
- name: COHORT_POOLS_FILE
  value: /etc/cohort/pools.yaml
- name: COHORT_ARTIFACT_URL
  value: {{ .Values.artifacts.url | quote }}
- name: COHORT_REDIS_CLUSTER
  value: {{ .Values.redis.cluster | quote }}
{{ include "cohort.fromSecret" (list "COHORT_REDIS_URL" (include "cohort.redisSecret" .) "redis-url") }}
{{ include "cohort.fromSecret" (list "COHORT_BROKER_URL" (include "cohort.redisSecret" .) "broker-url") }}
{{- with .Values.tracing }}
{{- if .url }}
- name: COHORT_TRACES_URL
  value: {{ .url | quote }}
- name: COHORT_TRACES_RATIO
  value: {{ .ratio | quote }}
{{- if .existingSecret }}
{{ include "cohort.fromSecret" (list "COHORT_TRACES_HEADERS" .existingSecret "traces-headers") }}
{{- end }}
{{- end }}
{{- end }}
{{- include "cohort.settings" .Values.settings }}
{{- end -}}

{{- define "cohort.artifactCredentials" -}}
{{- with .Values.artifacts.existingSecret }}
- secretRef:
    name: {{ . }}
{{- end }}
{{- end -}}

{{- define "cohort.mounts" -}}
- name: tmp
  mountPath: /tmp
- name: pools
  mountPath: /etc/cohort
  readOnly: true
{{- if include "cohort.keepsFiles" . }}
- name: artifacts
  mountPath: /var/lib/cohort/artifacts
{{- end }}
{{- end -}}

{{- define "cohort.volumes" -}}
- name: tmp
  emptyDir: {}
- name: pools
  configMap:
    name: {{ include "cohort.fullname" . }}-pools
{{- if include "cohort.keepsFiles" . }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-artifacts" (include "cohort.fullname" .)) .Values.artifacts.volume.existingClaim }}
{{- end }}
{{- end -}}

{{/* What every pod of ours is. (dict "root" $ "user" 10001) */}}
{{- define "cohort.podSecurity" -}}
# The variables that the cluster makes of a Service named `cohort-api` would be settings that nobody knows.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "cohort.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where the pods of a part go: as the values say, and not all to one place. (dict "root" $ "part" … "values" …) */}}
{{- define "cohort.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cohort.selector" (dict "root" $.root "part" $.part) | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Pods are replaced when what they read at their start is another. */}}
{{- define "cohort.podMetadata" -}}
labels:
  {{- include "cohort.labels" . | nindent 2 }}
annotations:
  checksum/pools: {{ include "cohort.poolsFile" .root | sha256sum }}
  {{- if and (eq .part "worker") .root.Values.tools }}
  checksum/tools: {{ toYaml .root.Values.tools | sha256sum }}
  {{- end }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "cohort.poolsFile" -}}
{{- $steps := .Values.steps -}}
{{- toYaml (dict "pools" $steps.pools "images" $steps.images "quota" $steps.quota "secrets" $steps.secrets) -}}
{{- end -}}

{{/* The pods of a part, as a peer of a NetworkPolicy of this namespace. */}}
{{- define "cohort.peer" -}}
podSelector:
  matchLabels:
    {{- include "cohort.selector" . | nindent 4 }}
{{- end -}}

{{/* What a part may be reached by and reach. (dict "root" $ "part" … "ingress" rules "egress" rules) */}}
{{- define "cohort.policy" -}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "cohort.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "cohort.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with .ingress }}
  ingress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .egress }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
