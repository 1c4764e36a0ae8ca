"""DaemonSets, Deployments, ReplicaSets and Jobs: what is filled in, and the least that must be right.

Read by `_strategies`. Pods made from them are judged as pods when the controllers create them.
"""

from __future__ import annotations

from pydra_testbed.api._causes import Causes, invalid, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._defaults import pod_defaults
from pydra_testbed.api._names import dns_subdomain
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.objects import KubeObject

_QUARTER = "25%"


def daemonset_defaults(obj: KubeObject, context: Context) -> None:
    """One pod at a time is replaced (apps/v1)."""
    spec = _template(obj, context)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 0 if rolling.get("maxSurge") else 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def deployment_defaults(obj: KubeObject, context: Context) -> None:
    """One replica, a quarter of the pods at a time (apps/v1)."""
    spec = _template(obj, context)
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def replicaset_defaults(obj: KubeObject, context: Context) -> None:
    _template(obj, context).setdefault("replicas", 1)


def job_defaults(obj: KubeObject, context: Context) -> None:
    """One completion, six retries (batch/v1)."""
    spec = _template(obj, context)
    if spec.get("parallelism") is None and spec.get("completions") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    for name, value in (
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
    ):
        spec.setdefault(name, value)


def _template(obj: KubeObject, context: Context) -> KubeObject:
    spec: KubeObject = obj.setdefault("spec", {})
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        pod_defaults(template, context)
    return spec


def new_workload(obj: KubeObject, _context: Context) -> Causes:
    """Metadata, containers, and a selector that finds the pods of the template."""
    spec = obj.get("spec") or {}
    found = metadata(obj, namespaced=True, name_check=dns_subdomain) + _containers(spec)
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not wanted:
        found.append(required("spec.selector"))
    elif not wanted.items() <= labels.items():
        detail = "`selector` does not match template `labels`"
        found.append(invalid("spec.template.metadata.labels", labels, detail))
    return found


def new_job(obj: KubeObject, _context: Context) -> Causes:
    """Metadata, containers, and a restart policy under which pods can end."""
    spec = obj.get("spec") or {}
    found = metadata(obj, namespaced=True, name_check=dns_subdomain) + _containers(spec)
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        detail = 'Required value: valid values: "OnFailure", "Never"'
        found.append(invalid("spec.template.spec.restartPolicy", policy, detail))
    return found


def _containers(spec: KubeObject) -> Causes:
    if ((spec.get("template") or {}).get("spec") or {}).get("containers"):
        return []
    return [required("spec.template.spec.containers")]


def changed_workload(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    """The selector stays: pods are found by it."""
    found = metadata_update(new, old)
    before, after = ((obj.get("spec") or {}).get("selector") for obj in (old, new))
    if before != after:
        found.append(invalid("spec.selector", after, "field is immutable"))
    return found
