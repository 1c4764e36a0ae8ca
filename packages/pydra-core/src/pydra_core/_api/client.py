"""A small asynchronous client for the Kubernetes API: dicts in, dicts out, errors by who must act.

aiohttp was measured against httpx and lightkube (docs/decisions.md): sixteen claims at once take a twentieth
of the time. Bodies stay dicts because typed models refuse partial objects.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from pydra_core._api.access import Access
from pydra_core._api.tls import certificates_where_checked
from pydra_core.errors import ApiError, ApiNotServedError

with certificates_where_checked():
    import aiohttp
    from aiohttp.http_exceptions import HttpProcessingError

MANAGER = "pydra-core"
"""What we are in `managedFields`: the API server takes it from the user agent."""
_UNAUTHORIZED, _NOT_FOUND = 401, 404
_RESOURCE = "/apis/resource.k8s.io/v1/"
_MESSAGE_LIMIT = 1000
_NO_ANSWER = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, ValueError)
"""What aiohttp raises on broken connections and broken HTTP; a line that is too long is no `ClientError`."""


class KubeClient:
    """One connection pool to one API server. Create and close it inside a running event loop."""

    def __init__(self, access: Access, *, timeout: float = 10.0, connections: int = 16) -> None:
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=access.tls or True),
            headers={"User-Agent": f"{MANAGER}/{version(MANAGER)}"},
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
        return decode_object(f"{method} {path}", answer)

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
                    allow_redirects=False,  # an API server has none, and the token goes to it alone
                ) as response:
                    answer = await response.read()
            except _NO_ANSWER as err:
                raise _unreachable(method, path, err) from err
            if response.status != _UNAUTHORIZED or attempt == 2:  # noqa: PLR2004 (the last attempt)
                break
        if not _succeeded(response):
            raise _refused(method, path, response, answer)
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
                allow_redirects=False,
            ) as response:
                if not _succeeded(response):
                    raise _refused("WATCH", path, response, await response.read())
                async for line in response.content:
                    yield _event(path, line)
        except _NO_ANSWER as err:
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


def decode_object(what: str, content: bytes | str) -> dict[str, Any]:
    """Decode an answer that must be a JSON object. `what` is the request it answers.

    Raises:
        ApiError: it is none (`status` 0: another answer may be better).
    """
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ApiError(f"API {what}: the answer cannot be read: {err}") from err
    if not isinstance(decoded, dict):
        raise ApiError(f"API {what}: the answer is {type(decoded).__name__}, not an object")
    return decoded


def _event(path: str, line: bytes) -> tuple[str, dict[str, Any]]:
    event = decode_object(f"WATCH {path}", line)
    kind, body = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise ApiError(f"API WATCH {path}: an event without type or object")
    if kind == "ERROR":
        code = body.get("code")
        raise ApiError(
            f"API WATCH {path}: {body.get('message', 'ended')}",
            status=code if isinstance(code, int) else 500,
        )
    return kind, body


def _unreachable(method: str, path: str, err: BaseException) -> ApiError:
    why = str(err) or type(err).__name__
    return ApiError(
        f"API {method} {path}: no answer: {why}; check that the API server is reachable from this node"
    )


def _succeeded(response: aiohttp.ClientResponse) -> bool:
    return 200 <= response.status < 300  # noqa: PLR2004 (HTTP)


def _refused(method: str, path: str, response: aiohttp.ClientResponse, answer: bytes) -> ApiError:
    status, retry_after = response.status, response.headers.get("Retry-After", "")
    try:
        message = str(decode_object(method, answer)["message"])[:_MESSAGE_LIMIT]
    except (ApiError, KeyError):
        message = answer[:200].decode("utf-8", "replace")
        if status == _NOT_FOUND and path.startswith(
            _RESOURCE
        ):  # an object that is missing is a Status
            return ApiNotServedError(
                f"API {method} {path}: this API server does not serve resource.k8s.io/v1, which begins with"
                " Kubernetes 1.34; upgrade the cluster, `doctor` says what it serves",
                status=status,
            )
    remedy = {
        401: "; the token is not accepted: check the service account",
        403: "; grant this in the driver's ClusterRole",
    }.get(status, "")
    seconds = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
    return ApiError(
        f"API {method} {path}: {status}: {message}{remedy}", status=status, retry_after=seconds
    )
