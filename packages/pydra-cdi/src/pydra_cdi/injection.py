"""Devices put into a container: device IDs and an OCI spec in, a new OCI spec out.

A runtime calls it between creating a container's OCI spec and starting it. Rests on the CDI specification,
"OCI Edits", and the OCI runtime specification; where the reference library and safety part ways, the
package's README says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydra_cdi._apply import apply_edits
from pydra_cdi._oci import OciSpec
from pydra_cdi.errors import InjectionError, UnresolvedDevicesError
from pydra_cdi.model import ContainerEdits
from pydra_cdi.registry import FoundDevice, Snapshot

ROOT = Path("/")


def inject(
    oci_spec: Mapping[str, Any], device_ids: Iterable[str], snapshot: Snapshot, *, host: Path = ROOT
) -> dict[str, Any]:
    """Apply the edits of devices to an OCI spec.

    Edits of a spec as a whole come once, before its first device; a device mentioned twice is applied twice,
    as runtimes do.

    Args:
        oci_spec: The container as decoded JSON; not changed.
        device_ids: `vendor/class=name`, in the order in which they are to be applied.
        snapshot: What the spec directories define.
        host: Where the host's device nodes are looked up.

    Returns:
        The new OCI spec; it shares nothing with `oci_spec`.

    Raises:
        UnresolvedDevicesError: Some of the devices are not defined, or in conflict; it names all of them.
        InjectionError: A device node does not exist, or the OCI spec has the wrong shape.
    """
    found = _resolve(list(device_ids), snapshot)
    oci = OciSpec(oci_spec)
    for origin, edits in _in_order(found):
        try:
            apply_edits(oci, edits, host)
        except InjectionError as error:
            raise InjectionError(f"{origin}: {error}") from error
    if any(edits.mounts for _, edits in _in_order(found)):
        oci.sort_mounts()
    return oci.spec


def _in_order(found: Sequence[FoundDevice]) -> Iterator[tuple[str, ContainerEdits]]:
    seen = set()
    for device in found:
        origin = device.origin
        if (key := (origin.priority, origin.path)) not in seen:
            seen.add(key)
            yield f"CDI spec file {origin.path}", origin.spec.container_edits
        yield f"CDI device {device.device_id}", device.device.container_edits


def _resolve(device_ids: Sequence[str], snapshot: Snapshot) -> list[FoundDevice]:
    found = [(device_id, snapshot.find(device_id)) for device_id in device_ids]
    if missing := [device_id for device_id, device in found if device is None]:
        causes = [_why_missing(device_id, snapshot) for device_id in dict.fromkeys(missing)]
        raise UnresolvedDevicesError(missing, causes)
    return [device for _, device in found if device is not None]


def _why_missing(device_id: str, snapshot: Snapshot) -> str:
    if files := snapshot.conflicts.get(device_id):
        return f"{device_id} is defined by {' and '.join(map(str, files))} at once, so by none: remove all but one"
    places = ", ".join(map(str, snapshot.directories)) or "no directory"
    cause = f"{device_id} is defined by no valid file in {places}: write its spec file there"
    if snapshot.errors:
        cause += f" (not used because of errors: {', '.join(map(str, snapshot.errors))})"
    return cause
