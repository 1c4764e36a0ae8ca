"""Asks the API server and keeps what an ordinary client throws away: status, Date header, how long it took.

The server may be anything that listens at that address, so answers are bounded, redirects are not followed and
every field is checked for its type where it is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from pydra_core._api import access
from pydra_core._commands.doctor.subject import Subject

_PATIENCE = 5.0
_LARGEST = 4 << 20


class NoAnswerError(Exception):
    """The server did not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `asked` and `told` are this machine's wall clock around it, in seconds."""

    status: int
    body: dict[str, Any]
    date: str
    asked: float
    told: float

    def text(self, *path: str) -> str:
        """The string at `path` of the body, empty if there is none."""
        value: Any = self.body
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, str) else ""


class Server:
    """One API server, asked as the driver would ask it. Made by `connect`."""

    def __init__(
        self, reach: access.Access, session: aiohttp.ClientSession, now: Callable[[], float]
    ) -> None:
        self.url = reach.url
        self._reach = reach
        self._session = session
        self._now = now

    def token(self) -> str:
        """The bearer token of this moment. Raises `OSError` or `UnicodeDecodeError`."""
        return self._reach.token()

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """GET `path`, or POST `body` to it.

        Raises:
            NoAnswerError: nothing came back within five seconds, or more than a sane server sends.
        """
        method, asked = "GET" if body is None else "POST", self._now()
        try:
            token = self.token()
            async with self._session.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                allow_redirects=False,
            ) as response:
                data = await _bounded(response)
        except TimeoutError as err:
            raise NoAnswerError(f"no answer within {_PATIENCE:g} s") from err
        except (aiohttp.ClientError, OSError, ValueError) as err:
            raise NoAnswerError(str(err) or type(err).__name__) from err
        date = response.headers.get("Date", "")
        return Answer(response.status, _decoded(data), date, asked, self._now())


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > _LARGEST:
            raise ValueError(f"it sends more than {_LARGEST >> 20} MiB")
    return bytes(data)


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


@asynccontextmanager
async def connect(subject: Subject) -> AsyncIterator[Server]:
    """Open a way to the API server as the driver's settings say. Raises `ConfigError`."""
    reach = access.find(subject.settings.kubeconfig, subject.environ)
    connector = aiohttp.TCPConnector(limit=16, ssl=reach.tls or True)
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Server(reach, session, subject.now)
