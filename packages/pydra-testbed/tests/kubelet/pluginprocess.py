"""A device plugin's process in the hands of a test, and short ways to use a node that has one."""

import asyncio
import json
import sys
from pathlib import Path

RESOURCE = "probe.example.com/dev"


def devices(*names, sick=(), node=0):
    return [
        {
            "ID": name,
            "health": "Unhealthy" if name in sick else "Healthy",
            **({} if node is None else {"topology": {"nodes": [{"ID": node}]}}),
        }
        for name in names
    ]


FOUR = ("pd-0", "pd-1", "pd-2", "pd-3")


class Plugin:
    """The process, and what it reported."""

    def __init__(self, node, name="probe-dp.sock", resource=RESOURCE):
        self.node = node
        self.socket = node.root / "device-plugins" / name
        self.resource = resource
        self.said = []
        self.log = []

    async def start(self, *names, node=0):
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("deviceplugin.py")),
            str(self.socket),
            self.resource,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self.says("serving")
        await self.tell(f"list {json.dumps(devices(*(names or FOUR), node=node))}")
        return self

    async def tell(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()
        return await self.says("done")

    async def says(self, key, value=None):
        """The next report of that kind; each counts once."""
        while True:
            for report in self.said:
                if key in report and value in (None, report[key]):
                    self.said.remove(report)
                    return report
            line = await self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the plugin ended before it said {key} {value}: {self.said}")
            self.said.append(json.loads(line))
            self.log.append(self.said[-1])

    def heard(self):
        """The methods called so far that were not asked for by `says`."""
        return [report["heard"] for report in self.said if "heard" in report]

    async def register(self, **more):
        socket = str(self.node.root / "device-plugins" / "kubelet.sock")
        await self.tell(f"register {json.dumps({'socket': socket} | more)}")
        return await self.says("registered")

    async def list(self, *names, **how):
        await self.tell(f"list {json.dumps(devices(*names, **how))}")

    async def stop(self):
        if self.process.returncode is None:
            self.process.stdin.close()
            await self.process.wait()


async def amounts(node, capacity, allocatable, resource=RESOURCE):
    """Wait until the node says so."""

    def holds(found):
        status = found["status"]
        return (
            status["capacity"].get(resource) == str(capacity)
            and status["allocatable"].get(resource) == str(allocatable)
        )  # fmt: skip

    return await node.until("nodes", node.name, holds)


def asks(count, resource=RESOURCE):
    return {"resources": {"limits": {resource: str(count)}, "requests": {resource: str(count)}}}


async def pod(node, name, count=1, command=("sleep", "1000"), **fields):
    return await node.pod(name, command, container=asks(count), **fields)


def spec_of(node, pod, container="main", attempt=0):
    return json.loads(node.runtime.spec_path(pod, container, attempt).read_text())
