"""Container edits cut into the pieces of an OCI spec, once for each snapshot; `injection` asks for them.

A runtime injects the same devices again and again, and what depends on neither the container nor the host is
the same each time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pydra_cdi.model import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount

_IDENTITY_OPTIONS = {"bind": "idmap", "rbind": "ridmap"}


class NodePiece(NamedTuple):
    """A device node; the fields are those of `DeviceNode`, with what follows from them.

    `fully_given` nodes need not exist on the host; `complete` ones need nothing from it.
    """

    path: str
    host_path: str
    type: str
    major: int
    minor: int
    file_mode: int | None
    uid: int | None
    gid: int | None
    access: str
    fully_given: bool
    complete: bool


class MountPiece(NamedTuple):
    """A mount as OCI has it, and the option it needs in a container with a user namespace."""

    destination: str
    members: dict[str, Any]
    options: list[str]
    identity: str


class Fragment(NamedTuple):
    """One block of container edits; `origin` is what error messages call it."""

    origin: str
    env: list[tuple[str, str]]
    nodes: list[NodePiece]
    net_devices: list[tuple[str, str]]
    mounts: list[MountPiece]
    hooks: list[tuple[str, dict[str, Any]]]
    rdt: dict[str, Any] | None
    gids: list[int]


def cut(origin: str, edits: ContainerEdits) -> Fragment:
    """Cut edits into pieces; what is in a piece must be copied before it goes into an OCI spec."""
    return Fragment(
        origin=origin,
        env=[(entry.partition("=")[0], entry) for entry in edits.env],
        nodes=[_node(node) for node in edits.device_nodes],
        net_devices=[(one.host_interface_name, one.name) for one in edits.net_devices],
        mounts=[_mount(mount) for mount in edits.mounts],
        hooks=[_hook(hook) for hook in edits.hooks],
        rdt=None if edits.intel_rdt is None else _rdt(edits.intel_rdt),
        gids=[gid for gid in edits.additional_gids if gid],
    )


def _node(node: DeviceNode) -> NodePiece:
    # runc refuses a cgroup rule without access, so there is none for "none".
    access = "" if node.permissions == "none" else node.permissions or "rwm"
    return NodePiece(
        path=node.path,
        host_path=node.host_path or node.path,
        type=node.type,
        major=node.major,
        minor=node.minor,
        file_mode=node.file_mode,
        uid=node.uid,
        gid=node.gid,
        access=access,
        fully_given=node.is_fully_given,
        complete=node.is_fully_given and node.file_mode is not None,
    )


def _mount(mount: Mount) -> MountPiece:
    members: dict[str, Any] = {"destination": mount.container_path}
    if mount.type:
        members["type"] = mount.type
    members["source"] = mount.host_path
    options = list(mount.options)
    binds = [_IDENTITY_OPTIONS[option] for option in options if option in _IDENTITY_OPTIONS]
    mapped = not {"idmap", "ridmap"}.isdisjoint(options)
    return MountPiece(
        mount.container_path, members, options, binds[-1] if binds and not mapped else ""
    )


def _hook(hook: Hook) -> tuple[str, dict[str, Any]]:
    fields = _given(hook)
    return fields.pop("hookName"), fields


def _rdt(rdt: IntelRdt) -> dict[str, Any]:
    return {name: value for name, value in _given(rdt).items() if value != []}


def _given(value: Hook | IntelRdt) -> dict[str, Any]:
    """Give the fields that are not zero by the names that CDI and OCI share."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return fields
