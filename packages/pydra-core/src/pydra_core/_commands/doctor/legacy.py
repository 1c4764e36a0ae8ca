"""Legacy mode: which of DRA and extended resources this driver serves here and why, and what the second one needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pydra_core._commands.doctor import folders
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, State, finding, ok, skipped
from pydra_core._commands.doctor.subject import Subject
from pydra_core._legacy import mode_file
from pydra_core._legacy.mode import Mode, Wish, wish_of
from pydra_core._legacy.podresources import PodResources
from pydra_core._node.sockets import locate
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError, HostError

_PATIENCE = 5.0
_EXCUSED = (Finding.API_VERSION, Finding.API_GROUP, Finding.NODE_KUBELET)


async def look(subject: Subject) -> Sequence[Result]:
    """The mode first; directories and sockets only where they are needed."""
    if subject.driver.resources is Driver.resources:
        return ()
    try:
        wish = wish_of(subject.settings, subject.driver)
    except ConfigError as err:
        seen, _, fix = str(err).rpartition("; ")
        return [finding(Finding.MODE_SETTINGS, "mode", seen, fix)]
    told = mode_of(subject)
    needed = wish.legacy or (told is not None and told.legacy)
    return [
        _mode(wish, told),
        _directory(subject, needed=needed),
        await _pod_resources(subject, needed=needed),
    ]


def mode_of(subject: Subject) -> Mode | None:
    """The mode of the process that served last, if any did and could serve both."""
    if subject.driver.resources is Driver.resources:
        return None
    try:
        return mode_file.read(locate(subject.settings, subject.driver.name).data_dir)
    except ConfigError:
        return None


def excused(subject: Subject, results: Iterable[Result]) -> Sequence[Result]:
    """Of a driver that can do without DRA, that DRA is missing is no finding."""
    try:
        needs_it = subject.cluster or wish_of(subject.settings, subject.driver).dra is True
    except ConfigError:
        needs_it = True
    if needs_it:
        return tuple(results)
    return tuple(
        dataclasses.replace(
            skipped(r.check, f"{r.seen}; pods get devices as extended resources instead")
        )
        if r.state is State.FINDING and r.finding in _EXCUSED
        else r
        for r in results
    )


def _mode(wish: Wish, told: Mode | None) -> Result:
    if told is None:
        asked = "found out at the start" if wish.dra is None else _named(wish.dra, wish.legacy)
        return ok("mode", f"{asked}; no process has served here yet")
    return ok("mode", f"{_named(told.dra, told.legacy)}: {told.why}")


def _named(dra: bool, legacy: bool) -> str:  # noqa: FBT001 (both are what they are called)
    if dra and legacy:
        return "DRA and extended resources side by side; what draws on shared counters by DRA alone"
    return "DRA" if dra else "extended resources (device plugin)"


def _directory(subject: Subject, *, needed: bool) -> Result:
    check, path = "mode: device-plugins", subject.settings.kubelet_root / "device-plugins"
    if not needed:
        return skipped(check, "not needed as long as DRA alone is served")
    if not path.is_dir():
        seen, fix = f"{path} does not exist", f"mount {path} into the pod by hostPath, writable"
        return finding(Finding.DEVICE_PLUGINS, check, seen, fix)
    if err := folders.refusal(path):
        seen = f"{path}, {folders.owner(path)}: {err.strerror}"
        return finding(Finding.DEVICE_PLUGINS, check, seen, folders.fix_for(err, path))
    return ok(check, f"{path}, {folders.owner(path)}, writable")


async def _pod_resources(subject: Subject, *, needed: bool) -> Result:
    check = "mode: pod-resources"
    if not needed:
        return skipped(check, "not needed as long as DRA alone is served")
    socket = subject.settings.pod_resources
    try:
        listing = await PodResources(socket, _PATIENCE).list()
    except HostError as err:
        seen, _, fix = str(err).partition("; ")
        return finding(Finding.POD_RESOURCES, check, seen, fix)
    return ok(
        check, f"{socket}: {len(listing.pods)} pods, {len(listing.held)} devices in their hands"
    )
