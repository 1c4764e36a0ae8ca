"""What a broken SDK does to slices and health: replaced parts of pydra-core, for `framework_driver.py`."""

from __future__ import annotations

import os
from pathlib import Path

from pydra_core._api import publisher, render, wanted
from pydra_core._api.client import KubeClient
from pydra_core._api.gates import dropped_error, dropped_fields
from pydra_core._api.publisher import Publisher
from pydra_core._api.rivals import Rivals
from pydra_core._api.wanted import Wanted
from pydra_core._node.health.care import Care
from pydra_core._node.health.stream import HealthStream

SABOTAGE = {}


def named(function):
    SABOTAGE[function.__name__.replace("_", "-")] = function
    return function


def sabotage(made: set[str], root: Path) -> None:
    for name in sorted(made & SABOTAGE.keys()):
        SABOTAGE[name](root)


@named
def owned_by_nobody(_):
    publisher.checked_node_uid = lambda _: "99999999-9999-4999-8999-999999999999"


@named
def leaves_wiped_slices(_):
    watch = KubeClient.watch

    async def deaf(self, path, query):
        async for kind, body in watch(self, path, query):
            if kind != "DELETED":
                yield kind, body

    KubeClient.watch = deaf


@named
def half_at_first(_):
    """After a wipe it publishes one device, and the others a moment later."""
    contents, write, once = Wanted.contents, Publisher._write, Publisher._write_once
    published, halves = [], []

    def halved(self, existing):
        existing = list(existing)
        found = contents(self, existing)
        if existing or not published:
            return found
        halves.append(1)
        return {p: [{**c, "devices": c["devices"][:1]} for c in cs] for p, cs in found.items()}

    async def noted(self, one):
        await write(self, one)
        published.append(one)

    async def twice(self):
        await once(self)
        if halves:
            halves.clear()
            await once(self)

    Wanted.contents, Publisher._write, Publisher._write_once = halved, noted, twice


@named
def one_slice_for_all(_):
    for module in (render, wanted):
        module.MAX_DEVICES = module.MAX_DEVICES_ADVANCED = 1000


@named
def does_not_split_for_taints(_):
    for module in (render, wanted):
        module.MAX_DEVICES_ADVANCED = 128


@named
def knows_one_layout(_):
    async def newest(_):
        return render.split

    publisher.layout_of = newest


@named
def says_nothing_of_dropped_fields(_):
    Wanted.adopt = lambda *_: None


@named
def writes_again_and_again(_):
    def insist(_self, sent, stored):
        dropped = dropped_fields(sent["spec"], stored["spec"])
        return dropped_error(stored["metadata"]["name"], dropped) if dropped else None

    Wanted.adopt = insist
    Rivals.corrected = lambda *_: False


@named
def leaves_old_slices(_):
    send = KubeClient.send

    async def keep(self, method, *arguments, **more):
        return {} if method == "DELETE" else await send(self, method, *arguments, **more)

    KubeClient.send = keep


@named
def says_nothing_of_versions(_):
    Publisher._report = lambda *_: None


@named
def contradicts_itself(_):
    publisher.faults_by_pool = lambda *_: {}


@named
def breaks_a_limit(_):
    publisher.faults_by_pool = lambda *_: {}


@named
def turns_the_order(root):
    """Each process lists the other way round."""
    if os.environ.get("POD_UID"):
        return  # one of two instances
    marker, rendered = root / "turned", wanted.render
    turned = marker.exists()
    marker.unlink() if turned else marker.touch()

    def other(pool):
        found = rendered(pool)
        return render.Rendered(found.counter_sets, found.devices[:: -1 if turned else 1])

    wanted.render = other


@named
def both_publish(_):
    Publisher.leads = property(lambda _: lambda: True, lambda *_: None)
    Rivals.corrected = lambda *_: False


def shortened(when):
    """Lists without the last device."""
    compose = HealthStream.compose

    async def less(self):
        whole = await compose(self)
        last = self._encoded.get(max(self._board.states), b"")
        return whole.replace(last, b"", 1) if when(self) else whole

    return less


@named
def forgets_a_device(_):
    HealthStream.compose = shortened(lambda _: True)


@named
def gives_the_third_stream_less(_):
    HealthStream.compose = shortened(lambda stream: len(stream._clients) > 2)


@named
def taints_nothing(_):
    Care._changed = lambda *_: None


@named
def holds_streams(_):
    HealthStream.stop = lambda _: None


@named
def dies_of_kubelets(_):
    watch, ended = HealthStream._watch, []

    async def mortal(self, *arguments):
        try:
            async for message in watch(self, *arguments):
                yield message
        finally:
            ended.append(1)
            if len(ended) > 5:
                os._exit(3)

    HealthStream._watch = mortal
