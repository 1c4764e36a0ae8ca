"""A node whose MIG devices come and go with random claims, while its driver and NVML's worker are killed.

After each cycle the node is at rest: what the stub has must be what the journal says, and what others made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

from nvidia_world import DRIVER, error, until

from pydra_core._state import frames, records
from pydra_core._state.ledger import Ledger

GPUS = (0, 1)
CALLS = (
    "nvmlDeviceCreateGpuInstanceWithPlacement",
    "nvmlGpuInstanceCreateComputeInstance",
    "nvmlComputeInstanceDestroy",
    "nvmlGpuInstanceDestroy",
)


class MigLife:
    """Claims of one node.

    Args:
        node: with a machine built; `begin` puts two GPUs into MIG mode.
        seed: of the dice.
        odds: of a hundred cycles, in how many NVML crashes, its worker is killed, or the driver is. The shield waits
            five seconds before it starts a worker again that ended repeatedly.
    """

    def __init__(self, node, seed, odds=(5, 4, 2)):
        self.node, self.host = node, node.host
        self.dice = random.Random(seed)
        self.odds = (100 - sum(odds), *odds)
        self.held = {}
        self.cycles = self.kills = self.crashes = 0

    async def begin(self):
        for gpu in GPUS:
            self.host.gpus[gpu].state.mig_current = self.host.gpus[gpu].state.mig_pending = 1
        self.host.partition(1, "2g.20gb", 4)
        await self._serve()
        await until(self._look)

    async def cycle(self):
        """One claim comes or goes, undisturbed or not; then all is as the journal says."""
        self.cycles += 1
        trouble = self.dice.choices(("", "crash", "worker", "driver"), self.odds)[0]
        if self.held and self.dice.random() < len(self.held) / 8:
            claim, _ = self.dice.choice([*self.held.values()])
            if await self._disturbed(trouble, "unprepare", claim) or self._again():
                await self._insist("unprepare", claim)
            del self.held[claim.uid]
        elif devices := self._choose():
            claim = await self.node.gpus(*devices)
            said = await self._disturbed(trouble, "prepare", claim)
            if said and self.dice.random() < 0.5:
                await self._insist("unprepare", claim)
            else:
                if said or self._again():
                    await self._insist("prepare", claim)
                self.held[claim.uid] = (claim, devices)
        self.host.mend()
        self.check()

    def check(self):
        """Whether the stub's instances are those of the journal, and of the journal those that should be."""
        ledger = Ledger()
        for item in frames.read(self._journal.read_bytes(), frames.HEADER_SIZE):
            ledger.apply(records.decode(item.payload))
        assert ledger.all_intents() == ()
        said = {r.uid: sorted(a.device for a in r.answers) for r in ledger.all_prepared()}
        assert said == {uid: sorted(devices) for uid, (_, devices) in self.held.items()}
        made = [a.state["made"] for r in ledger.all_prepared() for a in r.answers]
        journal = sorted((m["gpu"], m["profile"], m["start"]) for m in made)
        foreign = (self.host.gpus[1].uuid, 14, 4)
        assert sorted([*journal, foreign]) == sorted(self._there())
        assert {file.name.partition("_")[2][:-5] for file in self.node.cdi.glob("*.json")} == {
            *said
        }

    async def end(self):
        """Let all claims go; nothing is left but what others made."""
        for claim, _ in [*self.held.values()]:
            await self._insist("unprepare", claim)
            del self.held[claim.uid]
        self.check()

    @property
    def _journal(self) -> Path:
        return self.node.root / "kubelet/plugins" / DRIVER / "journal"

    def _there(self):
        for index in GPUS:
            gpu = self.host.gpus[index]
            ids = {p.name.decode(): p.id for p in gpu.state.profiles[: gpu.state.n_profiles]}
            for one in gpu.instances:
                assert len(one.computes) == 1
                yield gpu.uuid, ids[one.profile], one.start

    async def _serve(self):
        self.driver = await self.node.serve(NVIDIA_MIG="dynamic")
        await self.driver.registered()

    async def _look(self):
        """Learn what is published, as a scheduler would."""
        bodies = [body["spec"] for body in (await self.node.slices()).values()]
        self.devices = {
            d["name"]: d["consumesCounters"][0]
            for spec in bodies
            for d in spec.get("devices") or ()
            if d.get("consumesCounters")
        }
        self.counters = {
            s["name"]: _amounts(s) for spec in bodies for s in spec.get("sharedCounters") or ()
        }
        return self.devices

    def _choose(self):
        """Up to three devices that fit beside what is held, by the published counters alone."""
        left = {name: dict(counters) for name, counters in self.counters.items()}
        for _, devices in self.held.values():
            for device in devices:
                _take(left, self.devices[device])
        chosen = []
        for _ in range(self.dice.choice((1, 1, 2, 3))):
            free = [name for name, taken in sorted(self.devices.items()) if _fits(left, taken)]
            if not free:
                break
            chosen.append(self.dice.choice(free))
            _take(left, self.devices[chosen[-1]])
        return chosen

    async def _disturbed(self, trouble, verb, claim):
        """Ask once, with something happening meanwhile; what was said, if anything was."""
        if trouble == "crash":
            self.crashes += 1
            self.host.crash(self.dice.choice(CALLS), times=1)
        asked = asyncio.ensure_future(error(getattr(self.driver, verb), claim))
        if trouble in ("worker", "driver"):
            self.kills += 1
            begun, some = self.host.calls, self.dice.randrange(200)
            await until(lambda: asked.done() or self.host.calls >= begun + some, pause=0)
        if trouble == "worker":
            self._kill_worker()
        if trouble == "driver":
            await self.driver.stop(kill=True)
            await asyncio.gather(asked, return_exceptions=True)
            await self._serve()
            return "killed"
        return await asked

    def _again(self):
        """Whether a kubelet asks again for what is done."""
        return self.dice.random() < 0.2

    def _kill_worker(self):
        pid = self.driver.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    async def _insist(self, verb, claim):
        """Ask until it is done, as a kubelet does."""
        await until(lambda: error(getattr(self.driver, verb), claim), lambda said: not said)


def _amounts(told):
    """Counters as plain numbers; memory, a quantity, says nothing the slices do not."""
    return {n: int(c["value"]) for n, c in told["counters"].items() if c["value"].isdigit()}


def _fits(left, taken):
    counters = left[taken["counterSet"]]
    return all(counters.get(name, 0) >= amount for name, amount in _amounts(taken).items())


def _take(left, taken):
    for name, amount in _amounts(taken).items():
        left[taken["counterSet"]][name] -= amount
