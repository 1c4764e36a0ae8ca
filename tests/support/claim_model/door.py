"""The claim path in processes forked from this one, each told line by line over a socket what the kubelet asks.

Started by `node.Zygote` with the interposer loaded; `{"start": …}` forks an instance, `{"kill": pid}` is a real
SIGKILL. An instance runs everything of a driver process but gRPC and the API server: that one is a file here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Claim, Driver, Inventory, PreparedDevice
from pydra_core._node import process
from pydra_core._node.lifecycle import Stop
from pydra_core._state import journal
from pydra_core._telemetry.metrics import Metrics
from pydra_core._values import ClaimRef
from pydra_core.errors import (
    ApiError,
    DeviceError,
    HostError,
    PydraError,
    TerminalError,
    TransientError,
)
from pydra_core.settings import Settings

NAME = "card.acme.example"


class ResetError(DeviceError, TransientError):
    """The device resets."""


class BrokenError(DeviceError, TerminalError):
    """The device is broken."""


class Plain(Driver):
    """Prepares by data alone; every call leaves another number in the edits, so that a second one shows."""

    name = NAME

    def __init__(self, host: Path) -> None:
        super().__init__(host)
        self.held: dict[str, asyncio.Event] = {}
        self.resets: set[str] = set()

    async def discover(self) -> Inventory:
        return Inventory()

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        mode = self.mode(claim.uid)
        await self.misbehave(claim.uid, mode, "before")
        self.change(claim)
        await self.misbehave(claim.uid, mode, "after")
        serial = time.monotonic_ns()
        return [
            a.prepared(ContainerEdits(env=[f"CARD={a.device}", f"N={serial}"]), {"slot": a.device})
            for a in claim.allocations
        ]

    def mode(self, uid: str) -> str:
        modes = json.loads((self.host.parent / "modes").read_text())
        return modes.get(uid, "")

    async def misbehave(self, uid: str, mode: str, when: str) -> None:
        if mode == f"hold {when}":
            self.held[uid] = asyncio.Event()
            await self.held[uid].wait()
            del self.held[uid]
        elif mode == f"raise {when}":
            raise RuntimeError("the vendor's library fell over")
        elif mode == f"break {when}":
            raise BrokenError("card: is broken; replace it")
        elif mode == f"reset {when}" and uid not in self.resets:
            self.resets.add(uid)
            raise ResetError("card: is being reset; wait")

    def change(self, claim: Claim) -> None:
        pass


class Switched(Plain):
    """Prepares by changing hardware, which is a file for each device or share with its claim's UID in it."""

    def change(self, claim: Claim) -> None:
        for allocation in claim.allocations:
            if allocation.admin_access:
                continue
            file = self.file(allocation.device, allocation.share_id)
            if file.exists() and not claim.uid.startswith(file.read_text()):
                raise DeviceError(f"{file.name} given twice: {file.read_text()} has it")
            file.write_text(claim.uid)

    async def unprepare(self, prepared) -> None:
        if self.mode(prepared.ref.uid) == "raise unprepare":
            raise RuntimeError("the vendor's library fell over")
        for device in prepared.devices:
            file = self.file(device.device, device.share_id)
            if device.request and device.state != {"slot": device.device}:
                raise DeviceError(f"{file.name}: state is lost: {device.state}")
            if file.exists() and prepared.ref.uid.startswith(file.read_text()):
                file.unlink()

    def file(self, device: str, share: str) -> Path:
        return self.host / f"{device}.{share}".rstrip(".")


