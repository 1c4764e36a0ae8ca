"""PREP-07 to PREP-09: requests with alternatives, and opaque parameters."""

from __future__ import annotations

from collections.abc import Sequence

from pydra_testbed.conformance.asking import prepared, refused, unprepared
from pydra_testbed.conformance.claims import opaque
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.offer import Offered
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.conformance.subject import Parameters
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.objects import KubeObject

_UNKNOWN = "pydraConformanceField"
_REQUEST = "wanted/small"
_BASE = "wanted"


async def _base_names(stand: Stand) -> None:
    device = stand.devices(1)[0]
    ref = await stand.claim(stand.use(device, _REQUEST))
    answer = await prepared(stand, ref)
    names = [found.requests for found in answer.devices]
    if names != [(_BASE,)]:
        raise NotMetError(f"request name {_BASE!r} for a result of {_REQUEST!r}", str(names))
    if not stand.subject.parameters:
        return
    await unprepared(stand, ref)  # it may be the only device there is
    device, parameters = await _taken(stand)
    named = opaque(stand.driver.name, parameters, requests=[_BASE])
    general = opaque(stand.driver.name, parameters)
    if await _effect(stand, device, [named]) != await _effect(stand, device, [general]):
        raise NotMetError(
            f"parameters for {_BASE!r} applied to {_REQUEST!r}",
            "other container edits than with parameters for all requests",
        )


async def _precedence(stand: Stand) -> None:
    name = stand.driver.name
    device, first, second = await _pair(stand)
    alone = await _effect(stand, device, [opaque(name, second)])
    of_class = opaque(name, first, source="FromClass")
    for what, config in (
        ("the claim's parameters over the class's", [opaque(name, second), of_class]),
        ("the last of the claim's parameters", [opaque(name, first), opaque(name, second)]),
    ):
        if await _effect(stand, device, config) != alone:
            raise NotMetError(f"{what}, as if they were alone", "other container edits")


async def _strict(stand: Stand) -> None:
    device = stand.devices(1)[0]
    name = stand.driver.name
    valid = stand.subject.parameters
    if valid:
        device, parameters = await _taken(stand)
    else:
        parameters = {"apiVersion": "conformance.example/v1", "kind": "Unknown"}
    wrong = opaque(name, {**parameters, _UNKNOWN: True})
    ref = await stand.claim(stand.use(device), config=[wrong])
    text = await refused(stand, ref, f"its parameters have an unknown field {_UNKNOWN}")
    if valid and _UNKNOWN not in text:
        raise NotMetError(f"an error that names {_UNKNOWN}", text)


async def _taken(stand: Stand) -> tuple[Offered, Parameters]:
    """The first device and parameters that the driver takes together, an effect to be seen first."""
    for parameters in stand.subject.parameters:
        for device in stand.offer.together():
            if await _effect(stand, device, [opaque(stand.driver.name, parameters)]) is not None:
                return device, parameters
    raise UnsuitedError("no published device takes the parameters of --config")


async def _pair(stand: Stand) -> tuple[Offered, Parameters, Parameters]:
    """Two parameters with different effects on one device."""
    first_of, *others = stand.subject.parameters or ({},)
    if not others:
        raise UnsuitedError("needs --config FILE with a list of two valid parameters")
    for device in stand.offer.together():
        first = await _effect(stand, device, [opaque(stand.driver.name, first_of)])
        for other in others:
            second = await _effect(stand, device, [opaque(stand.driver.name, other)])
            if None not in (first, second) and first != second:
                return device, first_of, other
    raise UnsuitedError("no two parameters of --config make a difference that container edits show")


async def _effect(stand: Stand, device: Offered, config: Sequence[KubeObject]) -> str | None:
    """The edits of a claim with this config; None if it is refused."""
    ref = await stand.claim(stand.use(device, _REQUEST), config=config)
    try:
        answer = (await stand.driver.prepare(ref))[ref.uid]
    except RpcError as err:
        raise NotMetError("an answer", str(err)) from err
    if answer.error:
        return None
    edits = stand.cdi.edits(ref, answer)
    for share in (found.share_id for found in answer.devices if found.share_id):
        edits = edits.replace(share, "SHARE")
    await unprepared(stand, ref)
    return edits


CASES = (
    Case(
        "PREP-07", "answers alternatives by their base request, and applies its parameters",
        "A result's request may be `request/subrequest`; the kubelet and configs know the base name (KEP-4816).",
        "Strip everything after `/` in the answer; match config.requests with both names.",
        _base_names,
    ),
    Case(
        "PREP-08", "takes the claim's parameters before the class's, and the last of each",
        "status.allocation.devices.config is ordered class before claim, later entries win (KEP-4381).",
        "Sort by source, FromClass first, and let the last matching entry win.",
        _precedence,
    ),
    Case(
        "PREP-09", "refuses parameters with an unknown field, and names it",
        "A misspelt field that is ignored gives a user something else than asked for.",
        "Decode strictly, and put the path of the bad field, never its value, into the error.",
        _strict,
    ),
)  # fmt: skip
