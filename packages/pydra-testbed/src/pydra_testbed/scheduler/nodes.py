"""Node selectors: which nodes a slice, a device, an allocation or a pod's affinity means (core/v1 NodeSelector)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydra_testbed.scheduler.model import AllocationError, Node, Placement

Body = Mapping[str, Any]
NAME_FIELD = "metadata.name"


def placement_matches(placement: Placement, node: Node) -> bool:
    """Whether something placed there can be used from the node; without any placement it cannot.

    Raises:
        AllocationError: the selector is malformed.
    """
    if placement.node_name:
        return placement.node_name == node.name
    if placement.all_nodes or placement.selector is None:
        return placement.all_nodes
    return selector_matches(placement.selector, node)


def selector_matches(selector: Body, node: Node) -> bool:
    """Whether one of the selector's terms matches; an empty term matches nothing.

    Raises:
        AllocationError: `Gt` or `Lt` without an integer, or an unknown operator.
    """
    terms = selector.get("nodeSelectorTerms") or ()
    try:
        # All terms are looked at: a malformed one is an error even behind a match.
        matches = [_matches(term, node, f"nodeSelectorTerms[{i}]") for i, term in enumerate(terms)]
    except ValueError as problem:
        text = f"failed to parse node selector {as_go_prints(selector)}: {problem}"
        raise AllocationError(text) from problem
    return any(matches)


def term_matches(term: Body, node: Node) -> bool:
    """Whether all expressions of one term hold; a malformed one does not."""
    try:
        return _matches(term, node, "")
    except ValueError:
        return False


def _matches(term: Body, node: Node, path: str) -> bool:
    parts = {"matchExpressions": node.labels, "matchFields": {NAME_FIELD: node.name}}
    found = [
        _holds(requirement, values, f"{path}.{name}[{index}]")
        for name, values in parts.items()
        for index, requirement in enumerate(term.get(name) or ())
    ]
    return bool(found) and all(found)


def _holds(requirement: Body, values: Mapping[str, str], path: str) -> bool:
    key, operator = requirement["key"], requirement["operator"]
    wanted = requirement.get("values") or []
    match operator:
        case "In":
            return values.get(key) in wanted
        case "NotIn":
            return values.get(key) not in wanted
        case "Exists":
            return key in values
        case "DoesNotExist":
            return key not in values
        case "Gt" | "Lt":
            return _exceeds(values.get(key, ""), wanted[0], operator, path)
    raise ValueError(f'{path}.operator: Invalid value: "{operator}": not a valid selector operator')


def _exceeds(actual: str, limit: str, operator: str, path: str) -> bool:
    bound, value = _integer(limit), _integer(actual)
    if bound is None:
        raise ValueError(
            f'{path}.values[0]: Invalid value: "{limit}": '
            "for 'Gt', 'Lt' operators, the value must be an integer"
        )
    if value is None:
        return False
    return value > bound if operator == "Gt" else value < bound


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def as_go_prints(selector: Body) -> str:
    """A node selector in the scheduler's messages."""

    def requirements(found: Any) -> str:
        inner = "".join(
            f"NodeSelectorRequirement{{Key:{r['key']},Operator:{r['operator']},"
            f"Values:[{' '.join(r.get('values') or ())}],}},"
            for r in found or ()
        )
        return f"[]NodeSelectorRequirement{{{inner}}}"

    terms = "".join(
        f"NodeSelectorTerm{{MatchExpressions:{requirements(term.get('matchExpressions'))},"
        f"MatchFields:{requirements(term.get('matchFields'))},}},"
        for term in selector.get("nodeSelectorTerms") or ()
    )
    return f"&NodeSelector{{NodeSelectorTerms:[]NodeSelectorTerm{{{terms}}},}}"


def only_node(name: str) -> dict[str, Any]:
    """The selector that an allocation of a node's own devices carries."""
    requirement = {"key": NAME_FIELD, "operator": "In", "values": [name]}
    return {"nodeSelectorTerms": [{"matchFields": [requirement]}]}
