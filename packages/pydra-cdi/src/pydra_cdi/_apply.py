"""Container edits applied to an OCI spec, kind by kind; `injection` is the only caller.

Order and replacement follow the reference library: variables are replaced in place, nodes and mounts of
the same path are replaced and go to the end, hooks and cgroup rules are appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pydra_cdi._oci import OciSpec, text
from pydra_cdi.errors import InjectionError
from pydra_cdi.host import NodeFacts, node_facts
from pydra_cdi.model import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount, NetDevice

_IDENTITY_OPTIONS = {"bind": "idmap", "rbind": "ridmap"}


def apply_edits(oci: OciSpec, edits: ContainerEdits, host: Path) -> None:
    """Change `oci` as the edits say.

    Raises:
        InjectionError: A node cannot be made or the OCI spec has the wrong shape; `oci` may be half changed.
    """
    if edits.env:
        _set_env(oci.items("process", "env"), edits.env)
    for node in edits.device_nodes:
        _add_node(oci, node, host)
    for interface in edits.net_devices:
        _move_interface(oci, interface)
    for mount in edits.mounts:
        _add_mount(oci, mount)
    for hook in edits.hooks:
        oci.items("hooks", hook.hook_name).append(_oci_hook(hook))
    if edits.intel_rdt is not None:
        oci.member("linux")["intelRdt"] = _oci_rdt(edits.intel_rdt)
    if gids := [gid for gid in edits.additional_gids if gid]:
        present = oci.items("process", "user", "additionalGids")
        present.extend(gid for gid in dict.fromkeys(gids) if gid not in present)


def _set_env(env: list[Any], entries: Sequence[str]) -> None:
    places = {str(entry).partition("=")[0]: index for index, entry in enumerate(env)}
    for entry in entries:
        name = entry.partition("=")[0]
        if name in places:
            env[places[name]] = entry
        else:
            places[name] = len(env)
            env.append(entry)


def _add_node(oci: OciSpec, node: DeviceNode, host: Path) -> None:
    device = _oci_device(node, host)
    for name in ("uid", "gid"):
        declared = getattr(node, name)
        owner = oci.peek("process", "user", name) if declared is None else declared
        if declared is not None or owner:
            device[name] = owner
    _replace(oci.items("linux", "devices"), device)
    if device["type"] in {"b", "c"} and node.permissions != "none":
        rule = {"allow": True, **{name: device[name] for name in ("type", "major", "minor")}}
        rules = oci.items("linux", "resources", "devices")
        rules.append({**rule, "access": node.permissions or "rwm"})


def _replace(devices: list[Any], new: dict[str, Any]) -> None:
    """Take the first of the same path out, then overwrite the next one in its place or append."""
    paths = [text(device, "path", "linux.devices") for device in devices]
    same = [index for index, path in enumerate(paths) if path == new["path"]]
    if len(same) > 1:
        devices[same[1]] = new
    else:
        devices.append(new)
    for index in same[:1]:
        del devices[index]


def _oci_device(node: DeviceNode, host: Path) -> dict[str, Any]:
    facts = _facts(node, host)
    node_type = node.type or (facts.type if facts else "")
    major, minor = node.major, node.minor
    if facts and major == 0 and node_type != "p":
        major, minor = facts.major, facts.minor
    device = {"path": node.path, "type": node_type, "major": major, "minor": minor}
    mode = facts.file_mode if facts and node.file_mode is None else node.file_mode
    return device if mode is None else {**device, "fileMode": mode}


def _facts(node: DeviceNode, host: Path) -> NodeFacts | None:
    """Look the node up; a node that is fully given needs no host, so one that is missing there is no error."""
    fully_given = node.type == "p" or (node.type != "" and node.major != 0)
    path = node.host_path or node.path
    try:
        facts = node_facts(host, path)
    except (OSError, ValueError) as error:
        if fully_given:
            return None
        why = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "prepare the device first, or give type, major and minor in the spec"
        raise InjectionError(
            f"device node {path} of the host cannot be used: {why}; {remedy}"
        ) from error
    if not fully_given and node.type not in {"", facts.type}:
        remedy = "correct the type in the spec or leave it out"
        raise InjectionError(
            f"device node {path} of the host has type {facts.type}, not {node.type}; {remedy}"
        )
    return facts


def _move_interface(oci: OciSpec, interface: NetDevice) -> None:
    interfaces = oci.member("linux", "netDevices")
    for host_name in interfaces:
        taken = oci.peek("linux", "netDevices", host_name, "name") == interface.name
        if taken and host_name != interface.host_interface_name:
            message = f"network interface {interface.name} of the container is {host_name} of the host already"
            raise InjectionError(
                f"{message}; give {interface.host_interface_name} another name in its spec"
            )
    interfaces[interface.host_interface_name] = {"name": interface.name}


def _add_mount(oci: OciSpec, mount: Mount) -> None:
    new: dict[str, Any] = {"destination": mount.container_path}
    if mount.type:
        new["type"] = mount.type
    new["source"] = mount.host_path
    if options := _options(mount, oci):
        new["options"] = options
    mounts = oci.items("mounts")
    destinations = [text(item, "destination", "mounts") for item in mounts]
    if mount.container_path in destinations:
        del mounts[destinations.index(mount.container_path)]
    mounts.append(new)


def _options(mount: Mount, oci: OciSpec) -> list[str]:
    """Bind mounts of a container with a user namespace need ID mapping, or nobody in it owns their files."""
    options = list(mount.options)
    binds = [_IDENTITY_OPTIONS[option] for option in options if option in _IDENTITY_OPTIONS]
    if not binds or not {"idmap", "ridmap"}.isdisjoint(options):
        return options
    namespaces = oci.peek("linux", "namespaces") or []
    in_user_namespace = any(
        text(namespace, "type", "linux.namespaces") == "user" for namespace in namespaces
    )
    return [*options, binds[-1]] if in_user_namespace else options


def _oci_hook(hook: Hook) -> dict[str, Any]:
    fields = _given(hook)
    del fields["hookName"]
    return fields


def _oci_rdt(rdt: IntelRdt) -> dict[str, Any]:
    return {name: value for name, value in _given(rdt).items() if value != []}


def _given(value: Hook | IntelRdt) -> dict[str, Any]:
    """Give the fields that are not zero by the names that CDI and OCI share."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return {
        name: list(field) if isinstance(field, tuple) else field for name, field in fields.items()
    }