class Table:
    """Answers for the API server from a file the test writes; none while that is away."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def get(self, path: str) -> bytes:
        await asyncio.sleep(0)
        if not self.file.exists():
            raise ApiError("no answer; look at the network")
        claims = json.loads(self.file.read_text())
        name = path.rpartition("/")[2]
        if name not in claims:
            raise ApiError("not found", status=404)
        status = {"allocation": {"devices": {"results": claims[name]["results"]}}}
        return json.dumps({"metadata": {"uid": claims[name]["uid"]}, "status": status}).encode()


class Instance:
    """One instance of the driver and what it is told."""

    def __init__(self, job: dict, driver: Plain, node: process._Node) -> None:
        self.job, self.driver, self.node = job, driver, node

    async def calls(self, command: dict) -> list:
        deadline = time.monotonic() + command["seconds"]
        asked = [self._call(*each, deadline) for each in command["calls"]]
        return [_told(answer) for answer in await asyncio.gather(*asked)]

    async def give_up(self, command: dict) -> list:
        """Ask, and stop waiting as soon as the driver hangs."""
        verb, uid, name = command["calls"][0]
        deadline = time.monotonic() + command["seconds"]
        asked = asyncio.ensure_future(self._call(verb, uid, name, deadline))
        while not asked.done() and uid not in self.driver.held:  # noqa: ASYNC110 (any step of it)
            await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.wait([asked])
        await self.quiet()
        return [None if uid in self.driver.held else _told(asked.result())]

    async def release(self, _: dict) -> list:
        for event in self.driver.held.values():
            event.set()
        while self.driver.held:  # noqa: ASYNC110 (each held call takes itself out)
            await asyncio.sleep(0)
        return []

    async def watch(self, _: dict) -> list:
        """One look at what other instances left; the process takes one every two seconds."""
        recovery = self.node.recovery
        recovery._tried = {}
        with suppress(HostError):  # the process logs it and looks again
            await recovery._journal.refresh()
            await recovery._undo_orphans()
        return []

    async def quiet(self) -> None:
        """Wait for all work but what hangs in the driver, so that the disk can be looked at."""
        works = self.node.claims._works._works
        while tasks := [w.task for uid, w in works.items() if uid not in self.driver.held]:
            await asyncio.wait(tasks, timeout=0.001)

    def _call(self, verb: str, uid: str, name: str, deadline: float):
        ref = ClaimRef(uid=uid, namespace="default", name=name)
        return getattr(self.node.claims, verb)(ref, deadline)


def _told(answer) -> dict:
    devices = [[d.request, d.pool, d.device, d.share_id, *d.cdi_ids] for d in answer.devices]
    return {"error": answer.error, "devices": devices}


async def live(job: dict) -> None:
    root = Path(job["root"])
    driver = (Switched if job["switched"] else Plain)(root / "hw")
    settings = Settings(
        node_name="node",
        pod_uid=job["pod_uid"],
        kubelet_root=root / "kubelet",
        cdi_dir=root / "cdi",
        boot_id_file=root / "boot_id",
    )
    reader, writer = await asyncio.open_unix_connection(job["socket"])
    async with AsyncExitStack() as stack:
        table = Table(root / "table")
        node = await process._claim_path(stack, driver, settings, table, Metrics(NAME), Stop(5))
        instance = Instance(job, driver, node)
        writer.write(b"[]\n")
        async for line in reader:
            command = json.loads(line)
            told = await getattr(instance, command["do"])(command)
            await instance.quiet()
            writer.write(json.dumps(told).encode() + b"\n")
        await instance.release({})
    writer.close()


def child(job: dict) -> int:
    os.environ.update(job["environ"])
    if job["compacting"]:
        journal._COMPACT_ABOVE = 1000  # what a long life would bring
    try:
        asyncio.run(live(job))
    except PydraError as err:
        sys.stderr.write(f"refused: {type(err).__name__}: {err}\n")
        return 2
    except BaseException:  # noqa: BLE001 (a fork must not return into its parent's loop)
        traceback.print_exc()
        return 3
    return 0


def main() -> None:
    logging.basicConfig(level="CRITICAL")
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            if (pid := os.fork()) == 0:
                os._exit(child(command["start"]))
            answer = pid
        else:
            if command.get("kill"):
                os.kill(command["pid"], signal.SIGKILL)
            answer = os.waitstatus_to_exitcode(os.waitpid(command["pid"], 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
