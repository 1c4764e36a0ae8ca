"""Containers as local processes: the door the kubelet and the pod log subresource come through.

`start` does what a CRI runtime does for DRA: build the OCI spec, resolve the CDI device IDs, apply
their edits, write config.json into the bundle, run the process. It differs from a container in what
it leaves out: no image and no namespaces, so the host's programs run with the host's files as the
user who started the testbed; mounts, device nodes, hooks and limits stand in config.json and are not
performed; a program without a SIGTERM handler ends at once instead of ignoring it as PID 1 would.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pydra_testbed.clock import Clock, RealClock
from pydra_testbed.objects import KubeObject
from pydra_testbed.runtime.additions import add
from pydra_testbed.runtime.bundles import BundleStore
from pydra_testbed.runtime.container import Container, ContainerRequest
from pydra_testbed.runtime.errors import ContainerError, LogNotFoundError
from pydra_testbed.runtime.injection import Injector
from pydra_testbed.runtime.logs import follow_log
from pydra_testbed.runtime.ocispec import container_spec
from pydra_testbed.runtime.process import ContainerProcess


class Runtime:
    """Runs containers below `root`, with the CDI devices found in `cdi_dirs` (later wins).

    `host` is the file system in which CDI looks up device nodes. One runtime may serve several
    kubelets. `close` ends every container; a testbed that is killed takes its containers with it.
    """

    def __init__(
        self,
        root: Path,
        cdi_dirs: Sequence[Path],
        host: Path = Path("/"),
        clock: Clock | None = None,
    ) -> None:
        self._store = BundleStore(root)
        self._injector = Injector(tuple(cdi_dirs), host)
        self._host = host
        self._clock: Clock = clock or RealClock()
        self._containers: dict[Path, Container] = {}

    async def start(self, request: ContainerRequest) -> Container:
        """Start one container; raises `ContainerError`, its child `StartError` if only exec failed."""
        extra = request.additions
        plain = container_spec(
            request.pod, request.container, self._store, request.address, extra.env
        )
        spec = self._injector.inject(add(plain, extra, self._host), request.devices)
        try:
            return await self._run(request, spec)
        except OSError as error:
            raise ContainerError(
                "CreateContainerError", f"container not created: {error}"
            ) from error

    async def _run(self, request: ContainerRequest, spec: KubeObject) -> Container:
        name = str(request.container["name"])
        bundle = self._store.bundle(request.pod, name, request.attempt)
        (bundle / "config.json").write_text(json.dumps(spec, indent=2), encoding="utf-8")
        log = self._store.log(request.pod, name, request.attempt)
        process = await ContainerProcess.start(bundle, log)
        container = Container(_container_id(bundle), name, self._clock.now(), process)
        self._containers[log] = container
        return container

    def running(self, container_id: str) -> Container | None:
        """The container of that ID while it runs: containers outlive the kubelet that started them."""
        for container in self._containers.values():
            if container.id == container_id and not container.ended:
                return container
        return None

    def spec_path(self, pod: KubeObject, container: str, attempt: int) -> Path:
        """Where config.json of that start is, for `pydra demo` and tests."""
        return self._store.bundle(pod, container, attempt) / "config.json"

    async def read(
        self, namespace: str, name: str, container: str, *, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """The log of the newest start of a container, until it ends when `follow` is set.

        Raises `LogNotFoundError` while nothing has been started.
        """
        log = self._store.latest_log(namespace, name, container)
        if log is None:
            raise LogNotFoundError(namespace, name, container)
        running = self._containers.get(log)
        ended = running.process.ended if running and follow else _over()
        async for chunk in follow_log(log, ended, self._clock):
            yield chunk

    def forget_pod(self, pod: KubeObject) -> None:
        """Remove bundles and logs of a pod that left the cluster."""
        gone = self._store.remove_pod(pod)
        self._containers = {log: c for log, c in self._containers.items() if log not in gone}

    async def close(self) -> None:
        """End every container that still runs and wait until nothing of it is left."""
        await asyncio.gather(*(container.kill() for container in self._containers.values()))


def _over() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _container_id(bundle: Path) -> str:
    return hashlib.sha256(str(bundle).encode()).hexdigest()
