{{- define "riskloop.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "riskloop.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "riskloop.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "riskloop.config" -}}
{{ .Values.configSecret | default (printf "%s-config" (include "riskloop.name" .)) }}
{{- end }}

{{/* What would run and lose something, or not run at all, is refused before anything is installed. */}}
{{- define "riskloop.check" -}}
{{- if not (has .Values.database (list "sqlite" "postgresql")) }}
{{- fail (printf "database is sqlite or postgresql, not %q." .Values.database) }}
{{- end }}
{{- if eq (not .Values.config) (not .Values.configSecret) }}
{{- fail "Give the text of riskloop.toml as config, or the name of a Secret that holds it as configSecret: one of both." }}
{{- end }}
{{- $postgres := contains "postgresql+psycopg://" .Values.config }}
{{- if and .Values.config (ne $postgres (eq .Values.database "postgresql")) }}
{{- fail (printf "database is %s, and [storage] url of config says otherwise." .Values.database) }}
{{- end }}
{{- if regexMatch "postgresql\\+psycopg://[^/@\\s:]*:[^@\\s]+@" .Values.config }}
{{- fail "config holds the database's password; leave it out of the url, and name a Secret as password.secret." }}
{{- end }}
{{- $pods := add (int .Values.api.replicas) (int .Values.worker.replicas) }}
{{- if eq .Values.database "sqlite" }}
{{- if or (gt (int .Values.api.replicas) 1) (gt (int .Values.worker.replicas) 1) }}
{{- fail "SQLite is a file of one pod: api.replicas and worker.replicas stay 1. For more take database: postgresql." }}
{{- end }}
{{- else if and (gt $pods 1) (not .Values.persistence.existingClaim) (ne .Values.persistence.accessMode "ReadWriteMany") }}
{{- fail "Several pods share models and segments: persistence.accessMode is ReadWriteMany, or name an existingClaim that is." }}
{{- end }}
{{- end }}

{{/* What every pod of riskloop is; .args and .resources are its own. */}}
{{- define "riskloop.pod" -}}
{{- $root := .root }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 40
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: riskloop
    image: {{ printf "%s:%s" $root.Values.image.repository ($root.Values.image.tag | default $root.Chart.AppVersion) | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    {{- if $root.Values.maintenance }}
    command: [python, -c, "import signal; signal.sigwait({signal.SIGTERM})"]
    {{- else }}
    args: {{ toJson .args }}
    {{- end }}
    {{- with $root.Values.password.secret }}
    env:
      - name: PGPASSWORD
        valueFrom:
          secretKeyRef: {name: {{ . }}, key: {{ $root.Values.password.key }}}
    {{- end }}
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
    {{- if and .http (not $root.Values.maintenance) }}
    ports:
      - {name: http, containerPort: 8000}
    startupProbe:
      httpGet: {path: /healthz, port: http}
      periodSeconds: 5
      failureThreshold: 36
    livenessProbe:
      httpGet: {path: /healthz, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
    {{- end }}
    resources: {{ toYaml .resources | nindent 6 }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: config, mountPath: /data/riskloop.toml, subPath: riskloop.toml, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: data
    persistentVolumeClaim:
      claimName: {{ $root.Values.persistence.existingClaim | default (include "riskloop.name" $root) }}
  - name: config
    secret: {secretName: {{ include "riskloop.config" $root }}}
  - name: tmp
    emptyDir: {}
{{- end }}
