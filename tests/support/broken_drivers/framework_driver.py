"""A driver on our framework: `python framework_driver.py` behaves, with FAULT... it is sabotaged from below.

Two cards that one claim may have, or as many as a number among the arguments says. `counting` gives them shared
counters, `watching` health: a card is sick while there is a file `sick-CARD` in the kubelet's root. `counted` is
`watching` that serves a device plugin too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import urllib.request
from pathlib import Path

import msgspec
import yaml
from publishing_faults import sabotage

from pydra_cdi import ContainerEdits
from pydra_core import (
    Claim,
    Consumption,
    CounterSet,
    Device,
    DeviceGoneError,
    DeviceHealth,
    Driver,
    Health,
    HealthPolicy,
    Inventory,
    PreparedDevice,
    main,
)
from pydra_core._state import frames, log_file, reading
from pydra_core.resources import Resource, ResourceDevice

MADE = set(sys.argv[1:])
COUNT = next((int(word) for word in MADE if word.isdigit()), 2)
CARDS = tuple(f"card-{n}" for n in range(COUNT))
ROOT = Path(os.environ["KUBELET_ROOT"])


class Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: str = "plain"


class FrameworkDriver(Driver):
    name = "ours.example.com"
    config = Mode

    async def discover(self) -> Inventory:
        if "keeps-what-was" in MADE and not CARDS:
            raise DeviceGoneError("no card: all are gone; plug one in")
        return Inventory(*map(card, CARDS), counter_sets=counters())

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        if "logs-parameters" in MADE:
            logging.getLogger(__name__).info("preparing %s", claim)
        for allocation in claim.allocations:
            if allocation.device not in CARDS:
                raise DeviceGoneError(f"device {allocation.device}: is gone; plug it in again")
        return [a.prepared(ContainerEdits(env=[f"MODE={mode(a)}"])) for a in claim.allocations]


class Watching(FrameworkDriver):
    health_policy = HealthPolicy(
        recovers_after={"recovers-at-once": 0.0, "never-recovers": 1e6}.get(
            next((word for word in MADE if "recovers" in word), ""), 1.5
        )
    )

    async def watch_health(self):
        while True:
            for name in CARDS:
                is_sick = (ROOT / f"sick-{name}").exists() and "sees-no-illness" not in MADE
                yield DeviceHealth(
                    device=name, health=Health.UNHEALTHY if is_sick else Health.HEALTHY
                )
            await asyncio.sleep(0.05)


class Counted(Watching):
    """For pods that only count cards as well."""

    def resources(self, inventory: Inventory) -> list[Resource]:
        cards = (ResourceDevice(id=each.name, devices=(each.name,)) for each in inventory.devices)
        return [Resource("ours.example.com/card", tuple(cards))]

    def prefer(self, _resource, available, must_include, size) -> list[str]:
        rest = sorted(set(available) - set(must_include), reverse=True)
        return [*must_include, *rest][:size]


def card(name: str) -> Device:
    index = int(name.partition("-")[2])
    attributes = {"index": index}
    if "counted" in MADE:
        attributes["resource.kubernetes.io/numaNode"] = index % 2
    if "contradicts-itself" in MADE:
        attributes["ours.example.com/index"] = 0
    if "breaks-a-limit" in MADE:
        attributes["card-index"] = 0
    if "both-publish" in MADE:
        attributes["pod"] = os.environ.get("POD_UID", "")
    if "writes-at-each-start" in MADE and not os.environ.get("POD_UID"):
        attributes["started"] = os.getpid()
    consumes = (Consumption("slots", {"slots": "1"}),) if "counting" in MADE else ()
    return Device(name, attributes=attributes, consumes=consumes)


def counters() -> tuple[CounterSet, ...]:
    return (CounterSet("slots", {"slots": str(COUNT)}),) if "counting" in MADE else ()


def mode(allocation) -> str:
    return allocation.config.mode if allocation.config else "none"


def list_claims() -> None:
    user = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    server = user["clusters"][0]["cluster"]["server"]
    token = user["users"][0]["user"].get("token", "")
    url = f"{server}/apis/resource.k8s.io/v1/resourceclaims"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        json.load(answer)


def whole(data: bytes, start: int) -> int | None:
    """The end of a frame that is as long as it says, whatever its checksum."""
    if start < 0 or len(data) - start < 8:
        return None
    end = start + 8 + int.from_bytes(data[start : start + 4], "little")
    return end if end <= len(data) else None


def written_or_not(fd: int, data: bytes, offset: int) -> None:
    with contextlib.suppress(OSError):
        os.pwrite(fd, data, offset)


if "ignores-checksums" in MADE:
    frames._whole = whole
    frames._next_whole = lambda data, _: len(data)
if "takes-torn-for-damaged" in MADE:
    frames._damaged = lambda _, start, end: iter([frames.Damage(start, end, "damaged")])
if "believes-what-it-cannot-write" in MADE:
    log_file.disk.write_all = written_or_not
if "reads-newer-formats" in MADE:
    reading.Reading.is_newer = False
    reading.records.FORMAT = 99
if "lists-all-claims" in MADE:
    list_claims()
if "needs-privileges" in MADE:
    os.chroot("/")

sabotage(MADE, ROOT)
sys.argv[1:] = ["run"]
drivers = {"counted": Counted, "watching": Watching}
main(next((kind for word, kind in drivers.items() if word in MADE), FrameworkDriver))
