"""The admission policy of a model: wrong parameters are refused when they are written, not when a pod starts.

A ValidatingAdmissionPolicy (KEP-3488, `admissionregistration.k8s.io/v1`, Kubernetes 1.30) needs no webhook. It looks
at claims and templates only when they are created, as their spec never changes and an old one must stay deletable;
at classes also when their spec changes. Objects without parameters of the driver are none of its business.
"""

from __future__ import annotations

from typing import Any

from pydra_core._parameters.constraints import literal
from pydra_core._parameters.models import Model, shape_of
from pydra_core._parameters.rules import Rule, rules

_API = "admissionregistration.k8s.io/v1"
_MOST = 32
"""Configuration entries of a claim or class, by the API."""
_LONGEST = 1000
_ENTRIES = (
    "(request.kind.kind == 'DeviceClass' ? dyn(object).spec.?config : "
    "request.kind.kind == 'ResourceClaimTemplate' ? dyn(object).spec.spec.?devices.?config : "
    "dyn(object).spec.?devices.?config).orValue([])"
)
_WHERE = (
    "request.kind.kind == 'DeviceClass' ? 'spec.config[' : "
    "request.kind.kind == 'ResourceClaimTemplate' ? 'spec.spec.devices.config[' : 'spec.devices.config['"
)
_CHANGED = (
    "request.operation == 'CREATE' || dyn(object).spec.?config.orValue([])"
    " != dyn(oldObject).spec.?config.orValue([])"
)


def policy(
    driver: str, model: Model | None, *, name: str = "", action: str = "Deny"
) -> list[dict[str, Any]]:
    """The policy and its binding.

    Args:
        driver: whose parameters are checked.
        model: what they may be; None refuses all.
        name: of both objects; by default `parameters.<driver>`.
        action: what becomes of an object that breaks a rule: Deny, Warn or Audit.

    Raises:
        ConfigError: the model has something that CEL cannot judge; names the field.
    """
    name = name or f"parameters.{driver}"
    if model is None:
        held: tuple[Rule, ...] = (
            Rule("", "this driver takes no parameters; remove them", "false"),
        )
    else:
        held = rules(shape_of(model))
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": _resource_rules()},
        "matchConditions": [
            {"name": "has-parameters-of-this-driver", "expression": _addressed(driver)},
            {"name": "config-is-new", "expression": _CHANGED},
        ],
        "variables": _variables(driver, held),
        "validations": [_validation(number, rule) for number, rule in enumerate(held)],
    }
    binding = {"policyName": name, "validationActions": [action]}
    return [
        _document("ValidatingAdmissionPolicy", name, spec),
        _document("ValidatingAdmissionPolicyBinding", name, binding),
    ]


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "pydra"}
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def _resource_rules() -> list[dict[str, Any]]:
    return [
        {
            "apiGroups": ["resource.k8s.io"],
            "apiVersions": ["v1"],
            "operations": list(operations),
            "resources": list(resources),
        }
        for operations, resources in (
            (("CREATE",), ("resourceclaims", "resourceclaimtemplates")),
            (("CREATE", "UPDATE"), ("deviceclasses",)),
        )
    ]


def _addressed(driver: str) -> str:
    return f"{_ENTRIES}.exists(e, {_ours('e', driver)})"


def _ours(entry: str, driver: str) -> str:
    return f"has({entry}.opaque) && {entry}.opaque.driver == {literal(driver)}"


def _variables(driver: str, held: tuple[Rule, ...]) -> list[dict[str, str]]:
    """The entries, the positions of ours, and for each rule the positions that break it."""
    positions = f"[{', '.join(map(str, range(_MOST)))}]"
    entry = "variables.entries[i]"
    ours = f"{positions}.filter(i, i < size(variables.entries) && {_ours(entry, driver)})"
    variables = [
        {"name": "entries", "expression": _ENTRIES},
        {"name": "where", "expression": _WHERE},
        {"name": "ours", "expression": ours},
    ]
    for number, rule in enumerate(held):
        broken = f"variables.ours.filter(i, ![{entry}.opaque.parameters].all(p, {rule.holds}))"
        variables.append({"name": f"broken{number}", "expression": broken})
    return variables


def _validation(number: int, rule: Rule) -> dict[str, str]:
    broken = f"variables.broken{number}"
    says = rule.says.replace("\n", "\\n")  # a message of one line is asked for
    path = f".{rule.path}" if rule.path and not rule.path.startswith("[") else rule.path
    start = f"variables.where + string({broken}[0]) + '].opaque.parameters' + "
    text = start + literal(f"{path}: {says}")
    if rule.strangers:
        names = f"[variables.entries[{broken}[0]].opaque.parameters].map(p, {rule.strangers})[0]"
        before = f"{path}." if path else "."
        text = f"{start}{literal(before)} + {names}[0] + {literal(f': {says}')}"
    message = f"opaque.parameters{path}: {says}"
    return {
        "expression": f"size({broken}) == 0",
        "messageExpression": text,
        "message": message[:_LONGEST],
    }
