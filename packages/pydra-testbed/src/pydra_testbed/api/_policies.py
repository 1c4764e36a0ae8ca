"""Validating admission policies (KEP-3488): rules of the cluster's own, held against each write.

Drivers' charts use them to keep a node's driver to the slices of its node. Parameters, and matching by namespace or
object labels, are not served; policies that ask for them are refused when they are created.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydra_testbed.api._context import ANYONE, Writer
from pydra_testbed.api._core import Core, Target
from pydra_testbed.api._kinds import Kind
from pydra_testbed.api._problems import forbidden
from pydra_testbed.api._versions import from_stored
from pydra_testbed.cel.errors import CelEvaluationError
from pydra_testbed.cel.expressions import compile_expression
from pydra_testbed.objects import ApiStatusError, KubeObject

GROUP = "admissionregistration.k8s.io"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_ANY = "*"
_INT64 = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Write:
    """What is about to be written: objects in stored form, None before a creation or after a deletion."""

    operation: str
    target: Target
    new: KubeObject | None
    old: KubeObject | None
    writer: Writer = ANYONE
    dry_run: bool = False

    @property
    def name(self) -> str:
        held = self.new or self.old or {"metadata": {}}
        return str(held["metadata"].get("name", ""))


def admit(core: Core, write: Write) -> tuple[str, ...]:
    """The warnings that policies have for a write.

    Raises:
        ApiStatusError: a policy denies it; 422 unless the policy gives another reason.
    """
    if write.target.kind.group == GROUP:
        return ()
    bindings = core.store.bucket(f"validatingadmissionpolicybindings.{GROUP}").objects
    policies = core.store.bucket(f"validatingadmissionpolicies.{GROUP}").objects
    if not bindings:
        return ()
    warnings: list[str] = []
    for stored in sorted(bindings.values(), key=lambda entry: entry.key):
        binding = stored.decode()
        policy = policies.get(("", binding["spec"].get("policyName", "")))
        if policy is not None:
            warnings += _held(core, write, policy.decode(), binding)
    return tuple(warnings)


def admit_deletion(core: Core, target: Target, writer: Writer, *, dry_run: bool) -> None:
    """Hold a deletion against the policies.

    Raises:
        ApiStatusError: 404, or as `admit`.
    """
    old = core.find(target).decode()
    admit(core, Write("DELETE", target, None, old, writer, dry_run))


def _held(core: Core, write: Write, policy: KubeObject, binding: KubeObject) -> list[str]:
    limits = [policy["spec"].get("matchConstraints"), binding["spec"].get("matchResources")]
    kinds = [_seen_as(core, write, limit) for limit in limits if limit]
    if None in kinds or not kinds:
        return []
    pair = f"'{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
    warnings = []
    for message, reason in _violations(core, write, kinds[0] or write.target.kind, policy["spec"]):
        actions = binding["spec"].get("validationActions") or ()
        if "Deny" in actions:
            raise _denied(
                write, f"ValidatingAdmissionPolicy {pair} denied request: {message}", reason
            )
        if "Warn" in actions:
            warnings.append(f"Validation failed for ValidatingAdmissionPolicy {pair}: {message}")
    return warnings


def _denied(write: Write, message: str, reason: str) -> ApiStatusError:
    error = forbidden(write.target.kind, write.name, message)
    error.reason = reason
    error.code = _CODES.get(reason, _CODES["Invalid"])
    error.details["causes"] = [{"message": message}]
    return error


def _seen_as(core: Core, write: Write, limit: KubeObject) -> Kind | None:
    """The version in which a policy meets the object, None when it does not concern it."""
    if any(
        _concerned(core, write, limit, rule) for rule in limit.get("excludeResourceRules") or ()
    ):
        return None
    rules = limit.get("resourceRules")
    if rules is None:
        return write.target.kind
    found = (_concerned(core, write, limit, rule) for rule in rules)
    return next((kind for kind in found if kind is not None), None)


def _concerned(core: Core, write: Write, limit: KubeObject, rule: KubeObject) -> Kind | None:
    kind, sub = write.target.kind, write.target.subresource
    resource = f"{kind.plural}/{sub}" if sub else kind.plural
    scope = "Namespaced" if kind.namespaced else "Cluster"
    known = {"*/*", resource, f"{kind.plural}/*", f"*/{sub}" if sub else _ANY}
    fits = (
        _among(write.operation, rule.get("operations"))
        and _among(kind.group, rule.get("apiGroups"))
        and bool(known & set(rule.get("resources") or ()))
        and rule.get("scope", _ANY) in {_ANY, scope}
        and (not rule.get("resourceNames") or write.name in rule["resourceNames"])
    )
    if not fits:
        return None
    versions = rule.get("apiVersions") or ()
    if _among(kind.version, versions):
        return kind
    if limit.get("matchPolicy", "Equivalent") != "Equivalent":
        return None
    served = (core.catalog.at(kind.group, version, kind.plural) for version in versions)
    return next((other for other in served if other is not None), None)


def _among(value: str, wanted: Any) -> bool:
    return value in (wanted or ()) or _ANY in (wanted or ())


def _violations(
    core: Core, write: Write, kind: Kind, spec: KubeObject
) -> Iterator[tuple[str, str]]:
    """Message and reason of each validation that does not hold."""
    values = _values(core, write, kind)
    fails = spec.get("failurePolicy", "Fail") == "Fail"
    try:
        conditions = [
            _run(entry["expression"], values) for entry in spec.get("matchConditions") or ()
        ]
    except CelEvaluationError as error:
        if fails:
            yield str(error), "Invalid"
        return
    if not all(conditions):
        return
    for entry in spec.get("variables") or ():
        try:
            values["variables"][entry["name"]] = _run(entry["expression"], values)
        except CelEvaluationError:
            continue  # Whoever reads it fails, as in Kubernetes, where variables are made when they are read.
    for entry in spec.get("validations") or ():
        try:
            holds = _run(entry["expression"], values)
        except CelEvaluationError as error:
            if fails:
                text = f"expression '{entry['expression']}' resulted in error: {error}"
                yield text, entry.get("reason") or "Invalid"
            continue
        if holds is not True:
            yield _message(entry, values), entry.get("reason") or "Invalid"


def _run(expression: str, values: dict[str, Any]) -> Any:
    return compile_expression(expression).evaluate(values)


def _message(entry: KubeObject, values: dict[str, Any]) -> str:
    if entry.get("messageExpression"):
        try:
            text = _run(entry["messageExpression"], values)
        except CelEvaluationError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return str(entry.get("message") or f"failed expression: {entry['expression'].strip()}")


def _values(core: Core, write: Write, kind: Kind) -> dict[str, Any]:
    target = write.target
    namespace = core.namespace(target.namespace) if target.namespace else None
    named = {"group": kind.group, "version": kind.version}
    return {
        "object": None if write.new is None else _numbers(from_stored(kind, write.new)),
        "oldObject": None if write.old is None else _numbers(from_stored(kind, write.old)),
        "variables": {},
        "namespaceObject": namespace.decode() if namespace else None,
        "request": {
            "kind": named | {"kind": kind.kind},
            "resource": named | {"resource": kind.plural},
            "subResource": target.subresource,
            "name": write.name,
            "namespace": target.namespace,
            "operation": write.operation,
            "userInfo": dict(write.writer.info),
            "dryRun": write.dry_run,
        },
    }


def _numbers(value: Any) -> Any:
    """Whole numbers beyond 64 bits are floats to Go's decoder of JSON."""
    match value:
        case dict():
            return {key: _numbers(each) for key, each in value.items()}
        case list():
            return [_numbers(each) for each in value]
        case int() if not _INT64[0] <= value <= _INT64[1]:
            return float(value)
    return value
