{{/* Names, labels and paths: said once, used by every template. */}}

{{- define "dra-driver.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "dra-driver.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dra-driver.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dra-driver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dra-driver.labels" -}}
{{ include "dra-driver.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dra-driver.serviceAccount" -}}
{{- $named := .Values.serviceAccount.name -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dra-driver.fullname" .) $named -}}
{{- else -}}
{{- required "serviceAccount.name: name the account that is there already, or leave serviceAccount.create on" $named -}}
{{- end -}}
{{- end -}}

{{- define "dra-driver.publisher" -}}
{{- printf "%s-publish" (include "dra-driver.fullname" . | trunc 55 | trimSuffix "-") -}}
{{- end -}}

{{- define "dra-driver.mpsKeeper" -}}
{{- printf "%s-mps-keeper" (include "dra-driver.fullname" . | trunc 52 | trimSuffix "-") -}}
{{- end -}}

{{/* Settings both programs have. */}}
{{- define "dra-driver.settings" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: HTTP_ADDRESS
  value: "$(POD_IP):{{ .Values.httpPort }}"
{{ include "dra-driver.logging" . }}
{{- with .Values.settings }}
- name: DISCOVER_INTERVAL
  value: {{ .discoverInterval | quote }}
- name: DRAIN_TIMEOUT
  value: {{ .drainTimeout | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "dra-driver.logging" -}}
{{- with .Values.settings -}}
- name: LOG_LEVEL
  value: {{ .logLevel | quote }}
- name: LOG_FORMAT
  value: {{ .logFormat | quote }}
{{- end }}
{{- end -}}

{{/* Which modes are asked for, as words; without claims the other one is all there is. */}}
{{- define "dra-driver.dra" -}}
{{- $dra := .Values.dra | toString -}}
{{- if and (ne $dra "false") (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "dra: Kubernetes %s has no resource.k8s.io/v1, which begins with 1.34; set dra=false to serve extended resources there" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $dra -}}
{{- end -}}

{{- define "dra-driver.devicePlugin" -}}
{{- or .Values.devicePlugin.enabled (eq (include "dra-driver.dra" .) "false") -}}
{{- end -}}

{{/* Not empty where a node may be served as by a device plugin, so that the kubelet's folders for that are needed. */}}
{{- define "dra-driver.counted" -}}
{{- if or .Values.devicePlugin.enabled (ne (include "dra-driver.dra" .) "true") -}}yes{{- end -}}
{{- end -}}

{{- define "dra-driver.modes" -}}
- name: ENABLE_DRA
  value: {{ include "dra-driver.dra" . | quote }}
- name: ENABLE_DEVICE_PLUGIN
  value: {{ include "dra-driver.devicePlugin" . | quote }}
- name: DEVICE_PLUGIN_ANSWER
  value: {{ .Values.devicePlugin.answer | quote }}
{{- end -}}

{{/* Parts of GPUs, and who holds MPS daemons; none of it where it is not asked for. */}}
{{- define "dra-driver.sharing" -}}
{{- with .Values.shares.of }}
- name: NVIDIA_SHARES
  value: {{ . | toString | quote }}
{{- end }}
{{- with .Values.shares.gpus }}
- name: NVIDIA_SHARED_GPUS
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.mps.enabled }}
- name: NVIDIA_MPS
  value: "on"
- name: NVIDIA_MPS_DIR
  value: {{ .Values.mps.dir | quote }}
{{- end }}
{{- end -}}

{{/* On which nodes, and how, the pods run of which each node with devices has one. */}}
{{- define "dra-driver.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
priorityClassName: {{ .Values.priorityClass.name }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ add (ceil .Values.settings.drainTimeout) 20 }}
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The port both programs serve, and who asks it. */}}
{{- define "dra-driver.probes" -}}
ports:
  - name: http
    containerPort: {{ .Values.httpPort }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /healthz, port: http}
  initialDelaySeconds: 10
  periodSeconds: 20
  timeoutSeconds: 5
{{- end -}}

{{- define "dra-driver.driver" -}}
{{- required "driver.name: which driver? give a vendor's values: -f values/<vendor>.yaml" .Values.driver.name -}}
{{- end -}}

{{- define "dra-driver.program" -}}
{{- required "driver.program: the driver's program in its image, such as pydra-pizza" .Values.driver.program -}}
{{- end -}}

{{- define "dra-driver.image" -}}
{{- $of := .Values.image -}}
{{- $where := required "image.repository: the image's name, such as pydra-pizza" $of.repository -}}
{{- with $of.registry -}}{{- $where = printf "%s/%s" (trimSuffix "/" .) $where -}}{{- end -}}
{{- if $of.digest -}}
{{- printf "%s@%s" $where $of.digest -}}
{{- else -}}
{{- printf "%s:%s" $where (default .Chart.AppVersion $of.tag) -}}
{{- end -}}
{{- end -}}

{{/*
The folder below plugins that the driver gets. Its own is enough, unless a socket in it would have a path longer than the
kernel's 107 bytes: pydra-core then puts it, with a short name, into the folder above.
*/}}
{{- define "dra-driver.pluginsDir" -}}
{{- $plugins := printf "%s/plugins" .Values.kubeletRootDir -}}
{{- $own := printf "%s/%s" $plugins (include "dra-driver.driver" .) -}}
{{- $socket := printf "%s/dra-00000000-0000-0000-0000-000000000000.sock" $own -}}
{{- if gt (len $socket) 107 -}}{{- $plugins -}}{{- else -}}{{- $own -}}{{- end -}}
{{- end -}}

{{/* Names of the classes, as JSON; one that was set to null may still be a key. */}}
{{- define "dra-driver.classes" -}}
{{- $names := list -}}
{{- range $name, $class := .Values.deviceClasses -}}
{{- if $class -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- dict "names" $names | toJson -}}
{{- end -}}

{{- define "dra-driver.testClass" -}}
{{- $names := (include "dra-driver.classes" . | fromJson).names -}}
{{- $first := "" -}}{{- with $names -}}{{- $first = first . -}}{{- end -}}
{{- required "test.deviceClass: there is no class to claim a device of; name one, or leave test.check empty" (default $first .Values.test.deviceClass) -}}
{{- end -}}

{{/* What the pod of `helm test` does to get a device, in words; empty if there is no test. */}}
{{- define "dra-driver.tested" -}}
{{- if .Values.test.check -}}
{{- if ne (include "dra-driver.dra" .) "false" -}}
claim a device of class {{ include "dra-driver.testClass" . }}
{{- else if .Values.test.resource -}}
ask for {{ .Values.test.resource }}
{{- end -}}
{{- end -}}
{{- end -}}
