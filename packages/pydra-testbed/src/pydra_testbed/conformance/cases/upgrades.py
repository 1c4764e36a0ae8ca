"""REG-06 to REG-09: two instances at once, instances one after the other, and what they leave behind."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

from pydra_testbed.conformance.asking import prepared, unprepared
from pydra_testbed.conformance.model import Case, Conditions, NotMetError, UnsuitedError
from pydra_testbed.conformance.running import Running
from pydra_testbed.conformance.stand import Stand

_MAX_SOCKET_PATH = 107
_REPLACEMENTS = 3
_OWN = Conditions(own=True, starts=False)


async def _rolls(stand: Stand) -> None:
    old, new = await _both(stand)
    claim = await stand.claim(stand.use(stand.devices(1)[0]))
    await prepared(stand, claim, on=new)
    await unprepared(stand, claim, on=new)
    await old.process.stop(stand.limits.stop)
    await stand.until(
        "calls go to the new instance", lambda: _is_called(stand, new), stand.limits.notice
    )
    if stand.kubelet.outages:
        raise NotMetError(
            "a connected instance at every moment of the upgrade",
            f"{stand.kubelet.outages} outages",
        )
    await prepared(stand, claim, on=new)


async def _both(stand: Stand) -> tuple[Running, Running]:
    old = await _with_pod(stand)
    await stand.published()
    return old, await _with_pod(stand)


async def _with_pod(stand: Stand) -> Running:
    """Start an instance with a pod of its own, whose UID its sockets must show."""
    taken = {running.registration.socket for running in stand.running}
    pod = str(uuid.uuid4())
    if not taken:
        running = await stand.start(pod_uid=pod)
        if Path(running.registration.socket).name == stand.profile.socket:
            raise UnsuitedError(
                "its sockets are the same with and without POD_UID ({pod_uid}): it does no rolling upgrade"
            )
        return running
    return await stand.start(pod_uid=pod)


async def _keeps_the_old(stand: Stand) -> None:
    old = await _with_pod(stand)
    await stand.published()
    failed = await stand.launch(pod_uid=str(uuid.uuid4()))
    try:
        before = len(stand.kubelet.calls)
        await stand.until("the new instance begins to register", lambda: _asked(stand, before, old))
    finally:
        await failed.kill()
    claim = await stand.claim(stand.use(stand.devices(1)[0]))
    await prepared(stand, claim, on=old)
    await stand.until(
        "the kubelet calls the old instance once the new one is dead",
        lambda: _is_called(stand, old),
        stand.limits.notice,
    )
    if stand.kubelet.outages:
        raise NotMetError("the old instance stays usable", f"{stand.kubelet.outages} outages")


def _is_called(stand: Stand, instance: Running) -> bool:
    return stand.kubelet.chosen(instance.name) == instance.registration.endpoint


def _asked(stand: Stand, before: int, old: Running) -> bool:
    return any(c.endpoint != old.registration.socket for c in stand.kubelet.calls[before:])


async def _replaces_cleanly(stand: Stand) -> None:
    for _ in range(_REPLACEMENTS):
        running = await stand.start(pod_uid=str(uuid.uuid4()))
        if not await running.process.stop(stand.limits.stop):
            raise NotMetError(
                f"an end within {stand.limits.stop:g} s of SIGTERM", "it had to be killed"
            )
    left = [str(path.relative_to(stand.kubelet_root)) for path in _sockets(stand.kubelet_root)]
    if left:
        raise NotMetError("no socket is left by instances that were stopped", ", ".join(left))


def _sockets(root: Path) -> list[Path]:
    """All but the kubelet's own."""
    found = (path for path in root.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode))
    return [path for path in found if path.name != "kubelet.sock"]


async def _fits_its_paths(stand: Stand) -> None:
    if len(os.fsencode(stand.kubelet_root)) > _MAX_SOCKET_PATH // 2 + 1:
        raise UnsuitedError(f"the folder for temporary files has too long a path: {stand.root}")
    running = await stand.start(pod_uid=str(uuid.uuid4()))
    await stand.published()
    for path in (running.registration.socket, running.registration.endpoint):
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise NotMetError(f"socket paths of at most {_MAX_SOCKET_PATH} bytes", path)
    await prepared(stand, await stand.claim(stand.use(stand.devices(1)[0])))


CASES = (
    Case(
        "REG-06", "a rolling upgrade always has a connected instance",
        "Since 1.33 the kubelet keeps several instances of a driver, by endpoint, and calls the newest connected one"
        " (KEP-4381, seamless upgrades).",
        "Name both sockets after the pod's UID, share what is on disk under a file lock, and unlink only your own"
        " sockets at the end.",
        _rolls, _OWN,
    ),
    Case(
        "REG-07", "a failed upgrade leaves the old instance in charge",
        "The new instance may crash before it is ready; the old one still has to serve.",
        "Never stop, unlink or take over anything of the other instance while it lives.",
        _keeps_the_old, _OWN,
    ),
    Case(
        "REG-08", f"{_REPLACEMENTS} replacements one after the other leave no socket",
        "The kubelet dials every socket it finds in plugins_registry, for ever.",
        "Unlink both sockets on SIGTERM, the registration socket first, and end within the grace period.",
        _replaces_cleanly, _OWN,
    ),
    Case(
        "REG-09", "serves below a kubelet root so long that names of driver and pod do not fit",
        f"A socket's path has at most {_MAX_SOCKET_PATH} bytes (sun_path less its NUL); kubelet roots differ.",
        "Shorten both socket names deterministically, for example to a digest of driver name and pod UID.",
        _fits_its_paths, Conditions(own=True, starts=False, long_root=True),
    ),
)  # fmt: skip
