"""How each kind is read, filled in, judged and written: one `Strategy` per kind.

The request core asks `strategy_of` and knows nothing about single kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from pydra_testbed.api import _defaults, _gates, _workloads
from pydra_testbed.api._causes import Causes
from pydra_testbed.api._context import Context
from pydra_testbed.api._custom import rules as definitions
from pydra_testbed.api._custom import strategies as custom
from pydra_testbed.api._custom.version import CustomVersion
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._names import dns_label, dns_subdomain
from pydra_testbed.api._rules import (
    claims,
    classes,
    pods,
    policies,
    roles,
    slices,
    status,
    taintrules,
)
from pydra_testbed.api._rules.meta import NameCheck, metadata, metadata_update
from pydra_testbed.api._shapes.claims import DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE
from pydra_testbed.api._shapes.definitions import DEFINITION
from pydra_testbed.api._shapes.devices import DEVICE_TAINT_RULE, RESOURCE_SLICE
from pydra_testbed.api._shapes.meta import ANY_OBJECT
from pydra_testbed.api._shapes.pods import POD
from pydra_testbed.api._shapes.rbac import BINDING, CLUSTER_ROLE, ROLE
from pydra_testbed.api._shapes.types import Struct
from pydra_testbed.api._shapes.workloads import workload
from pydra_testbed.objects import KubeObject

JudgeNew: TypeAlias = Callable[[KubeObject, Context], Causes]
JudgeChange: TypeAlias = Callable[[KubeObject, KubeObject, Context], Causes]


def _plain_change(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old)


def _plain_new(
    name_check: NameCheck, obj: KubeObject, _context: Context, *, namespaced: bool
) -> Causes:
    return metadata(obj, namespaced=namespaced, name_check=name_check)


def _silent(_obj: KubeObject) -> tuple[str, ...]:
    return ()


Prepare: TypeAlias = Callable[[KubeObject, KubeObject, Context], None]
"""Changes a decoded object in place, knowing the stored one, before defaults and rules."""


def _as_sent(_new: KubeObject, _old: KubeObject, _context: Context) -> None:
    """Nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One kind's field table, defaults, gated fields and rules; `prepare` comes first when an object changes."""

    create: JudgeNew
    update: JudgeChange = _plain_change
    status: JudgeChange = _plain_change
    shape: Struct = ANY_OBJECT
    default: Callable[[KubeObject, Context], None] = _defaults.nothing
    gated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    status_gated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    initial_status: Mapping[str, str] = field(default_factory=dict)
    warn: Callable[[KubeObject], tuple[str, ...]] = _silent
    prepare: Prepare = _as_sent
    prepare_status: Prepare = _as_sent


_NAMESPACED = Strategy(partial(_plain_new, dns_subdomain, namespaced=True))
_CLUSTER = Strategy(partial(_plain_new, dns_subdomain, namespaced=False))
_NAMESPACE = Strategy(
    partial(_plain_new, dns_label, namespaced=False),
    default=_defaults.namespace_defaults,
    initial_status={"phase": "Active"},
)
_SECRET = Strategy(_NAMESPACED.create, default=_defaults.secret_defaults)
_POD = Strategy(
    pods.new_pod,
    pods.changed_pod,
    pods.changed_pod_status,
    POD,
    _defaults.pod_defaults,
    status_gated=_gates.POD_STATUS_FIELDS,
    initial_status={"phase": "Pending"},
)
_SLICE = Strategy(
    slices.new_slice,
    slices.changed_slice,
    shape=RESOURCE_SLICE,
    default=_defaults.slice_defaults,
    gated=_gates.SLICE_FIELDS,
    warn=slices.advice,
)
_CLAIM = Strategy(
    claims.new_claim,
    claims.changed_claim,
    status.changed_status,
    RESOURCE_CLAIM,
    _defaults.claim_defaults,
    _gates.claim_fields("spec"),
    _gates.STATUS_FIELDS,
    prepare_status=status.drop_deallocated,
)
_TEMPLATE = Strategy(
    claims.new_template,
    claims.changed_template,
    shape=RESOURCE_CLAIM_TEMPLATE,
    default=_defaults.template_defaults,
    gated=_gates.claim_fields("spec.spec"),
)
_CLASS = Strategy(
    classes.new_class, classes.changed_class, shape=DEVICE_CLASS, gated=_gates.CLASS_FIELDS
)
_WORKLOAD = partial(Strategy, _workloads.new_workload, _workloads.changed_workload)

_TAINT_RULE = Strategy(
    taintrules.new_rule,
    taintrules.changed_rule,
    taintrules.changed_rule_status,
    DEVICE_TAINT_RULE,
    _defaults.rule_defaults,
    prepare=taintrules.renew,
)

_DEFINITION = Strategy(
    definitions.new_definition,
    definitions.changed_definition,
    shape=DEFINITION,
    default=definitions.definition_defaults,
)


def _role(shape: Struct, *, namespaced: bool) -> Strategy:
    return Strategy(
        partial(roles.new_role, namespaced=namespaced),
        partial(roles.changed_role, namespaced=namespaced),
        shape=shape,
    )


def _binding(*, namespaced: bool) -> Strategy:
    return Strategy(
        partial(roles.new_binding, namespaced=namespaced),
        partial(roles.changed_binding, namespaced=namespaced),
        shape=BINDING,
        default=roles.binding_defaults,
    )


_BY_KIND: Mapping[tuple[str, str], Strategy] = {
    ("", "Namespace"): _NAMESPACE,
    ("", "Secret"): _SECRET,
    ("", "Pod"): _POD,
    ("apps", "DaemonSet"): _WORKLOAD(
        shape=workload("DaemonSet"), default=_workloads.daemonset_defaults
    ),
    ("apps", "Deployment"): _WORKLOAD(
        shape=workload("Deployment"), default=_workloads.deployment_defaults
    ),
    ("apps", "ReplicaSet"): _WORKLOAD(
        shape=workload("ReplicaSet"), default=_workloads.replicaset_defaults
    ),
    ("batch", "Job"): Strategy(
        _workloads.new_job, shape=workload("Job"), default=_workloads.job_defaults
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _DEFINITION,
    ("resource.k8s.io", "ResourceSlice"): _SLICE,
    ("resource.k8s.io", "ResourceClaim"): _CLAIM,
    ("resource.k8s.io", "ResourceClaimTemplate"): _TEMPLATE,
    ("resource.k8s.io", "DeviceClass"): _CLASS,
    ("resource.k8s.io", "DeviceTaintRule"): _TAINT_RULE,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): Strategy(
        policies.new_policy, policies.changed_policy
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): Strategy(
        policies.new_policy_binding, policies.changed_policy_binding
    ),
    ("rbac.authorization.k8s.io", "Role"): _role(ROLE, namespaced=True),
    ("rbac.authorization.k8s.io", "ClusterRole"): _role(CLUSTER_ROLE, namespaced=False),
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding(namespaced=True),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding(namespaced=False),
}


def _custom(kind: Kind, version: CustomVersion) -> Strategy:
    change = partial(custom.judge_change, version)
    return Strategy(
        partial(custom.judge_new, kind, version),
        change,
        change,
        default=partial(custom.default, version),
    )


def strategy_of(kind: Kind) -> Strategy:
    """The kind's own strategy, a custom resource's by its definition, or metadata rules alone."""
    if kind.definition is not None:
        return _custom(kind, kind.definition)
    return _BY_KIND.get((kind.group, kind.kind), _NAMESPACED if kind.namespaced else _CLUSTER)
