"""Node selectors: which nodes a slice, a device, an allocation or a pod's affinity means (core/v1 NodeSelector)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    # All terms are looked at: a malformed one is an error even behind a match.
    matches = [term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ()]
    return any(matches)


def term_matches(term: Body, node: Node) -> bool:
    """Whether all expressions of one term hold."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    matches = [_holds(requirement, node.labels) for requirement in expressions]
    matches += [_holds(requirement, {NAME_FIELD: node.name}) for requirement in fields]
    return all(matches)


def _holds(requirement: Body, values: Mapping[str, str]) -> bool:
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
        case "Gt":
            return _compares(requirement, values, lambda actual, limit: actual > limit)
        case "Lt":
            return _compares(requirement, values, lambda actual, limit: actual < limit)
    raise AllocationError(f"failed to parse node selector: {operator!r} is not a valid operator")


def _compares(
    requirement: Body, values: Mapping[str, str], compare: Callable[[int, int], bool]
) -> bool:
    text = requirement["values"][0]
    limit = _integer(text)
    if limit is None:
        raise AllocationError(
            f'failed to parse node selector: {requirement["key"]}: Invalid value: "{text}": '
            "for 'Gt', 'Lt' operators, the value must be an integer"
        )
    actual = _integer(values.get(requirement["key"], ""))
    return actual is not None and compare(actual, limit)


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def only_node(name: str) -> dict[str, Any]:
    """The selector that an allocation of a node's own devices carries."""
    requirement = {"key": NAME_FIELD, "operator": "In", "values": [name]}
    return {"nodeSelectorTerms": [{"matchFields": [requirement]}]}
