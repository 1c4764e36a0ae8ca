"""Field numbers of the messages that are read, as Kubernetes' `generated.proto` files have them (1.36).

One line is a message; an entry is number, name, type (text when left out). `*` is a list, `?` a field that keeps
its zero value, `map` a map of texts, `data` one of bytes, `amounts` one of quantities. A field with the type `-` is
read and left out: the server writes it itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TABLE = """
ObjectMeta: 1 name, 2 generateName, 3 namespace, 4 selfLink, 5 uid, 6 resourceVersion, 7 generation int, \
8 creationTimestamp -, 9 deletionTimestamp -, 10 deletionGracePeriodSeconds int?, 11 labels map, 12 annotations map, \
13 ownerReferences OwnerReference*, 14 finalizers text*, 17 managedFields -
OwnerReference: 1 kind, 3 name, 4 uid, 5 apiVersion, 6 controller bool?, 7 blockOwnerDeletion bool?
LabelSelector: 1 matchLabels map, 2 matchExpressions LabelRequirement*
LabelRequirement: 1 key, 2 operator, 3 values text*
Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status -
NamespaceSpec: 1 finalizers text*
ConfigMap: 1 metadata ObjectMeta, 2 data map, 3 binaryData data, 4 immutable bool?
Secret: 1 metadata ObjectMeta, 2 data data, 3 type, 4 stringData map, 5 immutable bool?
ServiceAccount: 1 metadata ObjectMeta, 2 secrets ObjectReference*, 3 imagePullSecrets LocalObjectReference*, \
4 automountServiceAccountToken bool?
ObjectReference: 1 kind, 2 namespace, 3 name, 4 uid, 5 apiVersion, 6 resourceVersion, 7 fieldPath
LocalObjectReference: 1 name
Pod: 1 metadata ObjectMeta, 2 spec PodSpec, 3 status -
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
PodSpec: 2 containers Container*, 3 restartPolicy, 4 terminationGracePeriodSeconds int?, 6 dnsPolicy, 7 nodeSelector map, \
8 serviceAccountName, 9 serviceAccount, 10 nodeName, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool, \
14 securityContext Nothing, 15 imagePullSecrets LocalObjectReference*, 16 hostname, 17 subdomain, 19 schedulerName, \
20 initContainers Container*, 24 priorityClassName, 39 resourceClaims PodResourceClaim*
PodResourceClaim: 1 name, 3 resourceClaimName text?, 4 resourceClaimTemplateName text?
Nothing:
Container: 1 name, 2 image, 3 command text*, 4 args text*, 5 workingDir, 6 ports ContainerPort*, 7 env EnvVar*, \
8 resources ResourceRequirements, 13 terminationMessagePath, 14 imagePullPolicy, 16 stdin bool, 17 stdinOnce bool, \
18 tty bool, 20 terminationMessagePolicy
ContainerPort: 1 name, 2 hostPort int, 3 containerPort int, 4 protocol, 5 hostIP
EnvVar: 1 name, 2 value
ResourceRequirements: 1 limits amounts, 2 requests amounts, 3 claims ResourceClaim*
ResourceClaim: 1 name, 2 request
Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status -
DeploymentSpec: 1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, \
5 minReadySeconds int, 6 revisionHistoryLimit int?, 7 paused bool, 9 progressDeadlineSeconds int?
DeploymentStrategy: 1 type
Job: 1 metadata ObjectMeta, 2 spec JobSpec, 3 status -
JobSpec: 1 parallelism int?, 2 completions int?, 3 activeDeadlineSeconds int?, 4 selector LabelSelector, 6 template \
PodTemplateSpec, 7 backoffLimit int?, 8 ttlSecondsAfterFinished int?, 9 completionMode, 10 suspend bool?
Role: 1 metadata ObjectMeta, 2 rules PolicyRule*
ClusterRole: 1 metadata ObjectMeta, 2 rules PolicyRule*
PolicyRule: 1 verbs text*, 2 apiGroups text*, 3 resources text*, 4 resourceNames text*, 5 nonResourceURLs text*
RoleBinding: 1 metadata ObjectMeta, 2 subjects Subject*, 3 roleRef RoleRef
ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects Subject*, 3 roleRef RoleRef
Subject: 1 kind, 2 apiGroup, 3 name, 4 namespace
RoleRef: 1 apiGroup, 2 kind, 3 name
SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec AccessSpec, 3 status -
AccessSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
ResourceAttributes: 1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name
NonResourceAttributes: 1 path, 2 verb
SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec RulesSpec, 3 status -
RulesSpec: 1 namespace
SelfSubjectReview: 1 metadata ObjectMeta, 2 status -
TokenRequest: 1 metadata ObjectMeta, 2 spec TokenSpec, 3 status -
TokenSpec: 1 audiences text*, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds int?
BoundObjectReference: 1 kind, 2 apiVersion, 3 name, 4 uid
"""
TEXT, SKIPPED = "text", "-"


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field: its name, its type, and whether it is a list or keeps a zero value."""

    name: str
    type: str
    repeated: bool = False
    kept: bool = False


def _field(entry: str) -> tuple[int, MessageField]:
    number, name, *types = entry.split()
    kind = types[0] if types else TEXT
    found = MessageField(name, kind.rstrip("*?"), kind.endswith("*"), kind.endswith("?"))
    return int(number), found


def _message(line: str) -> tuple[str, Mapping[int, MessageField]]:
    name, _, entries = line.partition(":")
    return name, dict(_field(entry) for entry in entries.split(",") if entry.strip())


MESSAGES: Mapping[str, Mapping[int, MessageField]] = dict(
    _message(line) for line in _TABLE.splitlines() if line
)
"""Message name to its fields by number."""
