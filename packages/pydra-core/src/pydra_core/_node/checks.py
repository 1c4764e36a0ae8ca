"""What is checked at the two doors of the claim path: the kubelet's reference and the driver's answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pydra_core._api.rules import is_label, is_subdomain
from pydra_core._state.records import DeviceUse
from pydra_core._values import Claim, ClaimRef, PreparedDevice
from pydra_core.errors import ClaimError, DeviceGoneError, DriverFailedError

_SHOWN = 80
_UID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def check_uid(ref: ClaimRef) -> None:
    """Refuse a UID that could not be part of a file name: it becomes one.

    Raises:
        ClaimError: names the claim; the API server only makes UUIDs.
    """
    if not _UID.fullmatch(ref.uid):
        raise ClaimError(
            f"claim {ref}: UID {ref.uid[:80]!r} is not letters, digits and dashes (at most 63)"
        )


def check_ref(ref: ClaimRef) -> None:
    """Refuse a reference no API server can have made, before it becomes a path, a URL or a line in the log.

    Raises:
        ClaimError: names the field; what it holds is shown in part, for it may be of any length.
    """
    for field, value, fits, rule in (
        ("UID", ref.uid, bool(_UID.fullmatch(ref.uid)), "letters, digits and dashes (at most 63)"),
        ("namespace", ref.namespace, is_label(ref.namespace), "a DNS label"),
        ("name", ref.name, is_subdomain(ref.name), "a DNS subdomain of at most 253 characters"),
    ):
        if not fits:
            raise ClaimError(
                f"claim {_shown(ref.namespace)}/{_shown(ref.name)} (UID {_shown(ref.uid)}):"
                f" {field} {_shown(value)} is not {rule}; no API server made it"
            )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def check_answer(driver: str, claim: Claim, devices: Sequence[PreparedDevice]) -> None:
    """Insist on one prepared device for each allocation: the kubelet would drop the reason otherwise.

    Raises:
        DriverFailedError: names what is missing or not asked for.
    """
    wanted = Counter((a.request, a.pool, a.device, a.share_id) for a in claim.allocations)
    given = Counter((d.request, d.pool, d.device, d.share_id) for d in devices)
    missing, extra = wanted - given, given - wanted
    if missing or extra:
        parts = [
            f"{word} {_names(keys)}"
            for word, keys in (("no answer for", missing), ("unasked", extra))
            if keys
        ]
        raise DriverFailedError(
            f"claim {claim.ref}: driver {driver} returned {' and '.join(parts)};"
            " prepare must return one device per allocation (a bug of the driver)"
        )


def _names(keys: Counter[tuple[str, str, str, str]]) -> str:
    return ", ".join(f"{device!r} of request {request!r}" for request, _, device, _ in keys)


def uses_of(claim: Claim) -> tuple[DeviceUse, ...]:
    """What the claim takes, as the journal keeps it."""
    return tuple(
        DeviceUse(
            pool=a.pool,
            device=a.device,
            share_id=a.share_id,
            admin=a.admin_access,
            consumed=dict(a.consumed),
        )
        for a in claim.allocations
    )


def offer_nothing(ref: ClaimRef) -> Claim:
    """Refuse a device ID where there are no extended resources. Raises `DeviceGoneError`."""
    raise DeviceGoneError(
        f"claim {ref}: this process offers no extended resources", device=ref.name
    )
