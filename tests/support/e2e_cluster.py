"""The cluster an end-to-end test runs on, the testbed or a real one: the same HTTP, the same sockets, the same waiting.

What only the testbed can do (a kubelet that restarts, an API server that is away) is skipped elsewhere, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

import pydra_pizza.demo
from pydra_core._api.client import KubeClient, decode_object
from pydra_core.errors import ApiError
from pydra_testbed.cluster import Testbed

DRIVER = "dra.pizza"
COMMAND = [sys.executable, "-m", "pydra_pizza", "run"]
CLASSES = Path(pydra_pizza.demo.__file__).parent / "1-classes.yaml"
DRA = "/apis/resource.k8s.io/v1"
_PAUSE = 0.1


@dataclass
class Driver:
    """The pizza driver as a local process; its log is its standard error."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self):
        async for line in self.process.stderr:
            async with self.more:
                self.lines.append(line.decode(errors="replace"))
                self.more.notify_all()

    async def says(self, text, times=1):
        """Wait until its log has `text` in this many lines."""
        async with self.more:
            await self.more.wait_for(lambda: self.count(text) >= times)

    def count(self, text):
        return sum(text in line for line in self.lines)

    async def registered(self, times=1):
        await self.says("registered with the kubelet", times)

    async def end(self, number):
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


@dataclass
class Cluster:
    """One cluster and one node of it, over the kubeconfig; objects go to a namespace of the test's own."""

    client: KubeClient
    node: str
    environ: dict[str, str]
    patience: float
    testbed: Testbed | None = None
    namespace: str = field(default_factory=lambda: f"pydra-e2e-{uuid.uuid4().hex[:8]}")
    _drivers: list[tuple[Driver, asyncio.Task]] = field(default_factory=list)
    _made: list[str] = field(default_factory=list)

    async def prepare(self):
        metadata = {"name": self.namespace}
        await self._post("/api/v1/namespaces", {"kind": "Namespace", "metadata": metadata})
        for body in yaml.safe_load_all(CLASSES.read_text()):
            with contextlib.suppress(ApiError):  # 409: the cluster has them
                await self._post(f"{DRA}/deviceclasses", body)

    async def clean_up(self):
        """Stop drivers; on a real cluster remove before what was made, so that they unprepare it."""
        if self.testbed is None:
            for path in reversed(self._made):
                with contextlib.suppress(ApiError):  # 404: the test deleted it
                    await self.client.send("DELETE", path)
                if "/pods/" in path:
                    await self.gone(path)
        for driver, reading in self._drivers:
            await driver.end(signal.SIGTERM)
            await reading
        if self.testbed is None:
            for body in await self.slices():
                await self.client.send("DELETE", f"{DRA}/resourceslices/{body['metadata']['name']}")

    async def start_driver(self, command=COMMAND, *, published=True, **environ):
        """Run the driver on the node, and wait until its slices are there; `environ` are more settings of it."""
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | self.environ | environ, stderr=asyncio.subprocess.PIPE
        )
        driver = Driver(process)
        self._drivers.append((driver, asyncio.create_task(driver.read())))
        if published:
            await driver.says(f"registered with the kubelet driver={DRIVER}")
            await self.until(f"{DRA}/resourceslices", f"spec.nodeName={self.node}", _is_pizza)
        return driver

    async def create(self, *bodies):
        for body in bodies:
            await self._post(self.folder(body["kind"]), body)

    async def pod(self, name, *phases):
        """Wait until the pod is in one of the phases; returns it."""
        wanted = phases or ("Succeeded",)
        return await self.until(
            self.folder("Pod"), f"metadata.name={name}", lambda p: p["status"]["phase"] in wanted
        )

    async def until(self, path, selector, holds):
        """Watch until an object is there for which `holds` is true; returns it."""
        last = None
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    with contextlib.suppress(ApiError):  # cut: watch again
                        async for kind, body in self.client.watch(
                            path, {"fieldSelector": selector}
                        ):
                            last = body
                            if kind in ("ADDED", "MODIFIED") and holds(body):
                                return body
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            pytest.fail(f"{path} {selector}: not there after {self.patience} s; last {last}")

    async def offered(self, resource, count):
        """Wait until the node has so many of an extended resource for pods."""

        def has(node):
            return int(node["status"].get("allocatable", {}).get(resource, 0)) == count

        await self.until("/api/v1/nodes", f"metadata.name={self.node}", has)

    async def slices(self):
        """The driver's slices of the node."""
        found = await self.list(f"{DRA}/resourceslices", f"spec.nodeName={self.node}")
        return [body for body in found if _is_pizza(body)]

    async def delete(self, kind, name):
        """Delete an object and wait until it is gone."""
        path = f"{self.folder(kind)}/{name}"
        await self.client.send("DELETE", path)
        await self.gone(path)

    async def gone(self, path):
        async with asyncio.timeout(self.patience):
            while await self.get(path) is not None:  # noqa: ASYNC110 - any moment may be the first without it
                await asyncio.sleep(_PAUSE / 5)

    async def get(self, path):
        """The object, None if there is none."""
        try:
            return decode_object(path, await self.client.get(path))
        except ApiError as err:
            if err.status == 404:
                return None
            raise

    async def list(self, path, selector=""):
        query = {"fieldSelector": selector} if selector else None
        return decode_object(path, await self.client.get(path, query))["items"]

    async def claims(self):
        return await self.list(self.folder("ResourceClaim"))

    async def log(self, pod):
        return (await self.client.get(f"{self.folder('Pod')}/{pod}/log")).decode()

    def spec_files(self):
        """Name and content of the driver's spec files on the node."""
        folder = Path(self.environ["CDI_DIR"])
        return {f.name: f.read_bytes() for f in folder.glob("*pizza*") if f.is_file()}

    def must_be_a_testbed(self, why):
        """Skip the test on a real cluster."""
        if self.testbed is None:
            pytest.skip(why)

    async def must_be_since(self, minor, why):
        """Skip the test on a real cluster that is older than Kubernetes 1.`minor`."""
        version = decode_object("version", await self.client.get("/version"))
        if self.testbed is None and int(version["minor"].rstrip("+")) < minor:
            pytest.skip(why)

    async def restart_kubelet(self):
        await self.testbed.kubelets[self.node].restart()

    def api_outage(self):
        """A context manager: within it the API server cuts every connection."""
        return self.testbed.server.faults.unreachable()

    def folder(self, kind):
        if kind == "DeviceClass":
            return f"{DRA}/deviceclasses"
        group = "/api/v1" if kind == "Pod" else DRA
        return f"{group}/namespaces/{self.namespace}/{kind.lower()}s"

    async def _post(self, path, body):
        await self.client.send("POST", path, body)
        self._made.append(f"{path}/{body['metadata']['name']}")


def _is_pizza(body):
    return body["spec"]["driver"] == DRIVER
