"""DP-09 and DP-10: two instances of a device plugin at once, and the five minutes a node waits for one that is gone."""

from __future__ import annotations

import uuid

from pydra_testbed.conformance.cases.plugins import BOTH, PLUGIN
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.serving import allocated, begin, given, some
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet.deviceplugins.inventory import GRACE

_NEARLY = GRACE - 1.0


async def _outlives_the_other(stand: Stand) -> None:
    plugins = stand.kubelet.plugins
    old = await begin(stand, pod_uid=str(uuid.uuid4()))
    name, ids = some(stand, 1)
    first = plugins.endpoint(name)
    before = await given(stand, "pod", name, ids)
    await begin(stand, pod_uid=str(uuid.uuid4()))
    second = plugins.endpoint(name)
    if first == second:
        raise UnsuitedError(
            "its endpoint is the same for every POD_UID ({pod_uid}): it does no rolling upgrade"
        )
    await old.process.stop(stand.limits.stop)
    await stand.until(f"the list of {first} ended", lambda: not plugins.reads(first))
    await stand.until(
        f"{name} served by the new instance once the old one is gone",
        lambda: plugins.endpoint(name) == second and bool(plugins.devices(name)),
        stand.limits.notice,
    )
    if (after := (await allocated(stand, name, ids))[0]) != before:
        raise NotMetError(f"the answer that the old instance gave: {before}", f"{after}")


async def _comes_back(stand: Stand) -> None:
    await begin(stand)
    plugins = stand.kubelet.plugins
    name, ids = some(stand, 1)
    listed = set(plugins.devices(name))
    before = await given(stand, "pod", name, ids)
    for seconds in (_NEARLY, GRACE):
        await stand.driver.process.stop(stand.limits.stop)
        await stand.until(
            f"nothing of {name} to give while the driver is stopped",
            lambda: not plugins.endpoint(name),
            stand.limits.notice,
        )
        await plugins.wait(seconds)
        is_there = plugins.amounts[name].capacity > 0
        await begin(stand)
        if set(plugins.devices(name)) != listed:
            what = f"the IDs of before {seconds:g} s without it: {sorted(listed)}"
            raise NotMetError(what, f"{sorted(plugins.devices(name))}")
        if is_there and (after := (await allocated(stand, name, ids))[0]) != before:
            raise NotMetError(f"the answer of before: {before}", f"{after}")


CASES = (
    Case(
        "DP-09", "the new of two instances goes on when the old one ends",
        "The kubelet knows plugins by resource: when the old instance ends, it cuts the new one's stream and counts the"
        " resource as gone.",
        "Name the endpoint after the pod's UID, and register anew whenever the kubelet ends your stream.",
        _outlives_the_other, BOTH,
    ),
    Case(
        "DP-10", "comes back with the same IDs, within the five minutes of grace and after them",
        "The kubelet remembers which pod has which ID for as long as the pod lives, over any restart of the plugin.",
        "Make IDs of what stays, such as the device's UUID or its place, and of nothing that a start decides.",
        _comes_back, PLUGIN,
    ),
)  # fmt: skip
