"""What a pod's status says of the devices its containers have from plugins (KEP-4680).

Kubelet 1.36 takes a device for healthy of which its plugin says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydra_testbed.kubelet.deviceplugins.model import HEALTHY, PluginDevice
from pydra_testbed.objects import KubeObject


def plugin_status(devices: Iterable[tuple[str, PluginDevice]]) -> list[KubeObject]:
    """`allocatedResourcesStatus` for what device plugins gave a container: resource and device."""
    found: dict[str, list[KubeObject]] = {}
    for resource, device in devices:
        entry = {"resourceID": device.id, "health": device.health or HEALTHY}
        found.setdefault(resource, []).append(entry)
    return [{"name": name, "resources": entries} for name, entries in found.items()]
