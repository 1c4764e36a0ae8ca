"""The allocation a claim gets: results, config and node selector, in the form of `status.allocation`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydra_testbed.scheduler.model import AllocationError, Claim, DeviceClass, Request
from pydra_testbed.scheduler.nodes import only_node
from pydra_testbed.scheduler.task import Pick

Body = dict[str, Any]


def allocation(
    claim: Claim, picks: tuple[Pick, ...], classes: Mapping[str, DeviceClass], node: str
) -> Body:
    """Write down the picks of one claim.

    Raises:
        AllocationError: the slices' node selectors cannot be combined.
    """
    devices: Body = {"results": [_result(pick) for pick in picks]}
    if config := _config(claim, picks, classes):
        devices["config"] = config
    body: Body = {"devices": devices}
    if selector := _node_selector(claim, picks, node):
        body["nodeSelector"] = selector
    return body


def _result(pick: Pick) -> Body:
    device, request = pick.device, pick.request
    body: Body = {
        "request": request.full_name,
        "driver": device.id.driver,
        "pool": device.id.pool,
        "device": device.id.name,
    }
    optional: Body = {
        "adminAccess": request.is_admin,
        "tolerations": list(request.tolerations),
        "bindingConditions": list(device.binding_conditions),
        "bindingFailureConditions": list(device.binding_failure_conditions),
        "shareID": pick.share_id,
        "consumedCapacity": {name: str(amount) for name, amount in pick.consumed.items()},
    }
    return body | {name: value for name, value in optional.items() if value}


def _config(
    claim: Claim, picks: tuple[Pick, ...], classes: Mapping[str, DeviceClass]
) -> list[Body]:
    """Classes first, each once for all its requests, then the claim's own."""
    chosen = {pick.request.base_name: pick.request for pick in reversed(picks)}
    requests = [chosen[group.name] for group in claim.groups if group.name in chosen]
    return _class_config(requests, classes) + _claim_config(claim, requests)


def _class_config(requests: list[Request], classes: Mapping[str, DeviceClass]) -> list[Body]:
    by_class: dict[str, list[str]] = {}
    for request in requests:
        by_class.setdefault(request.class_name, []).append(request.full_name)
    return [
        {"source": "FromClass", "requests": list(names), **config}
        for class_name, names in by_class.items()
        for config in classes[class_name].config
    ]


def _claim_config(claim: Claim, requests: list[Request]) -> list[Body]:
    entries: list[Body] = []
    for config in claim.config:
        names = list(config.get("requests") or ())
        rest = {key: value for key, value in config.items() if key != "requests"}
        if not names:
            entries.append({"source": "FromClaim", **rest})
            continue
        # One entry for each request it names: Kubernetes repeats it.
        entries += [
            {"source": "FromClaim", "requests": list(names), **rest}
            for request in requests
            if request.base_name in names or request.full_name in names
        ]
    return entries


def _node_selector(claim: Claim, picks: Iterable[Pick], node: str) -> Body | None:
    """The node of a local device, else the requirements of all devices together, else none."""
    fields: list[Body] = []
    expressions: list[Body] = []
    for pick in picks:
        placement = pick.device.placement
        if placement.node_name or pick.device.binds_to_node:
            return only_node(node)
        if placement.selector is None:
            continue
        terms = placement.selector.get("nodeSelectorTerms") or ()
        if len(terms) > 1:
            raise AllocationError(
                f"create NodeSelector for claim {claim.name}: "
                f"unsupported ResourceSlice.NodeSelector with {len(terms)} terms"
            )
        for term in terms:
            _add_new(fields, term.get("matchFields") or ())
            _add_new(expressions, term.get("matchExpressions") or ())
    term = {"matchFields": fields, "matchExpressions": expressions}
    term = {key: value for key, value in term.items() if value}
    return {"nodeSelectorTerms": [term]} if term else None


def _add_new(into: list[Body], requirements: Iterable[Body]) -> None:
    def identity(requirement: Body) -> tuple[Any, ...]:
        values = frozenset(requirement.get("values") or ())
        return requirement["key"], requirement["operator"], values

    known = {identity(requirement) for requirement in into}
    for requirement in requirements:
        if identity(requirement) not in known:
            known.add(identity(requirement))
            into.append(dict(requirement))
