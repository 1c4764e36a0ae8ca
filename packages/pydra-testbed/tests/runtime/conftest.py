"""A runtime with a CDI directory of its own, and pods to run on it."""

import json

import pytest

from pydra_testbed.runtime import ContainerRequest, Runtime


class Bench:
    """The runtime under test, and short ways to ask it."""

    def __init__(self, root):
        self.cdi = root / "cdi"
        self.cdi.mkdir()
        self.host = root / "host"
        self.host.mkdir()
        self.runtime = Runtime(root / "run", [self.cdi], host=self.host)

    @staticmethod
    def pod(**spec):
        metadata = {
            "name": "p",
            "namespace": "default",
            "uid": "0f6b1c2e-0000-4000-8000-000000000001",
            "labels": {"app": "web"},
            "annotations": {"example.com/owner": "me"},
        }
        return {"metadata": metadata, "spec": {"nodeName": "node-a", **spec}, "status": {}}

    def define(self, **edits):
        """Write a CDI spec file whose only device is example.com/card=one."""
        device = {"name": "one", "containerEdits": edits}
        spec = {"cdiVersion": "0.6.0", "kind": "example.com/card", "devices": [device]}
        (self.cdi / "example.com-card.json").write_text(json.dumps(spec))

    async def start(self, *command, devices=(), attempt=0, pod=None, **fields):
        container = {"name": "main", "command": list(command), **fields}
        request = ContainerRequest(pod or self.pod(), container, tuple(devices), attempt)
        return await self.runtime.start(request)

    async def output(self, *command, **options):
        """Run a container to its end; its exit code and all it wrote."""
        container = await self.start(*command, **options)
        code = await container.wait()
        return code, await self.log()

    async def log(self, *, follow=False):
        chunks = self.runtime.read("default", "p", "main", follow=follow)
        return b"".join([chunk async for chunk in chunks]).decode()

    def spec(self, attempt=0, pod=None):
        return json.loads(self.runtime.spec_path(pod or self.pod(), "main", attempt).read_text())


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    await bench.runtime.close()
