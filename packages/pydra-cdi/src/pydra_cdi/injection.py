"""Devices put into a container: device IDs and an OCI spec in, a new OCI spec out.

A runtime calls it between creating a container's OCI spec and starting it. Rests on the CDI specification,
"OCI Edits", and the OCI runtime specification; where the reference library and safety part ways,
`docs/dev/cdi-differences.md` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydra_cdi._apply import apply_edits
from pydra_cdi._fragments import Fragment, cut
from pydra_cdi._oci import OciSpec
from pydra_cdi.errors import InjectionError, UnresolvedDevicesError
from pydra_cdi.host import Host
from pydra_cdi.snapshot import FoundDevice, LoadedSpec, Snapshot

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
        InjectionError: A device node does not exist, or the OCI spec has the wrong shape; `applied` holds what
            was done before.
    """
    wanted = list(device_ids)
    if not isinstance(oci_spec, Mapping):
        message = "the OCI spec is no object; give the container's config.json as a dict"
        raise InjectionError(message, device_ids=wanted)
    fragments = _in_order(_resolve(wanted, snapshot))
    oci = OciSpec(oci_spec)
    try:
        apply_edits(oci, fragments, Host(host))
    except InjectionError as error:
        error.applied = oci.spec
        raise
    return oci.spec


def _in_order(found: Sequence[FoundDevice]) -> list[Fragment]:
    seen: set[int] = set()
    fragments = []
    for device in found:
        origin = device.origin
        if id(origin) not in seen:
            seen.add(id(origin))
            fragments.append(_of_spec(origin))
        fragments.append(_of_device(device))
    return fragments


def _of_spec(origin: LoadedSpec) -> Fragment:
    if (known := origin.fragments.get("")) is None:
        known = cut(f"CDI spec file {origin.path}", origin.spec.container_edits)
        origin.fragments[""] = known
    return known


def _of_device(found: FoundDevice) -> Fragment:
    fragments = found.origin.fragments
    if (known := fragments.get(found.device_id)) is None:
        known = cut(f"CDI device {found.device_id}", found.device.container_edits)
        fragments[found.device_id] = known
    return known


def _resolve(device_ids: Sequence[str], snapshot: Snapshot) -> list[FoundDevice]:
    devices = snapshot.devices
    found = [devices[device_id] for device_id in device_ids if device_id in devices]
    if len(found) < len(device_ids):
        missing = [device_id for device_id in device_ids if device_id not in devices]
        causes = [_why_missing(device_id, snapshot) for device_id in dict.fromkeys(missing)]
        raise UnresolvedDevicesError(missing, causes)
    return found


def _why_missing(device_id: str, snapshot: Snapshot) -> str:
    if files := snapshot.conflicts.get(device_id):
        return f"{device_id} is defined by {' and '.join(map(str, files))} at once, so by none: remove all but one"
    places = ", ".join(map(str, snapshot.directories)) or "no directory"
    cause = f"{device_id} is defined by no valid file in {places}: write its spec file there"
    if unused := [*snapshot.errors, *snapshot.unread]:
        cause += f" (not used because of errors: {', '.join(map(str, unused))})"
    return cause
