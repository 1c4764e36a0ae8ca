"""What is checked at the two doors of the claim path: the kubelet's UID and the driver's answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pydra_core._values import Claim, ClaimRef, PreparedDevice
from pydra_core.errors import ClaimError, DriverFailedError

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
