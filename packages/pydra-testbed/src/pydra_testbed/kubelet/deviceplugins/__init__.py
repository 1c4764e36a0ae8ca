"""The kubelet's device-plugin manager (v1beta1): the older way to hand out devices, counted and without claims.

The kubelet makes one `DevicePlugins`. What it tells of devices and pods goes on to node status, pod status and the
pod-resources API.
"""

from pydra_testbed.kubelet.deviceplugins.manager import (
    DeviceError,
    DeviceManager,
    TopologyError,
)
from pydra_testbed.kubelet.deviceplugins.room import DevicePlugins
from pydra_testbed.kubelet.deviceplugins.status import plugin_status
from pydra_testbed.kubelet.deviceplugins.topology import Topology

__all__ = [
    "DeviceError",
    "DeviceManager",
    "DevicePlugins",
    "Topology",
    "TopologyError",
    "plugin_status",
]
