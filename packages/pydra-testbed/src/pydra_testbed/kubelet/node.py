"""The kubelet's Node object: made at start, kept Ready, with a Lease as the heartbeat.

The scheduler binds pods to nodes it finds here. Creating comes before everything else the kubelet
does with the API server, since pods and slices name the node.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.kubelet.deviceplugins.inventory import Amounts
from pydra_testbed.kubelet.settings import KubeletSettings
from pydra_testbed.kubelet.wakeup import Wakeup
from pydra_testbed.objects import Api, ApiStatusError, KubeObject, ObjectRef, Patch

_log = logging.getLogger(__name__)

KUBELET_VERSION = "v1.36.2+pydra"

_LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Type, status, reason and message of the conditions a healthy kubelet posts.
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class NodeReporter:
    """Keeps one Node and its Lease alive."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        name: str,
        address: str,
        settings: KubeletSettings,
        resources: Callable[[], Mapping[str, Amounts]],
    ) -> None:
        self._api = api
        self._clock = clock
        self._name = name
        self._address = address
        self._settings = settings
        self._resources = resources
        self._posted: Mapping[str, Amounts] = {}
        self._started = clock.monotonic()
        self._since = rfc3339(clock.now())

    async def announce(self) -> None:
        """Create the Node, or take over the one that is there; retries until it is Ready."""
        while not await self._try_announce():
            await self._clock.sleep(1.0)

    async def run(self) -> None:
        """Renew the Lease and the status, until cancelled; a Node that was deleted comes back."""
        posted = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._settings.heartbeat_period)
            await self._renew()
            if self._clock.monotonic() - posted >= self._settings.node_status_period:
                await self.announce()
                posted = self._clock.monotonic()

    async def follow(self, news: Wakeup) -> None:
        """Post the extended resources of device plugins when they change, until cancelled."""
        period = self._settings.node_update_period
        while True:
            ticket = news.ticket()
            if self._resources() == self._posted:
                await ticket.wait()
            passed = self._clock.monotonic() - self._started
            await self._clock.sleep(period - passed % period)
            await self.announce()

    def labels(self) -> dict[str, str]:
        """The labels a kubelet gives its node."""
        architecture = _architecture()
        return {
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
        }

    async def _try_announce(self) -> bool:
        try:
            await self._create()
            status = self._status()
            await self._api.patch(self._ref(), Patch({"status": status}), "status")
            await self._renew()
        except ApiStatusError as error:
            extra = {"node": self._name, "error": error.message}
            _log.warning("node not announced, trying again", extra=extra)
            return False
        return True

    async def _create(self) -> None:
        metadata = {"name": self._name, "labels": self.labels()}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
        try:
            await self._api.create("nodes", body)
        except ApiStatusError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._api.patch(self._ref(), Patch({"metadata": {"labels": self.labels()}}))

    async def _renew(self) -> None:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        ref = ObjectRef("leases", self._name, _LEASE_NAMESPACE)
        try:
            await self._renew_or_create(ref, spec)
        except ApiStatusError as error:
            extra = {"node": self._name, "error": error.message}
            _log.warning("lease not renewed", extra=extra)

    async def _renew_or_create(self, ref: ObjectRef, spec: KubeObject) -> None:
        try:
            await self._api.patch(ref, Patch({"spec": spec}))
        except ApiStatusError as error:
            if error.reason != "NotFound":
                raise
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": ref.name, "namespace": ref.namespace},
                "spec": spec,
            }
            await self._api.create("leases", body, ref.namespace)

    def _status(self) -> KubeObject:
        capacity = {
            "cpu": str(os.cpu_count() or 1),
            "memory": f"{_memory_kib()}Ki",
            "pods": str(self._settings.max_pods),
        }
        self._posted = self._resources()
        plugins = self._posted.items()
        allocatable = capacity | {name: str(each.allocatable) for name, each in plugins}
        capacity |= {name: str(each.capacity) for name, each in plugins}
        times = {"lastHeartbeatTime": rfc3339(self._clock.now()), "lastTransitionTime": self._since}
        return {
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": [{**_condition(*condition), **times} for condition in _CONDITIONS],
            "addresses": [
                {"type": "InternalIP", "address": self._address},
                {"type": "Hostname", "address": self._name},
            ],
            "nodeInfo": _node_info(),
        }

    def _ref(self) -> ObjectRef:
        return ObjectRef("nodes", self._name)


def _condition(kind: str, status: str, reason: str, message: str) -> KubeObject:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _node_info() -> KubeObject:
    return {
        "machineID": _line(Path("/etc/machine-id")),
        "systemUUID": _line(Path("/etc/machine-id")),
        "bootID": _line(Path("/proc/sys/kernel/random/boot_id")),
        "kernelVersion": platform.release(),
        "osImage": platform.platform(),
        "containerRuntimeVersion": "pydra-testbed://0.1.0",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def _architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _memory_kib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
