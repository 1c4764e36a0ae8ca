"""Brings registrations into line with the sockets in plugins_registry, once a period.

The loop of the kubelet's plugin manager: first what is gone or was bound again is deregistered, then
what is new is registered, each socket in a task of its own, so that a driver that hangs holds up
nobody else. A failure is tried again after that path's back-off.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from pydra_testbed.clock import Clock
from pydra_testbed.kubelet.backoff import DoublingBackoff
from pydra_testbed.kubelet.drivers import RegistrationError
from pydra_testbed.kubelet.registration import Registered, Registrar
from pydra_testbed.kubelet.settings import KubeletSettings
from pydra_testbed.kubelet.sockets import SocketIdentity, registration_sockets

_log = logging.getLogger(__name__)


class RegistrationReconciler:
    """Keeps one registration per socket below `registry`.

    `settled` is set once every socket that was there at the first look was registered or refused.
    """

    def __init__(
        self, registry: Path, registrar: Registrar, clock: Clock, settings: KubeletSettings
    ) -> None:
        self._registry = registry
        self._registrar = registrar
        self._clock = clock
        self._period = settings.reconcile_period
        self._backoff = DoublingBackoff(
            clock, settings.registration_backoff, settings.registration_backoff_cap
        )
        self._held: dict[str, tuple[SocketIdentity, Registered]] = {}
        self._pending: set[str] = set()
        self.settled = asyncio.Event()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._reconcile(tasks)
                await self._clock.sleep(self._period)

    async def _reconcile(self, tasks: asyncio.TaskGroup) -> None:
        wanted = registration_sockets(self._registry)
        for path, (identity, registered) in list(self._held.items()):
            if wanted.get(path) != identity:
                del self._held[path]
                await registered.end()
        for path, identity in wanted.items():
            if path not in self._held and path not in self._pending and self._backoff.ready(path):
                self._pending.add(path)
                tasks.create_task(self._register(path, identity))
        self._note_settled()

    async def _register(self, path: str, identity: SocketIdentity) -> None:
        try:
            registered = await self._registrar.register(path)
        except RegistrationError as error:
            self._backoff.failed(path)
            _log.warning("driver not registered", extra={"socket": path, "error": str(error)})
        else:
            self._backoff.succeeded(path)
            self._held[path] = (identity, registered)
        finally:
            self._pending.remove(path)
            self._note_settled()

    def _note_settled(self) -> None:
        if not self._pending:
            self.settled.set()
