"""The devices of one claim's allocation, checked before a driver, a file name or the journal sees them.

The API server has checked them too; but what is built from these names is trusted by a container runtime, and
a driver must be able to rely on them whoever answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pydra_core._api.config import Configs
from pydra_core._api.rules import is_label, is_subdomain
from pydra_core._values import Allocation, ClaimRef, Toleration
from pydra_core.errors import ClaimError
from pydra_core.quantity import QuantityError, parse

_MOST_RESULTS = 32
_SHOWN = 80
_SHARE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Toleration(msgspec.Struct):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class Result(msgspec.Struct, rename="camel"):
    """One entry of `status.allocation.devices.results`."""

    request: str
    driver: str
    pool: str
    device: str
    admin_access: bool | None = None
    share_id: str | None = msgspec.field(default=None, name="shareID")
    consumed_capacity: dict[str, str] | None = None
    tolerations: list[_Toleration] | None = None


def allocations(
    ref: ClaimRef, results: Mapping[int, Result], configs: Configs
) -> tuple[Allocation, ...]:
    """Turn the results of one driver, by their place among all, into what its `prepare` gets.

    Raises:
        ClaimError: a field breaks a limit of `resource.k8s.io/v1`, or one result is there twice; names it.
    """
    if len(results) > _MOST_RESULTS:
        raise ClaimError(
            f"claim {ref}: allocated to {len(results)} devices, a claim holds at most {_MOST_RESULTS};"
            " delete it and let it be allocated again"
        )
    for index, result in results.items():
        for field, problem in _problems(result):
            raise ClaimError(
                f"claim {ref}: status.allocation.devices.results[{index}].{field}: {problem};"
                " delete the claim and let it be allocated again"
            )
    found = tuple(_allocation(result, configs) for result in results.values())
    _check_unique(ref, found)
    return found


def _problems(result: Result) -> Iterator[tuple[str, str]]:
    names = result.request.split("/")
    if len(names) > 2 or not all(map(is_label, names)):  # noqa: PLR2004 (request/subrequest)
        yield "request", f"{_shown(result.request)} is not a request's name, or request/subrequest"
    if len(result.pool) > 253 or not all(map(is_subdomain, result.pool.split("/"))):  # noqa: PLR2004 (API limit)
        yield "pool", f"{_shown(result.pool)} is not DNS subdomains separated by slashes"
    if not is_label(result.device):
        yield "device", f"{_shown(result.device)} is not a DNS label"
    if result.share_id is not None and not _SHARE.fullmatch(result.share_id):
        yield "shareID", f"{_shown(result.share_id)} is not a lower-case UUID"
    yield from _capacities(result.consumed_capacity or {})


def _capacities(consumed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in consumed.items():
        try:
            parse(value)
        except QuantityError:
            yield "consumedCapacity", f"{_shown(value)} of {_shown(name)} is not a quantity"


def _check_unique(ref: ClaimRef, found: Sequence[Allocation]) -> None:
    seen: set[tuple[str, ...]] = set()
    for a in found:
        key = (a.request, a.pool, a.device, a.share_id)
        if key in seen:
            raise ClaimError(
                f"claim {ref}: its allocation names device {a.device!r} of pool {a.pool!r} twice for request"
                f" {a.request!r}; delete the claim and let it be allocated again"
            )
        seen.add(key)


def _allocation(result: Result, configs: Configs) -> Allocation:
    base, _, subrequest = result.request.partition("/")
    return Allocation(
        request=base,
        subrequest=subrequest,
        pool=result.pool,
        device=result.device,
        share_id=result.share_id or "",
        admin_access=bool(result.admin_access),
        consumed=result.consumed_capacity or {},
        tolerations=tuple(
            Toleration(t.key or "", t.operator or "Equal", t.value or "", t.effect or "")
            for t in result.tolerations or ()
        ),
        config=configs.for_request(result.request),
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
