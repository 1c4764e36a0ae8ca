"""Faults on demand: tests make the API server answer wrong, lose watches or vanish.

Through `ApiServer.faults`. Requests over HTTP and through `LocalApi` are matched alike, except that only HTTP
can be unreachable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydra_testbed.objects import ApiStatusError

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


@dataclass(slots=True)
class _Planned:
    verb: str
    resource: str
    error: ApiStatusError
    left: int

    def fits(self, verb: str, resource: str, subresource: str) -> bool:
        full = f"{resource}/{subresource}" if subresource else resource
        return self.verb in {ANY, verb} and self.resource in {ANY, resource, full}


class Faults:
    """What goes wrong next. Nothing does unless a test says so."""

    def __init__(self, wake_watches: Callable[[], None]) -> None:
        self._wake_watches = wake_watches
        self._planned: list[_Planned] = []
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
        """Answer the next `times` matching requests with `code`.

        `verb` is get, list, watch, create, update, patch, delete, deletecollection or `*`; `resource` a plural,
        `plural/subresource` or `*`. `retry_after` (seconds) becomes the Retry-After header.
        """
        reason = _REASONS.get(code, "InternalError")
        text = message or f"the testbed was asked to answer {verb} {resource} with {code}"
        details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
        error = ApiStatusError(code, reason, text, details)
        self._planned.append(_Planned(verb, resource, error, times))

    def clear(self) -> None:
        """Forget everything planned; the server is well again."""
        self._planned.clear()
        self.reachable = True

    def check(self, verb: str, resource: str, subresource: str = "") -> None:
        """Called for every request.

        Raises:
            ApiStatusError: the planned answer.
        """
        for planned in self._planned:
            if planned.left > 0 and planned.fits(verb, resource, subresource):
                planned.left -= 1
                self._planned = [other for other in self._planned if other.left > 0]
                error = planned.error
                raise ApiStatusError(error.code, error.reason, error.message, dict(error.details))

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
