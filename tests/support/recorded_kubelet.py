"""What a kubelet 1.36.2 said to a DRA plugin, as recorded, for replays: calls in order, bytes on the wire.

The files are selections of whole recorded lines; nothing in them was edited.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parents[1] / "contract" / "replay" / "data"


@dataclass(frozen=True)
class Call:
    """One unary call: what the kubelet sent, and what the recorded plugin answered."""

    plugin: str
    scenario: str
    service: str
    method: str
    began: float
    ended: float
    deadline: float
    request: bytes
    response: bytes
    code: str
    uids: tuple[str, ...] = field(default=())

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.method}"

    @property
    def overran(self) -> bool:
        """Whether the kubelet had given up before the plugin answered."""
        return self.ended - self.began > self.deadline


def read(name: str) -> Iterator[dict]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


CONVERSATIONS = ("conversation", "conversation-alpha")
"""With the gates a kubelet has by default, and with the alpha ones on."""


def calls() -> list[Call]:
    """All unary calls of the recorded conversations, in the order in which they were sent."""
    made = ([_call(r) for r in read(c) if r.get("kind") == "unary"] for c in CONVERSATIONS)
    return [c for conversation in made for c in sorted(conversation, key=lambda c: c.began)]


def stopped_in_order() -> set[str]:
    """The plugin instances that got a SIGTERM; the others were killed or just cut off."""
    records = itertools.chain(*map(read, CONVERSATIONS))
    return {r["plugin"] for r in records if r.get("event") == "plugin-stopping"}


def bursts(sequence: list[Call]) -> Iterator[list[Call]]:
    """Group calls that were in flight together; long ones, which the replay holds by hand, are on their own."""
    group: list[Call] = []
    for call in sequence:
        together = (
            group and call.began < max(c.ended for c in group) and call.plugin == group[0].plugin
        )
        if group and (not together or is_long(call) or is_long(group[0])):
            yield group
            group = []
        group.append(call)
    if group:
        yield group


def is_long(call: Call) -> bool:
    return call.ended - call.began > 1


def client_chunks(name: str) -> list[bytes]:
    """The bytes the kubelet wrote to one socket, write by write (the empty one is its close)."""
    return [bytes.fromhex(r["hex"]) for r in read(name) if r["dir"] == "kubelet->plugin"]


def server_bytes(name: str) -> bytes:
    return b"".join(bytes.fromhex(r["hex"]) for r in read(name) if r["dir"] == "plugin->kubelet")


def _call(record: dict) -> Call:
    claims = record["request"].get("claims", ())
    return Call(
        plugin=record["plugin"],
        scenario=record["scenario"],
        service=record["service"],
        method=record["method"],
        began=record["t"] - record["took_ms"] / 1000,
        ended=record["t"],
        deadline=record["deadline_s"],
        request=bytes.fromhex(record["request_hex"]),
        response=bytes.fromhex(record.get("response_hex") or ""),
        code=record["code"],
        uids=tuple(c["uid"] for c in claims),
    )


def by_method(sequence: list[Call]) -> dict[str, int]:
    methods = sorted(c.method for c in sequence)
    return {m: len(list(g)) for m, g in itertools.groupby(methods)}
