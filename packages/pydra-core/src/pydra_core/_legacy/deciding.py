"""Finds out which APIs the node wants, shows or hides the registration socket accordingly, and stays attentive.

Run beside a driver that could serve both (`process`). Without DRA the kubelet is asked anew whenever it may be another
one: its device plugin socket was made again, or its version changed. While it is asked, what was served goes on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pydra_core._api.client import KubeClient, decode_object
from pydra_core._legacy.mode import Facts, Mode, Served, Wish, decide
from pydra_core._node.registration import Registration
from pydra_core.errors import ApiError

_log = logging.getLogger(__name__)
_GROUP, _VERSION = "resource.k8s.io", "v1"
_SOON, _RARELY = 1.0, 60.0
"""Seconds between two looks while something is waited for, and when nothing is."""
_RETRY = 600.0
"""Seconds after which a kubelet that did not confirm is asked again, in case it was only slow; and an API server that
serves DRA, in case it does so no longer."""
_ASK = 5.0
"""Seconds between two questions to an API server that did not answer."""


class Deciding:
    """The mode of one driver process."""

    def __init__(
        self, wish: Wish, client: KubeClient, node: str, registration: Registration
    ) -> None:
        """Begin with what the operator asked for; nothing is known yet.

        Args:
            wish: what was asked for.
            client: of the API server.
            node: the node's name.
            registration: of the DRA side; it is shown and hidden.
        """
        self.on_change: list[Callable[[Mode], None]] = []
        self._wish = wish
        self._client = client
        self._node = node
        self._registration = registration
        self._api = Served.UNKNOWN
        self._version = ""
        self._asked = -math.inf
        self._since = time.monotonic()
        self._gave_up = False
        self._said = ""
        self._registered = False
        self._wake = asyncio.Event()
        self.mode = decide(wish, Facts(self._api, registered=False, unconfirmed=0.0), None)
        self._asks_again = False
        registration.offer(offered=self.mode.dra)

    @property
    def dra(self) -> bool:
        """Whether DRA is served, or the kubelet is being asked whether it wants it."""
        return self.mode.dra

    @property
    def legacy(self) -> bool:
        """Whether the device plugin API is served."""
        return self.mode.legacy

    @property
    def dra_matters(self) -> bool:
        """Whether the process is unready as long as the DRA side is; not while it only asks a kubelet again."""
        return self.mode.dra and not self._asks_again

    def kubelet_changed(self) -> None:
        """Take note that another kubelet may run from now on: it is asked whether it knows DRA. Cheap."""
        self._begin_again()
        self._asked = -math.inf
        self._wake.set()

    def registration_changed(self, registered: bool) -> None:  # noqa: FBT001 (a state, not an option)
        """Take in the kubelet's word on the registration."""
        if self._registered and not registered:
            self._begin_again()
        self._registered = registered
        self._wake.set()

    async def run(self) -> None:
        """Look, and look again, until cancelled."""
        self._tell()
        if self._wish.dra is not None:
            await asyncio.Event().wait()  # nothing to find out
        while True:
            self._wake.clear()
            await self._look()
            try:
                async with asyncio.timeout(_RARELY if self.mode.decided else _SOON):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        await self._ask()
        before, self.mode = self.mode, decide(self._wish, self._facts(), self.mode)
        self._gave_up = not self.mode.dra
        asks_again = self._asks_again or (self.mode.dra and not before.dra)
        self._asks_again = asks_again and not self.mode.decided
        if self.mode != before:
            self._tell()

    def _facts(self) -> Facts:
        """What is known; of a kubelet that is not asked any more, what it said when it was."""
        if self._gave_up:
            return Facts(self._api, registered=False, unconfirmed=math.inf, refusal=self._said)
        self._said = self._registration.refusal
        unconfirmed = time.monotonic() - self._since
        return Facts(self._api, self._registration.registered, unconfirmed, self._said)

    def _tell(self) -> None:
        self._registration.offer(offered=self.mode.dra)
        details = {"dra": self.mode.dra, "device_plugin": self.mode.legacy, "why": self.mode.why}
        _log.info("mode", extra=details)
        for listener in self.on_change:
            listener(self.mode)

    def _begin_again(self) -> None:
        self._since = time.monotonic()
        self._gave_up = False

    async def _ask(self) -> None:
        """Ask what has to be known now, and not more often than that: many nodes ask one API server."""
        now = time.monotonic()
        if now - self._asked < self._pause():
            return
        self._asked = now
        before, self._api = self._api, await _served(self._client)
        if now - self._since > _RETRY or (before, self._api) == (Served.NO, Served.YES):
            self._begin_again()
        if not self.mode.dra:
            await self._look_at_version()

    def _pause(self) -> float:
        if self._api is Served.UNKNOWN:
            return _ASK
        confirmed = self._api is Served.YES and self._registration.registered
        return _RETRY if confirmed else _RARELY

    async def _look_at_version(self) -> None:
        try:
            body = decode_object("node", await self._client.get(f"/api/v1/nodes/{self._node}"))
        except ApiError as err:
            _log.debug("kubelet's version is not known", extra={"why": str(err)})
            return
        version = _version_of(body)
        if self._version and version and version != self._version:
            _log.info("the kubelet has another version", extra={"kubelet": version})
            self._begin_again()
        self._version = version or self._version


async def _served(client: KubeClient) -> Served:
    """Whether the API server names the API among its groups; anything but a list of groups tells nothing."""
    try:
        groups = msgspec.json.decode(await client.get("/apis"), type=_Groups).groups
    except (ApiError, msgspec.DecodeError, UnicodeDecodeError) as err:
        _log.debug("API groups are not known", extra={"why": str(err)})
        return Served.UNKNOWN
    found = any(g.name == _GROUP and any(v.version == _VERSION for v in g.versions) for g in groups)
    return Served.YES if found else Served.NO


class _GroupVersion(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    name: str
    versions: list[_GroupVersion]


class _Groups(msgspec.Struct):
    groups: list[_Group]


def _version_of(node: dict[str, Any]) -> str:
    status = node.get("status")
    info = status.get("nodeInfo") if isinstance(status, dict) else None
    version = info.get("kubeletVersion") if isinstance(info, dict) else None
    return version if isinstance(version, str) else ""
