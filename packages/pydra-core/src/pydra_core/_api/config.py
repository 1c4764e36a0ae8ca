"""Opaque parameters of a claim, decoded with Kubernetes' precedence.

Entries from the class come before entries from the claim, the last that matches wins, an empty request list
matches all, and a base request name covers its subrequests.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pydra_core._parameters.decoding import ParametersError, decode
from pydra_core._parameters.models import Model
from pydra_core._values import ClaimRef
from pydra_core.errors import ClaimConfigError


class Opaque(msgspec.Struct):
    """Parameters addressed to one driver, kept as they were sent until the driver's model reads them."""

    driver: str
    parameters: msgspec.Raw = msgspec.Raw(b"null")


class RawConfig(msgspec.Struct):
    """One entry of `status.allocation.devices.config`."""

    source: str = "FromClaim"
    requests: list[str] | None = None
    opaque: Opaque | None = None


class Configs:
    """The entries of one claim that address one driver, decoded once each."""

    def __init__(
        self, ref: ClaimRef, driver: str, model: Model | None, entries: list[RawConfig]
    ) -> None:
        ours = [e for e in entries if e.opaque is not None and e.opaque.driver == driver]
        ordered = sorted(ours, key=lambda e: e.source != "FromClass")
        self._decoded = [(e.requests or [], _decode(ref, driver, model, e)) for e in ordered]

    def for_request(self, request: str) -> Any:
        """Return the config for a result's `request` (`base` or `base/sub`), or None."""
        names = {request, request.partition("/")[0]}
        matching = [
            value for requests, value in self._decoded if not requests or names & set(requests)
        ]
        return matching[-1] if matching else None


def _decode(ref: ClaimRef, driver: str, model: Model | None, entry: RawConfig) -> Any:
    where = "its device class" if entry.source == "FromClass" else "the claim"
    if model is None:
        raise ClaimConfigError(
            f"claim {ref}: {where} has parameters for driver {driver}, which takes none; remove them",
            path="",
        )
    parameters = entry.opaque.parameters if entry.opaque else msgspec.Raw(b"null")
    try:
        return decode(model, parameters)
    except ParametersError as err:
        raise ClaimConfigError(
            f"claim {ref}: parameters of driver {driver} from {where}{' ' if err.path else ': '}{err}",
            path=err.path,
        ) from None  # the cause quotes values, which have no place in a trace
