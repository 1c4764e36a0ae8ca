"""What plugins answered for one container, put together for its start.

Where two resources set the same variable, path or annotation, the first one allocated wins; the kubelet logs the other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydra_core._proto import deviceplugin_v1beta1_pb2 as messages
from pydra_testbed.kubelet.deviceplugins.model import Holding
from pydra_testbed.runtime import Additions, HostDevice, HostMount

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CombinedAnswer:
    """CDI device IDs, each once, and everything else."""

    cdi: tuple[str, ...] = ()
    additions: Additions = field(default_factory=Additions)


def combined(holdings: Sequence[Holding]) -> CombinedAnswer:
    """All that the container with these holdings gets."""
    env: dict[str, str] = {}
    annotations: dict[str, str] = {}
    mounts: dict[str, HostMount] = {}
    devices: dict[str, HostDevice] = {}
    cdi: dict[str, None] = {}
    for holding in holdings:
        answer = messages.ContainerAllocateResponse.FromString(holding.answer)
        for name, value in sorted(answer.envs.items()):
            _warn_of(holding, name, value, env.setdefault(name, value))
        for name, value in sorted(answer.annotations.items()):
            _warn_of(holding, name, value, annotations.setdefault(name, value))
        for each in answer.mounts:
            mount = HostMount(each.host_path, each.container_path, each.read_only)
            first = mounts.setdefault(mount.container_path, mount)
            _warn_of(holding, mount.container_path, mount.host_path, first.host_path)
        for node in answer.devices:
            device = HostDevice(node.host_path, node.container_path, node.permissions)
            kept = devices.setdefault(device.container_path, device)
            _warn_of(holding, device.container_path, device.host_path, kept.host_path)
        cdi |= dict.fromkeys(each.name for each in answer.cdi_devices)
    additions = Additions(
        tuple(env.items()),
        tuple(mounts.values()),
        tuple(devices.values()),
        tuple(annotations.items()),
    )
    return CombinedAnswer(tuple(cdi), additions)


def _warn_of(holding: Holding, name: str, wanted: str, kept: str) -> None:
    if wanted != kept:
        extra = {"resource": holding.resource, "setting": name, "kept": kept, "dropped": wanted}
        _log.error("device plugins disagree about a container's setting", extra=extra)
