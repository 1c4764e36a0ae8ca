"""One GPU with its daemon and its roster: what is asked of it is done one after another, and can be done again.

The roster says what should be, the daemon what is. A kill between any two steps leaves at most one of them ahead, and
whoever comes next, a retry or the next keeper, makes them agree: what nobody in the roster has is undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from pydra_core.errors import ClaimError, DeviceError, HostError, PydraError, VendorError
from pydra_nvidia.mps import daemon, probing, roster, running
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.daemon import Daemon
from pydra_nvidia.mps.enforcing.choosing import rung_for, rung_of
from pydra_nvidia.mps.enforcing.rung import Rung, kept_going
from pydra_nvidia.mps.files import UnreadableError
from pydra_nvidia.mps.folders import GpuFolder
from pydra_nvidia.mps.looking import Use, look
from pydra_nvidia.mps.probing import Rungs
from pydra_nvidia.mps.roster import Member, Roster
from pydra_nvidia.mps.tool import Tool
from pydra_nvidia.mps.values import Attached, Capabilities, DaemonState, Detached, MpsGpu, Tenant

_log = logging.getLogger(__name__)
_GONE = "it was gone when the keeper started: the keeper's container was restarted with it"
_LOST = "whose programs run there is not known any more, since the roster was lost; it ends when they have ended"


class SharedGpu:
    """The keeper of one GPU."""

    def __init__(
        self,
        folder: GpuFolder,
        find_tool: Callable[[], Tool],
        patience: float,
        died: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._died_now = died
        self._find_tool = find_tool
        self._patience = patience
        self._lock = asyncio.Lock()
        self._roster: Roster | None = None
        self._daemon: Daemon | None = None
        self._why = ""

    async def recover(self) -> None:
        """Find what the keeper before left, and make it agree; what cannot be made to is said."""
        async with self._lock:
            for step in (self._recover, lambda: probing.end_probes(self._folder)):
                try:
                    await step()
                except PydraError as err:
                    self._why = str(err)
                    extra = {"gpu": self._folder.uuid, "reason": err.reason, "why": str(err)}
                    _log.error("GPU is not as its roster says", extra=extra)

    async def capabilities(self, gpu: MpsGpu) -> Capabilities:
        """What limits can be had. Raises `HostError`."""
        async with self._lock:
            return (await self._rungs(gpu)).best

    async def attach(self, gpu: MpsGpu, tenant: Tenant) -> Attached:
        """Let a tenant on. Raises as `client.Keeper.attach` says."""
        async with self._lock:
            if self._members and not self._alive:
                raise self._died()
            old = self._roster.of(tenant) if self._roster else None
            if old is None or self._roster is None:
                return await self._join(gpu, tenant)
            rung, control = await self._at(self._roster, gpu)
            if old.tenant.limits == tenant.limits and await rung.has(control, old):
                await rung.hold(control, self._roster)
                self._why = ""
                return rung.attached(control, gpu, old)
            mode = self._roster.compute_mode
            await self._leave((old,))
            return await self._join(gpu, msgspec.structs.replace(tenant, compute_mode=mode))

    async def detach(self, claim: str) -> Detached:
        """Take a claim off. Raises as `client.Keeper.detach` says."""
        async with self._lock:
            if self._roster:
                await self._leave(self._roster.of_claim(claim))
            elif self._alive and not await self._is_used():
                await self._end()
            empty = not self._members and not self._alive
            last = self._roster if empty and self._roster and self._roster.last == claim else None
            return Detached(empty, last.compute_mode if last else "")

    async def state(self) -> DaemonState | None:
        """How it is; None if there is nothing to tell. Does not wait for what is being done."""
        if not self._members and not self._alive:
            return None
        use = await self._use() if self._alive else Use(None, "")
        running.trim(self._folder)
        alive = self._alive
        return DaemonState(
            gpu=self._folder.uuid,
            alive=alive,
            why=use.trouble or self._why if alive else self._why,
            pid=self._daemon.pid if self._daemon and alive else None,
            enforcement=self._roster.enforcement if self._roster else "none",
            clients=use.clients,
            tenants=self._roster.tenants if self._roster else (),
        )

    async def close(self) -> None:
        """Leave it to the next keeper; a daemon that nobody is on is ended."""
        async with self._lock:
            if self._alive and self._roster and not self._members:
                await self._end()
            if self._daemon:
                self._daemon.forget()

    async def _recover(self) -> None:
        with suppress(UnreadableError):  # it is said there, and set aside
            self._roster = roster.read(self._folder.roster)
        found = daemon.find(self._folder)
        if found:
            self._watch(found)
        if self._roster and self._members:
            await self._agree(self._roster)
        elif found and self._roster is None and await self._is_used():
            self._why = _LOST
        elif found:
            await self._end()

    async def _agree(self, now: Roster) -> None:
        extra = {"gpu": self._folder.uuid, "tenants": len(now.members)}
        if not self._alive:
            self._why = _GONE
            _log.error("MPS daemon is gone under its tenants", extra=extra)
            return
        rung, control = await self._at(now, now.gpu)
        await rung.hold(control, now)
        _log.info("MPS daemon found again", extra=extra)

    async def _rungs(self, gpu: MpsGpu) -> Rungs:
        """What the GPU is good for; as it was found before, while there are tenants."""
        tool = self._find_tool()
        known = probing.known(self._folder)
        if known and (self._members or known.holds(tool.identity)):
            return known
        return await probing.probe(tool, self._folder, gpu, self._patience)

    async def _at(self, now: Roster, gpu: MpsGpu) -> tuple[Rung, Control]:
        return rung_of(now.enforcement, await self._rungs(gpu)), self._control()

    async def _join(self, gpu: MpsGpu, tenant: Tenant) -> Attached:
        rungs = await self._rungs(gpu)
        now = self._roster if self._roster and self._members else None
        rung = rung_of(now.enforcement, rungs) if now else rung_for(gpu, tenant, rungs)
        if now is None:
            rung.check(gpu, tenant)
            await self._start(rungs.flags[rung.name])
        try:
            member = await self._let_in(rung, now or Roster(gpu, rung.name), tenant)
        except BaseException as err:
            if now is None:
                await self._end()
                if probing.fell_off(self._folder, gpu, rungs, rung.name, err):
                    return await self._join(gpu, tenant)
            raise
        extra = {"gpu": gpu.uuid, "claim": tenant.name, "enforcement": rung.name}
        _log.info("tenant attached", extra=extra)
        return rung.attached(self._control(), gpu, member)

    async def _let_in(self, rung: Rung, now: Roster, tenant: Tenant) -> Member:
        control = self._control()
        rung.check(now.gpu, tenant)
        try:
            member = await self._admit(rung, control, now, tenant)
            joined = now.joined(member)
            await rung.hold(control, joined)
            roster.write(self._folder.roster, joined)
        except BaseException:
            if now.members:
                with suppress(PydraError):  # what stays is undone by whoever comes next
                    await rung.hold(control, now)
            raise
        self._roster = joined
        return member

    async def _admit(self, rung: Rung, control: Control, now: Roster, tenant: Tenant) -> Member:
        try:
            return await rung.admit(control, now.gpu, tenant)
        except ClaimError:  # what a tenant that left has left behind may be in the way
            await rung.hold(control, now)
            return await rung.admit(control, now.gpu, tenant)

    async def _leave(self, gone: tuple[Member, ...]) -> None:
        """Let members go: what is theirs first, so that a kill leaves them in the roster, and they are let go again."""
        now = self._roster
        if now is None:
            return
        left = now.without(gone)
        if gone and left.members and self._alive:
            await self._release(now, gone)
        if gone:
            roster.write(self._folder.roster, left)
            self._roster = left
            extra = {"gpu": self._folder.uuid, "claim": gone[0].tenant.name}
            _log.info("tenant detached", extra=extra | {"left": len(left.members)})
        if not left.members:
            await self._end()
        elif gone and self._alive:
            await self._tighten(left)

    async def _release(self, now: Roster, gone: tuple[Member, ...]) -> None:
        """Undo what is theirs alone. Raises `DeviceBusyError`; where the tool fails, it is left for whoever comes next."""
        with kept_going(self._folder.uuid, "what was a tenant's own is not undone yet"):
            rung, control = await self._at(now, now.gpu)
            for member in gone:
                await rung.release(control, member)

    async def _tighten(self, left: Roster) -> None:
        """Lower what holds for all."""
        with kept_going(self._folder.uuid, "limits are not lowered"):
            rung, control = await self._at(left, left.gpu)
            await rung.hold(control, left)

    async def _start(self, flags: tuple[str, ...]) -> None:
        if self._alive:
            if await self._is_used():
                raise DeviceError(
                    f"GPU {self._folder.uuid}: its MPS daemon cannot be used: {_LOST}"
                )
            await self._end()
        self._watch(await running.start(self._control(flags), flags))
        self._why = ""

    async def _end(self) -> None:
        ending = self._daemon
        if ending and ending.alive:
            ending.on_end = lambda: None
            await running.end(self._front_end(), ending, self._folder)
        else:
            daemon.end_leftovers(self._folder)
        self._daemon, self._why = None, ""

    def _watch(self, running_now: Daemon) -> None:
        running_now.on_end = self._note_death
        self._daemon = running_now

    def _note_death(self) -> None:
        words = daemon.last_words(self._folder)
        self._why = ": ".join(filter(None, (self._daemon.why if self._daemon else "", words)))
        extra = {"gpu": self._folder.uuid, "why": self._why, "tenants": len(self._members)}
        _log.error("MPS daemon died", extra=extra)
        self._died_now()

    def _died(self) -> DeviceError:
        names = ", ".join(dict.fromkeys(m.tenant.name for m in self._members))
        return DeviceError(
            f"GPU {self._folder.uuid}: its MPS daemon died under its tenants: {self._why}; it starts again when they"
            f" have left: delete the pods of {names}"
        )

    async def _is_used(self) -> bool:
        """Whether programs are connected; for sure, or an error."""
        use = await self._use()
        if use.clients is None:
            raise VendorError(use.trouble)
        return use.clients > 0

    async def _use(self) -> Use:
        control = self._front_end()
        return await look(control) if control else Use(None, "the driver's programs are not there")

    def _control(self, flags: tuple[str, ...] | None = None) -> Control:
        """The front end to the daemon that runs, or will with these flags."""
        if flags is None:
            flags = self._daemon.flags if self._daemon else ()
        newer = probing.is_newer(flags)
        return Control(self._find_tool(), self._folder, self._patience, newer=newer)

    def _front_end(self) -> Control | None:
        try:
            return self._control()
        except HostError:
            return None

    @property
    def _members(self) -> tuple[Member, ...]:
        return self._roster.members if self._roster else ()

    @property
    def _alive(self) -> bool:
        return self._daemon is not None and self._daemon.alive
