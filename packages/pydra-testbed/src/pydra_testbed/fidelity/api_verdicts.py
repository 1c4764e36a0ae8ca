"""Plays `api-verdicts.jsonl`: one request to the API server each, its verdict compared with the recorded one.

Requests go over HTTP, each to a server of its own with the record's gates, permissions and old object.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from pydra_testbed.api import ApiServer
from pydra_testbed.cel import complaint
from pydra_testbed.clock import ManualClock
from pydra_testbed.fidelity.api_answers import Reply, differences, served_differences
from pydra_testbed.fidelity.api_requests import Call, Place, before, call_of, fitted, place_of
from pydra_testbed.fidelity.model import Outcome, Record
from pydra_testbed.objects import KubeObject

_ADMIN = "resource.kubernetes.io/admin-access"
_NAMESPACES = {"admin": {_ADMIN: "true"}, "admin2": {_ADMIN: "True"}, "other": {}, "authz": {}}


class ApiVerdicts:
    """The replayer of API verdicts."""

    async def replay(self, records: Sequence[Record]) -> AsyncIterator[Outcome]:
        """Play records, each on a fresh server."""
        for record in records:
            yield Outcome(record["id"], record["area"], tuple(await _play(record)))


async def _play(record: Record) -> list[str]:
    place = place_of(record)
    server = ApiServer(ManualClock(), cel_check=complaint, gates=record.get("gates") or {})
    for name, labels in _NAMESPACES.items():
        await server.local.create("namespaces", {"metadata": {"name": name, "labels": labels}})
    async with server.listen() as url, _session(url) as session:
        old: KubeObject = {}
        for call in before(record, place):
            reply = await _send(session, call)
            if reply.status not in {200, 201}:
                return [f"the old object was not taken: {reply.body.get('message')}"]
            old = reply.body
        reply = await _send(session, call_of(record, place, fitted(record, place, old)))
        found = list(differences(record, reply, _names(record, old)))
        return found or [line async for line in _served(session, record, place)]


def _session(url: str) -> aiohttp.ClientSession:
    """The recorder sent no user agent."""
    return aiohttp.ClientSession(url, skip_auto_headers=["User-Agent"])


def _names(record: Record, old: KubeObject) -> dict[str, str]:
    recorded = (record.get("old_object") or {}).get("metadata", {}).get("uid")
    return {old["metadata"]["uid"]: recorded} if old and recorded else {}


async def _served(
    session: aiohttp.ClientSession, record: Record, place: Place
) -> AsyncIterator[str]:
    for version, recorded in (record.get("served") or {}).items():
        reply = await _send(session, Call("GET", place.item(version), b""))
        for line in served_differences(version, recorded, reply, record):
            yield line


async def _send(session: aiohttp.ClientSession, call: Call) -> Reply:
    headers = {"Content-Type": call.media} if call.body else {}
    try:
        async with session.request(
            call.method, call.path, data=call.body or None, headers=headers
        ) as reply:
            warnings = [_unquoted(text) for text in reply.headers.getall("Warning", [])]
            return Reply(reply.status, _decoded(await reply.text()), tuple(warnings))
    except aiohttp.ServerDisconnectedError:
        return Reply(0, {})


def _unquoted(header: str) -> str:
    """The text of `299 - "text"`."""
    return header.partition(' "')[2].rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")


def _decoded(text: str) -> KubeObject:
    body: Any = json.loads(text) if text.startswith("{") else {"message": text}
    return dict(body)


REPLAYER = ApiVerdicts()
