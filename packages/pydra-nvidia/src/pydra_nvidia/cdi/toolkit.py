"""What NVIDIA's container toolkit says that containers need, for operators who want exactly that: `nvidia-ctk cdi generate`.

Asked only where `NVIDIA_CTK_PATH` names it, never because it happens to be there: what a container gets must not
change when somebody installs or upgrades another package on the node. Its device numbers are not believed: nodes are
looked at when a claim is prepared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from pydra_cdi import CdiError, ContainerEdits, Hook, Mount, Spec, decode_spec
from pydra_core import HostError
from pydra_nvidia.cdi.roots import Root

_PATIENCE = 20.0
_MOST = 8 << 20
_MOST_TEXT = 300


@dataclass(frozen=True, slots=True)
class ToolkitEdits:
    """What the toolkit said, with paths of the host, without device nodes.

    Attributes:
        common: For every container.
        devices: For each GPU and MIG device, by UUID.
        nodes: Paths below `/dev` that every container gets.
        device_nodes: Those of each device, by UUID.
    """

    common: ContainerEdits
    devices: Mapping[str, ContainerEdits]
    nodes: tuple[str, ...]
    device_nodes: Mapping[str, tuple[str, ...]]


async def ask_toolkit(program: str, root: Root, host: Root, hook: str) -> ToolkitEdits:
    """Run `nvidia-ctk`.

    Args:
        program: its path, as this process sees it.
        root: where the driver is installed.
        host: what stands for `/`.
        hook: path of `nvidia-cdi-hook` on the host; empty: where the toolkit says.

    Raises:
        HostError: it does not run, does not end, or says what cannot be used.
    """
    arguments = ["cdi", "generate", "--format=json", "--device-name-strategy=uuid"]
    if root.seen != Path("/"):
        arguments += [f"--driver-root={root.seen}", f"--dev-root={_dev(root, host)}"]
    if hook:
        arguments += [f"--nvidia-cdi-hook-path={hook}"]
    said = await _said(program, arguments)
    try:
        spec = decode_spec(said, source=program)
    except CdiError as err:
        raise HostError(f"{program}: what it says is no CDI spec: {err}") from err
    return _read(program, spec, root, host)


async def _said(program: str, arguments: Sequence[str]) -> bytes:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as err:
        raise HostError(f"{program}: cannot be run: {err.strerror}; mend NVIDIA_CTK_PATH") from err
    try:
        async with asyncio.timeout(_PATIENCE):
            out, complaint = await process.communicate()
    except TimeoutError:
        raise HostError(f"{program}: does not end within {_PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or len(out) > _MOST:
        text = " ".join(complaint.decode(errors="replace").split())[-_MOST_TEXT:]
        what = (
            f"exited with {process.returncode}: {text}" if process.returncode else "says too much"
        )
        raise HostError(f"{program}: {what}")
    return out


def _read(program: str, spec: Spec, root: Root, host: Root) -> ToolkitEdits:
    every = [spec.container_edits, *(device.container_edits for device in spec.devices)]
    for path in {hook.path for edits in every for hook in edits.hooks}:
        if not host.path(path).is_file():
            raise HostError(
                f"{program}: names the hook {path}, which is not on this node; containers could not start; install it,"
                " or set NVIDIA_CDI_HOOK_PATH"
            )
    devices = {
        device.name: device.container_edits
        for device in spec.devices
        if device.name.startswith(("GPU-", "MIG-"))
    }
    if not devices or not spec.container_edits.mounts:
        raise HostError(f"{program}: names no GPU by UUID, or nothing of the driver")
    return ToolkitEdits(
        common=_translated(spec.container_edits, root, host),
        devices={uuid: _translated(edits, root, host) for uuid, edits in devices.items()},
        nodes=_nodes(spec.container_edits),
        device_nodes={uuid: _nodes(edits) for uuid, edits in devices.items()},
    )


def _translated(edits: ContainerEdits, root: Root, host: Root) -> ContainerEdits:
    return ContainerEdits(
        env=edits.env,
        mounts=[_mount(mount, root, host) for mount in edits.mounts],
        hooks=[_hook(hook, root) for hook in edits.hooks],
    )


def _mount(mount: Mount, root: Root, host: Root) -> Mount:
    path = Path(mount.host_path)
    for where in (root, host):
        if where.seen != Path("/") and path.is_relative_to(where.seen):
            return structs.replace(mount, host_path=where.on_host(where.inner(path)))
    return mount


def _hook(hook: Hook, root: Root) -> Hook:
    """Hooks speak of the container's paths, but for the driver root that some name."""
    if root.seen == Path("/") or str(root.seen) == root.host:
        return hook
    return structs.replace(hook, args=[arg.replace(str(root.seen), root.host) for arg in hook.args])


def _nodes(edits: ContainerEdits) -> tuple[str, ...]:
    return tuple(node.path.removeprefix("/dev/") for node in edits.device_nodes)


def _dev(root: Root, host: Root) -> Path:
    return root.seen if root.path("dev/nvidiactl").exists() else host.seen
