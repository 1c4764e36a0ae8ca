"""The testbed's kubelet: registration of drivers, the DRA manager, slice wipes, pods.

The cluster makes a `Kubelet` per node; `pydra demo` listens to its `DriverCall`s.
"""

from pydra_testbed.kubelet.calls import CallObserver, ClaimRef, DriverCall
from pydra_testbed.kubelet.claims_file import ClaimsFileError
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.kubelet import Kubelet
from pydra_testbed.kubelet.settings import (
    KubeletPaths,
    KubeletSettings,
    TopologyPolicy,
    TopologyScope,
)

__all__ = [
    "CallObserver",
    "ClaimRef",
    "ClaimsFileError",
    "DriverCall",
    "Kubelet",
    "KubeletFaults",
    "KubeletPaths",
    "KubeletSettings",
    "TopologyPolicy",
    "TopologyScope",
]
