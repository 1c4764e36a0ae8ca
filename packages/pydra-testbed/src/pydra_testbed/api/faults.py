"""Faults on demand: tests make the API server answer wrong, late, half or not at all, or vanish.

Through `ApiServer.faults`, or from any process through the path in `_debug`. Refusals meet requests over HTTP and
through `LocalApi` alike; what happens to a connection happens over HTTP alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from pydra_testbed.objects import ApiStatusError, KubeObject

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
ANY = "*"


class Effect(Enum):
    """What happens to a request: refused, never or late answered, cut before or after it was carried out."""

    FAIL = "fail"
    HANG = "hang"
    HOLD = "hold"
    CUT = "cut"
    LOSE = "lose"


@dataclass(slots=True)
class _Planned:
    effect: Effect
    verb: str
    resource: str
    left: int
    error: ApiStatusError | None = None

    def fits(self, verb: str, resource: str, subresource: str) -> bool:
        full = f"{resource}/{subresource}" if subresource else resource
        wanted = self.resource in {ANY, resource, full}
        return self.left > 0 and self.verb in {ANY, verb} and wanted


class Faults:
    """What goes wrong next. Nothing does unless a test says so.

    In all methods `verb` is get, list, watch, create, update, patch, delete, deletecollection or `*`, `resource`
    a plural, `plural/subresource` or `*`, and `times` how many requests it is about.
    """

    def __init__(
        self, wake_watches: Callable[[], None], dropping: dict[str, tuple[str, ...]]
    ) -> None:
        self._wake_watches = wake_watches
        self._dropping = dropping
        self._planned: list[_Planned] = []
        self._released = asyncio.Event()
        self.reachable = True
        self.watch_epoch = 0

    def fail(
        self,
        verb: str,
        resource: str,
        code: int,
        *,
        times: int = 1,
        retry_after: int | None = None,
        message: str = "",
    ) -> None:
        """Refuse requests with `code`; `retry_after` (seconds) becomes the Retry-After header."""
        reason = _REASONS.get(code, "InternalError")
        text = message or f"the testbed was asked to answer {verb} {resource} with {code}"
        details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
        error = ApiStatusError(code, reason, text, details)
        self._planned.append(_Planned(Effect.FAIL, verb, resource, times, error))

    def hang(self, verb: str, resource: str, *, times: int = 1) -> None:
        """Take requests and never answer them; `clear` cuts their connections."""
        self._planned.append(_Planned(Effect.HANG, verb, resource, times))

    def hold(self, verb: str, resource: str, *, times: int = 1) -> None:
        """Take requests and carry them out only when `clear` is called."""
        self._planned.append(_Planned(Effect.HOLD, verb, resource, times))

    def cut(self, verb: str, resource: str, *, times: int = 1) -> None:
        """Drop the connections of requests that were not carried out."""
        self._planned.append(_Planned(Effect.CUT, verb, resource, times))

    def lose(self, verb: str, resource: str, *, times: int = 1) -> None:
        """Carry requests out and drop the connection in the place of an answer."""
        self._planned.append(_Planned(Effect.LOSE, verb, resource, times))

    def drop_fields(self, resource: str, *paths: str) -> None:
        """Leave fields out of every object that is written, as a server does that does not know them.

        `spec.devices[].taints` goes through all entries of a list or map; `a|b` at the end means both.
        """
        self._dropping[resource] = (*self._dropping.get(resource, ()), *paths)

    def clear(self) -> None:
        """Forget everything planned; the server is well again."""
        self._planned.clear()
        self._dropping.clear()
        self._released.set()
        self._released = asyncio.Event()
        self.reachable = True

    def planned(self) -> list[KubeObject]:
        """What is still to come, in order."""
        return [
            {
                "effect": one.effect.value,
                "verb": one.verb,
                "resource": one.resource,
                "times": one.left,
                **({"code": one.error.code} if one.error else {}),
            }
            for one in self._planned
        ] + [
            {"effect": "dropFields", "resource": resource, "fields": list(paths)}
            for resource, paths in self._dropping.items()
        ]

    def check(self, verb: str, resource: str, subresource: str = "") -> None:
        """Called for every request of the testbed's own components.

        Raises:
            ApiStatusError: the planned answer.
        """
        self._meet(verb, resource, subresource, (Effect.FAIL,))

    def meet(self, verb: str, resource: str, subresource: str = "") -> Effect | None:
        """Called for every request over HTTP: what happens to it, None when nothing does.

        Raises:
            ApiStatusError: the planned answer.
        """
        return self._meet(verb, resource, subresource, tuple(Effect))

    def _meet(
        self, verb: str, resource: str, subresource: str, effects: tuple[Effect, ...]
    ) -> Effect | None:
        for planned in self._planned:
            if planned.effect in effects and planned.fits(verb, resource, subresource):
                planned.left -= 1
                self._planned = [other for other in self._planned if other.left > 0]
                if planned.error is None:
                    return planned.effect
                error = planned.error
                raise ApiStatusError(error.code, error.reason, error.message, dict(error.details))
        return None

    async def released(self) -> None:
        """Return when hanging and held requests are let go."""
        await self._released.wait()

    def drop_watches(self) -> None:
        """Cut every running watch without a word, as a broken connection does."""
        self.watch_epoch += 1
        self._wake_watches()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Within the block connections are cut, running watches included."""
        self.reachable = False
        self.drop_watches()
        try:
            yield
        finally:
            self.reachable = True
