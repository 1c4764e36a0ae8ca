"""Container edits applied to an OCI spec, kind by kind; `injection` is the only caller.

Order and replacement follow the reference library: the edits of all devices come together before any is
applied, so that all variables are set before the first node; variables are replaced in place, nodes and
mounts of the same path are replaced and go to the end, hooks and cgroup rules are appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydra_cdi._fragments import Fragment, MountPiece, NodePiece
from pydra_cdi._oci import KeyedList, OciSpec, sort_mounts
from pydra_cdi.errors import InjectionError
from pydra_cdi.host import Host, NodeFacts


def apply_edits(oci: OciSpec, fragments: Sequence[Fragment], host: Host) -> None:
    """Change `oci` as the edits say.

    Raises:
        InjectionError: A node cannot be made or the OCI spec has the wrong shape; `oci` holds what was applied
            before.
    """
    _set_env(oci, [entry for one in fragments for entry in one.env])
    nodes = _Nodes(oci, host)
    for one in fragments:
        for node in one.nodes:
            nodes.add(node, one.origin)
    for one in fragments:
        for host_name, name in one.net_devices:
            _move_interface(oci, host_name, name, one.origin)
    _add_mounts(oci, [mount for one in fragments for mount in one.mounts])
    _add_hooks(oci, [hook for one in fragments for hook in one.hooks])
    for one in fragments:
        if one.rdt is not None:
            oci.member("linux")["intelRdt"] = _copied(one.rdt)
    _add_gids(oci, [gid for one in fragments for gid in one.gids])


def _set_env(oci: OciSpec, entries: Sequence[tuple[str, str]]) -> None:
    if not entries:
        return
    env = oci.items("process", "env")
    places = {str(entry).partition("=")[0]: index for index, entry in enumerate(env)}
    for name, entry in entries:
        if name in places:
            env[places[name]] = entry
        else:
            places[name] = len(env)
            env.append(entry)


class _Nodes:
    """The device nodes and cgroup rules of a container; its lists are made when the first node is good."""

    def __init__(self, oci: OciSpec, host: Host) -> None:
        self._oci, self._host = oci, host
        self._owners: tuple[Any, Any] | None = None
        self._rules: list[Any] | None = None

    def add(self, node: NodePiece, origin: str) -> None:
        device = _oci_device(node, self._host, origin)
        if self._owners is None:
            self._begin()
        self._set_owners(device, node)
        if same := self._known.append(device):
            _replace(self._devices, same, device)
        if node.access and device["type"] in "bc":
            self._allow(device, node.access)

    def _begin(self) -> None:
        user = [self._oci.peek("process", "user", name) for name in ("uid", "gid")]
        self._owners = user[0], user[1]
        self._devices = self._oci.items("linux", "devices")
        self._known = KeyedList(self._devices, "path", "linux.devices")

    def _set_owners(self, device: dict[str, Any], node: NodePiece) -> None:
        """Give the node to whom the spec says, else to the process's user unless that is root."""
        uid, gid = self._owners or (None, None)
        if node.uid is not None or uid:
            device["uid"] = uid if node.uid is None else node.uid
        if node.gid is not None or gid:
            device["gid"] = gid if node.gid is None else node.gid

    def _allow(self, device: dict[str, Any], access: str) -> None:
        if self._rules is None:
            self._rules = self._oci.items("linux", "resources", "devices")
        rule = {"allow": True, "type": device["type"], "major": device["major"]}
        self._rules.append({**rule, "minor": device["minor"], "access": access})


def _replace(devices: list[Any], same: Sequence[int], new: dict[str, Any]) -> None:
    """Take the first of the same path out, then overwrite the next one in its place or append."""
    if len(same) > 1:
        devices[same[1]] = new
    else:
        devices.append(new)
    del devices[same[0]]


def _oci_device(node: NodePiece, host: Host, origin: str) -> dict[str, Any]:
    facts = None if node.complete else _facts(node, host, origin)
    node_type, major, minor, mode = node.type, node.major, node.minor, node.file_mode
    if facts is not None:
        node_type = node_type or facts.type
        if major == 0 and node_type != "p":
            major, minor = facts.major, facts.minor
        if mode is None:
            mode = facts.file_mode
    device = {"path": node.path, "type": node_type, "major": major, "minor": minor}
    if mode is not None:
        device["fileMode"] = mode
    return device


def _facts(node: NodePiece, host: Host, origin: str) -> NodeFacts | None:
    """Look the node up; a node that is fully given needs no host, so one that is missing there is no error."""
    try:
        facts = host.node_facts(node.host_path)
    except (OSError, ValueError) as error:
        if node.fully_given:
            return None
        why = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "prepare the device first, or give type, major and minor in the spec"
        raise InjectionError(
            f"{origin}: device node {node.host_path} of the host cannot be used: {why}; {remedy}"
        ) from error
    if not node.fully_given and node.type not in {"", facts.type}:
        remedy = "correct the type in the spec or leave it out"
        raise InjectionError(
            f"{origin}: device node {node.host_path} of the host has type {facts.type}, not {node.type}; {remedy}"
        )
    return facts


def _move_interface(oci: OciSpec, host_interface: str, name: str, origin: str) -> None:
    interfaces = oci.member("linux", "netDevices")
    for other in interfaces:
        taken = oci.peek("linux", "netDevices", other, "name") == name
        if taken and other != host_interface:
            message = f"network interface {name} of the container is {other} of the host already"
            raise InjectionError(
                f"{origin}: {message}; give {host_interface} another name in its spec"
            )
    interfaces[host_interface] = {"name": name}


def _add_mounts(oci: OciSpec, pieces: Sequence[MountPiece]) -> None:
    if not pieces:
        return
    mounts = oci.items("mounts")
    mapped = any(piece.identity for piece in pieces) and oci.in_user_namespace()
    known = KeyedList(mounts, "destination", "mounts")
    for piece in pieces:
        new = dict(piece.members)
        # Nobody in a user namespace owns the files of a bind mount unless their IDs are mapped.
        identity = [piece.identity] if mapped and piece.identity else []
        if options := [*piece.options, *identity]:
            new["options"] = options
        if same := known.append(new):
            del mounts[same[0]]
            mounts.append(new)
    sort_mounts(mounts)


def _add_hooks(oci: OciSpec, hooks: Sequence[tuple[str, dict[str, Any]]]) -> None:
    stages = {stage: oci.items("hooks", stage) for stage, _ in hooks}
    for stage, hook in hooks:
        stages[stage].append(_copied(hook))


def _add_gids(oci: OciSpec, gids: Sequence[int]) -> None:
    if gids:
        present = oci.items("process", "user", "additionalGids")
        present.extend(gid for gid in dict.fromkeys(gids) if gid not in present)


def _copied(piece: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(member) if isinstance(member, list) else member for name, member in piece.items()
    }
