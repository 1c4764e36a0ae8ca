"""ValidatingAdmissionPolicy and its binding: what they must name, and that expressions compile (KEP-3488)."""

from __future__ import annotations

from collections.abc import Iterator

from pydra_testbed.api._causes import Causes, forbidden, invalid, not_supported, required
from pydra_testbed.api._context import Context
from pydra_testbed.api._names import dns_subdomain
from pydra_testbed.api._rules.meta import metadata, metadata_update
from pydra_testbed.cel.errors import CelCompileError
from pydra_testbed.cel.expressions import compile_expression
from pydra_testbed.objects import KubeObject

_ACTIONS = ("Audit", "Deny", "Warn")
_NOT_SERVED = "is not served by the testbed"


def new_policy(obj: KubeObject, _context: Context) -> Causes:
    return metadata(obj, namespaced=False, name_check=dns_subdomain) + _policy(obj)


def changed_policy(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _policy(new)


def _policy(obj: KubeObject) -> Causes:
    spec = obj.get("spec") or {}
    found = _unserved("spec", spec, "paramKind")
    if not spec.get("matchConstraints"):
        found.append(required("spec.matchConstraints"))
    found += _limits("spec.matchConstraints", spec.get("matchConstraints") or {})
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        detail = "validations or auditAnnotations must contain at least one item"
        found.append(required("spec.validations", detail))
    for field, text in _expressions(spec):
        found += _expression(field, text)
    return found


def _expressions(spec: KubeObject) -> Iterator[tuple[str, str]]:
    for part in ("matchConditions", "variables", "validations"):
        for index, entry in enumerate(spec.get(part) or ()):
            yield f"spec.{part}[{index}].expression", str(entry.get("expression", ""))
            if entry.get("messageExpression"):
                yield f"spec.{part}[{index}].messageExpression", str(entry["messageExpression"])


def _expression(field: str, text: str) -> Causes:
    if not text.strip():
        return [required(field, "expression is not specified")]
    try:
        compile_expression(text)
    except CelCompileError as error:
        return [invalid(field, text, str(error))]
    return []


def _limits(field: str, limit: KubeObject) -> Causes:
    found: Causes = []
    for name in ("namespaceSelector", "objectSelector"):
        if limit.get(name):
            found.append(forbidden(f"{field}.{name}", _NOT_SERVED))
    return found


def _unserved(field: str, holder: KubeObject, name: str) -> Causes:
    return [forbidden(f"{field}.{name}", _NOT_SERVED)] if holder.get(name) else []


def new_policy_binding(obj: KubeObject, _context: Context) -> Causes:
    return metadata(obj, namespaced=False, name_check=dns_subdomain) + _policy_binding(obj)


def changed_policy_binding(new: KubeObject, old: KubeObject, _context: Context) -> Causes:
    return metadata_update(new, old) + _policy_binding(new)


def _policy_binding(obj: KubeObject) -> Causes:
    spec = obj.get("spec") or {}
    found = [] if spec.get("policyName") else [required("spec.policyName")]
    found += _unserved("spec", spec, "paramRef")
    found += _limits("spec.matchResources", spec.get("matchResources") or {})
    actions = spec.get("validationActions") or []
    if not actions:
        found.append(required("spec.validationActions"))
    found += [
        not_supported(f"spec.validationActions[{index}]", action, _ACTIONS)
        for index, action in enumerate(actions)
        if action not in _ACTIONS
    ]
    return found
