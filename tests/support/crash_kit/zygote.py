"""A driver's claim path without gRPC and without the start of a process: each job runs in a fork of this one.

It builds the claim path by the same function as `run` does, on the real journal and spec files; only the API
client is a table of claims, since no server has to be asked about disks. One JSON job a line on standard
input, one line with the child's wait status on standard output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import traceback
from contextlib import AsyncExitStack
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Driver, Inventory, PreparedDevice
from pydra_core._node import process
from pydra_core._node.lifecycle import Stop
from pydra_core._node.prepare import ClaimPath
from pydra_core._state import journal
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import ClaimRef
from pydra_core.errors import ApiError, DeviceError, PydraError
from pydra_core.settings import Settings

CLAIMS = {"a": ["card-0"], "b": ["card-1", "card-2"], "c": ["card-0"]}
NAME = "card.acme.example"


def uid_of(name: str) -> str:
    return f"{name * 8}-0000-4000-8000-000000000000"


class Plain(Driver):
    """Prepares by data alone."""

    name = NAME

    async def discover(self) -> Inventory:
        return Inventory()

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [
            a.prepared(ContainerEdits(env=[f"CARD={a.device}"]), {"slot": a.device})
            for a in claim.allocations
        ]


class Switched(Plain):
    """Prepares by changing hardware, which here is a file for each device with its claim's UID in it."""

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        for allocation in claim.allocations:
            file = self.host / allocation.device
            if file.exists() and not claim.uid.startswith(
                file.read_text()
            ):  # it may be half written
                raise DeviceError(f"{file.name} given twice: {file.read_text()} has it")
            file.write_text(claim.uid)
        return await super().prepare(claim)

    async def unprepare(self, prepared) -> None:
        for device in prepared.devices:
            file = self.host / device.device
            if device.request and device.state != {"slot": device.device}:
                raise DeviceError(f"{file.name}: state is lost: {device.state}")
            if file.exists() and prepared.ref.uid.startswith(file.read_text()):
                file.unlink()


class Table:
    """Answers for the API server."""

    async def get(self, path: str) -> bytes:
        name = path.rpartition("/")[2]
        if name not in CLAIMS:
            raise ApiError("not found", status=404)
        results = [
            {"request": f"r{i}", "driver": NAME, "pool": "node", "device": device}
            for i, device in enumerate(CLAIMS[name])
        ]
        status = {"allocation": {"devices": {"results": results}}}
        return json.dumps({"metadata": {"uid": uid_of(name)}, "status": status}).encode()


class Log:
    """The interposer's log, with our own lines between its calls."""

    def __init__(self) -> None:
        self._fd = os.open(os.environ["CRASH_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: str, content: object) -> None:
        line = f"0\t{what}\t0\t0\t\t\t0\t0\t{json.dumps(content).encode().hex()}\n"
        os.write(self._fd, line.encode())


async def work(job: dict, log: Log) -> None:
    root = Path(job["root"])
    driver = (Switched if job["switched"] else Plain)(root / "hw")
    settings = Settings(
        node_name="node",
        kubelet_root=root / "kubelet",
        cdi_dir=root / "cdi",
    )
    async with AsyncExitStack() as stack:
        stop = Stop(settings.drain_timeout)
        node = await process._claim_path(stack, driver, settings, Table(), Metrics(NAME), stop)
        claims = node.claims
        log.note("started", {})
        for step in job["steps"]:
            if step["call"] == "touch":
                os.close(os.open(step["file"], os.O_CREAT))
            elif step["call"] == "unlink":
                os.unlink(step["file"])  # noqa: PTH108 (nothing here blocks)
            else:
                for _ in range(6 if job["retry"] else 1):
                    if await call(claims, step, log):
                        break


async def call(claims: ClaimPath, step: dict, log: Log) -> bool:
    """Ask as the kubelet does, and note the answer; returns whether it is free of errors."""
    handle = getattr(claims, step["call"])
    refs = [ClaimRef(uid=uid_of(n), namespace="default", name=n) for n in step["claims"]]
    deadline = time.monotonic() + 30
    log.note("asked", step)
    answers = await asyncio.gather(*(handle(ref, deadline) for ref in refs))
    told = {
        name: {"error": a.error, "devices": [list(d.cdi_ids) for d in a.devices]}
        for name, a in zip(step["claims"], answers, strict=True)
    }
    log.note("answer", {**step, "answers": told})
    return not any(answer.error for answer in answers)


def child(job: dict) -> int:
    os.environ.update(job["environ"])
    if job["compacting"]:
        journal._COMPACT_ABOVE = 1000  # what a long life would bring
    log = Log()
    try:
        asyncio.run(work(job, log))
    except PydraError as err:
        log.note("refused", f"{type(err).__name__}: {err}")
        return 2
    except BaseException:  # noqa: BLE001 (a fork must not return into its parent's loop)
        traceback.print_exc()
        return 3
    return 0


def main() -> None:
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            os._exit(child(json.loads(line)))
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
