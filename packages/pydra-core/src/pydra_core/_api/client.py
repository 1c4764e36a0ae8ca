"""A small asynchronous client for the Kubernetes API: dicts in, dicts out, errors by who must act.

aiohttp was measured against httpx and lightkube (docs/decisions.md): sixteen claims at once take a twentieth
of the time. Bodies stay dicts because typed models refuse partial objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec

from pydra_core._api.access import Access
from pydra_core.errors import ApiError

MERGE_PATCH = "application/merge-patch+json"
_UNAUTHORIZED = 401


class KubeClient:
    """One connection pool to one API server. Create and close it inside a running event loop."""

    def __init__(self, access: Access, *, timeout: float = 10.0, connections: int = 16) -> None:
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=access.tls or True)
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the body of `path`, undecoded: the caller knows the type it wants.

        Raises:
            ApiError: any answer but success (`status`), or none (`status` 0).
        """
        return await self._request("GET", path, query=query)

    async def send(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send `body` as JSON and return the decoded answer. Raises `ApiError`."""
        answer = await self._request(method, path, body=body, content_type=content_type)
        decoded = msgspec.json.decode(answer)
        return decoded if isinstance(decoded, dict) else {}

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        for attempt in (1, 2):  # a rotated token is re-read once
            try:
                async with self._session.request(
                    method,
                    self._access.url + path,
                    params=query,
                    data=data,
                    headers=self._headers(content_type if data is not None else ""),
                    timeout=self._timeout,
                ) as response:
                    answer = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as err:
                raise _unreachable(method, path, err) from err
            if response.status != _UNAUTHORIZED or attempt == 2:  # noqa: PLR2004 (the last attempt)
                break
        if response.status >= 400:  # noqa: PLR2004 (HTTP)
            raise _refused(
                method, path, response.status, answer, response.headers.get("Retry-After")
            )
        return answer

    async def watch(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (type, object) of each event until the server ends the stream.

        Raises:
            ApiError: the watch was refused, broke off, or an ERROR event arrived (410: relist).
        """
        url = self._access.url + path
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)
        try:
            async with self._session.get(
                url,
                params={**query, "watch": "1"},
                headers=self._headers(""),
                timeout=timeout,
                read_bufsize=1 << 22,
            ) as response:
                if response.status >= 400:  # noqa: PLR2004 (HTTP)
                    raise _refused("WATCH", path, response.status, await response.read(), None)
                async for line in response.content:
                    yield _event(path, line)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as err:
            raise _unreachable("WATCH", path, err) from err

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            token = self._access.token()
        except (OSError, UnicodeDecodeError) as err:
            raise ApiError(
                f"API access: token cannot be read: {err}; check the pod's service account"
            ) from err
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _event(path: str, line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        event = msgspec.json.decode(line)
        kind, body = str(event["type"]), dict(event["object"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as err:
        raise ApiError(f"API WATCH {path}: not an event: {err}") from err
    if kind == "ERROR":
        raise ApiError(
            f"API WATCH {path}: {body.get('message', 'ended')}", status=int(body.get("code", 500))
        )
    return kind, body


def _unreachable(method: str, path: str, err: BaseException) -> ApiError:
    why = str(err) or type(err).__name__
    return ApiError(
        f"API {method} {path}: no answer: {why}; check that the API server is reachable from this node"
    )


def _refused(
    method: str, path: str, status: int, answer: bytes, retry_after: str | None
) -> ApiError:
    try:
        message = str(msgspec.json.decode(answer)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = answer[:200].decode("utf-8", "replace")
    remedy = {
        401: "; the token is not accepted: check the service account",
        403: "; grant this in the driver's ClusterRole",
    }.get(status, "")
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(
        f"API {method} {path}: {status}: {message}{remedy}", status=status, retry_after=seconds
    )
