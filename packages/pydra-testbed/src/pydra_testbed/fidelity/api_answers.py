"""Is the API server's answer the recorded one? Verdict, status, reason, causes, message, warnings, object.

Times and identities that a server makes are compared by whether they are there, kept or new.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydra_testbed.fidelity.model import Record
from pydra_testbed.objects import KubeObject

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_SERVER_MADE = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink")
_BY_KEY = re.compile(
    r"\.(attributes|capacity|counters|labels|annotations|\w*Mappings|\w*[cC]apacity)\b"
)
_KEEPING = ("apply", "merge-patch")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status 0 is a connection that was closed without an answer."""

    status: int
    body: KubeObject
    warnings: tuple[str, ...] = ()


def differences(record: Record, reply: Reply, names: dict[str, str]) -> Iterator[str]:
    """One line for everything that is not as recorded; `names` maps this server's uids to recorded ones."""
    if record.get("quirk") and not record["accepted"] and reply.status >= 400:  # noqa: PLR2004 -- refused
        return
    accepted = 200 <= reply.status < 300  # noqa: PLR2004 -- HTTP's successes
    if accepted != record["accepted"]:
        yield f"verdict: {_told(reply)}, recorded: {_recorded(record)}"
        return
    if reply.status != record["http_status"]:
        yield f"http_status: {reply.status}, recorded: {record['http_status']}"
    yield from _warnings(record, reply)
    if accepted:
        yield from _object("stored", record["stored"], reply.body, record)
    else:
        yield from _refusal(record, reply, names)


def _told(reply: Reply) -> str:
    return f"{reply.status} {reply.body.get('message', '')}"[:_SHOWN].strip()


def _recorded(record: Record) -> str:
    return f"{record['http_status']} {record['message'] or ''}"[:_SHOWN].strip()


def _warnings(record: Record, reply: Reply) -> Iterator[str]:
    recorded = Counter(record.get("warnings") or ())
    if Counter(reply.warnings) != recorded:
        yield f"warnings: {sorted(reply.warnings)}, recorded: {sorted(recorded.elements())}"


def _refusal(record: Record, reply: Reply, names: dict[str, str]) -> Iterator[str]:
    if (reply.body.get("reason") or None) != record["reason"]:
        yield f"reason: {reply.body.get('reason')}, recorded: {record['reason']}"
    causes = (reply.body.get("details") or {}).get("causes") or []
    ours = Counter((cause.get("field", ""), cause.get("reason", "")) for cause in causes)
    theirs = Counter((cause["field"], cause["type"]) for cause in record["causes"])
    if ours != theirs:
        yield f"causes: {sorted((ours - theirs).elements())} too many, {sorted((theirs - ours).elements())} missing"
        return
    texts = [(_text(cause.get("message", ""), names)) for cause in causes]
    recorded = [_fixed(cause["message"]) for cause in record["causes"]]
    free = sum(bool(_BY_KEY.search(cause["field"])) for cause in record["causes"]) > 1
    if not _same(texts, recorded, free=free):
        lost = list((Counter(recorded) - Counter(texts)).elements())
        yield f"cause messages: {texts}"[:_SHOWN] + f", recorded: {lost or recorded}"[: 2 * _SHOWN]
    elif not free and _text(reply.body.get("message", ""), names) != _fixed(
        record["message"] or ""
    ):
        yield f"message: {reply.body.get('message')}, recorded: {record['message']}"


def _same(ours: list[str], theirs: list[str], *, free: bool) -> bool:
    """Entries of maps are judged in any order."""
    return ours == theirs or (free and sorted(ours) == sorted(theirs))


def _text(text: str, names: dict[str, str]) -> str:
    for made, recorded in names.items():
        text = text.replace(made, recorded)
    return _fixed(text)


def _fixed(text: str) -> str:
    """What Kubernetes fixes: a trailing comparison of whole Go structures depends on unrelated fields."""
    return text.partition("\n@@ ")[0]


def served_differences(
    version: str, recorded: KubeObject, reply: Reply, record: Record
) -> Iterator[str]:
    """Differences of a stored object read under another version."""
    yield from _object(f"served as {version}", recorded, reply.body, record)
    expected = (record.get("served_warnings") or {}).get(version) or []
    if sorted(reply.warnings) != sorted(expected):
        yield f"warnings as {version}: {list(reply.warnings)}, recorded: {expected}"


def _object(what: str, recorded: Any, ours: KubeObject, record: Record) -> Iterator[str]:
    if recorded is None:
        return
    theirs, mine = _form(recorded, record), _form(ours, record)
    if "$note" in recorded:
        mine = _part(mine, theirs)
    if theirs != mine:
        yield f"{what}: {_first_difference(mine, theirs, '')}"


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _form(obj: KubeObject, record: Record) -> Any:
    """An object without identities, its server-made times as one word."""
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key not in _SERVER_MADE}
    if meta.get("generateName"):
        meta["name"] = "<made>"
    if meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = "<time>"
    form = {key: value for key, value in obj.items() if key != "$note"} | {"metadata": meta}
    old = record.get("old_object") if record["verb"] in _KEEPING else None
    return _timeless(form, record.get("object"), old)


def _timeless(value: Any, sent: Any, old: Any) -> Any:
    """Times as they were sent, as they were before (where what is not sent is kept), or new."""
    if isinstance(value, dict):
        return {
            key: _timeless(item, _inner(sent, key), _inner(old, key)) for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _timeless(item, _inner(sent, index), _inner(old, index))
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str) or not _TIME.fullmatch(value) or value == sent:
        return value
    return "<kept>" if value == old else "<time>"


def _inner(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(step))
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _part(ours: Any, theirs: Any) -> Any:
    """The part of ours that a reduced recording shows; absent and empty lists are the same there."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return {
            key: _part(ours[key] if key in ours else _nothing(value), value)
            for key, value in theirs.items()
        }
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        return [_part(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    return ours


def _nothing(value: Any) -> Any:
    return type(value)() if isinstance(value, dict | list) and not value else None


def _first_difference(ours: Any, theirs: Any, at: str) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key) or (key in ours) != (key in theirs):
                return _first_difference(
                    ours.get(key, "<absent>"), theirs.get(key, "<absent>"), f"{at}.{key}"
                )
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            if mine != other:
                return _first_difference(mine, other, f"{at}[{index}]")
    return f"{at or '.'}: {_plain(ours)[:_SHOWN]}, recorded: {_plain(theirs)[:_SHOWN]}"
