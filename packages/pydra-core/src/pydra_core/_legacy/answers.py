"""What a container gets with its device IDs: CDI device names, or for runtimes without CDI what these would do.

In plain words there is no hook, no group and no network interface, so a device that needs one is refused rather than
given half. Facts: `v1beta1.ContainerAllocateResponse`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pydra_cdi import ContainerEdits, DeviceNode, Mount, decode_spec
from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._state.records import NO_SPEC, Prepared, ref_of
from pydra_core.errors import HostError

Response: TypeAlias = pb.ContainerAllocateResponse
_BIND = {"", "bind", "none"}
_TOLD = {"ro", "rw", "bind", "rbind", "nosuid", "nodev", "noexec", "private", "rprivate"}
"""Mount options that are said by `read_only`, or are what a kubelet's own mounts have or restrict less."""


def names(given: Sequence[Prepared]) -> Response:
    """CDI device names, each once, in the order of the IDs."""
    found = dict.fromkeys(i for record in given for a in record.answers for i in a.cdi_ids)
    return Response(cdi_devices=[pb.CDIDevice(name=each) for each in found])


def plain(given: Sequence[Prepared]) -> Response:
    """Variables, mounts and device nodes; of two that mean the same place the later one holds, as with CDI.

    Raises:
        HostError: a device needs what cannot be said so.
    """
    envs: dict[str, str] = {}
    mounts: dict[str, pb.Mount] = {}
    nodes: dict[str, pb.DeviceSpec] = {}
    for record, edits in _edits(given):
        if lost := tuple(_lost(edits)):
            raise HostError(
                f"claim {ref_of(record)}: cannot be given without CDI, for its container needs {', '.join(lost)}; use"
                " a runtime with CDI and set DEVICE_PLUGIN_ANSWER=cdi"
            )
        for variable in edits.env:
            name, _, value = variable.partition("=")
            envs[name] = value
        mounts |= {m.container_path: _mount(m) for m in edits.mounts}
        nodes |= {n.path: _node(n) for n in edits.device_nodes}
    return Response(envs=envs, mounts=list(mounts.values()), devices=list(nodes.values()))


def _edits(given: Sequence[Prepared]) -> Iterator[tuple[Prepared, ContainerEdits]]:
    """Those of each ID's devices, with what a spec file says for all of them first."""
    for record in given:
        content = bytes(record.spec)
        if content == bytes(NO_SPEC):
            continue
        spec = decode_spec(content, source=f"journal record of {record.uid}")
        yield record, spec.container_edits
        for device in spec.devices:
            yield record, device.container_edits


def _mount(mount: Mount) -> pb.Mount:
    return pb.Mount(
        container_path=mount.container_path,
        host_path=mount.host_path,
        read_only="ro" in mount.options,
    )


def _node(node: DeviceNode) -> pb.DeviceSpec:
    return pb.DeviceSpec(
        container_path=node.path,
        host_path=node.host_path or node.path,
        permissions=node.permissions or "rwm",
    )


def _lost(edits: ContainerEdits) -> Iterator[str]:
    """What of the edits has no place in the answer."""
    if edits.hooks:
        yield f"the {edits.hooks[0].hook_name} hook {edits.hooks[0].path}"
    if edits.net_devices:
        yield f"network interface {edits.net_devices[0].host_interface_name}"
    if edits.intel_rdt:
        yield "a class of Intel RDT"
    if edits.additional_gids:
        yield f"group {edits.additional_gids[0]}"
    for mount in edits.mounts:
        if mount.type not in _BIND or (more := set(mount.options) - _TOLD):
            what = mount.type if mount.type not in _BIND else ",".join(sorted(more))
            yield f"mount {mount.container_path} with {what}"
    for node in edits.device_nodes:
        if node.uid or node.gid or node.file_mode is not None:
            yield f"device node {node.path} with an owner or a mode of its own"
