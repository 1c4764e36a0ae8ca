"""Which rungs of the ladder a GPU is good for, found by standing on each: version numbers and help texts mislead.

Every rung is tried with a daemon of its own in a private folder. What was found holds until the tool or the driver
is another one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pydra_core.errors import HostError, PydraError, VendorError, VendorTimeoutError
from pydra_nvidia.mps import daemon, files, running, texts
from pydra_nvidia.mps.control import Control
from pydra_nvidia.mps.enforcing import namespaces, static
from pydra_nvidia.mps.folders import GpuFolder
from pydra_nvidia.mps.tool import Tool
from pydra_nvidia.mps.values import Capabilities, Enforcement, MpsGpu

_log = logging.getLogger(__name__)
_PROTOCOL = "-p"
_OLDEST = 7
"""Major compute capability: before Volta, MPS has no limits."""
_PAIR = 2
"""Multiprocessors of a TPC, the least that percentages are rounded to since Volta."""
_TRIED = 50.0
_TRIED_MIB = 512
_PROBE = "probing"
"""Long enough that no tenant's namespace has a longer path."""
_DOUBT = 600.0
"""Seconds after which a rung that a GPU fell off is tried again."""


class Rungs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What probing found.

    Attributes:
        identity: Of the tool and driver it was found with.
        best: What the driver is told.
        flags: Those a daemon is started with, by rung that the GPU is good for.
        until: Seconds since the machine's start up to which it is believed; None if nothing can change it but another
            tool or driver.
    """

    identity: str
    best: Capabilities
    flags: dict[Enforcement, tuple[str, ...]]
    until: float | None = None

    def holds(self, identity: str) -> bool:
        """Whether it is still to be believed."""
        passed = self.until is not None and time.monotonic() > self.until
        return self.identity == identity and not passed


def known(folder: GpuFolder) -> Rungs | None:
    """What was found before; None if nothing was, or it cannot be read."""
    try:
        return files.read(folder.capabilities, Rungs)
    except HostError:
        return None


def is_too_old(gpu: MpsGpu) -> bool:
    """Whether MPS has no limits on such a GPU."""
    major = gpu.compute_capability.partition(".")[0]
    return not (major.isascii() and major.isdigit() and int(major) >= _OLDEST)


async def probe(tool: Tool, folder: GpuFolder, gpu: MpsGpu, patience: float) -> Rungs:
    """Find out, and keep it.

    Raises:
        VendorTimeoutError: the tool hangs, which tells nothing of what it can do.
        HostError: the folder takes no files.
    """
    if is_too_old(gpu):
        why = f"compute capability {gpu.compute_capability}: limits need 7.0 (Volta) or later"
        return Rungs(tool.identity, Capabilities("none", 0, 0, why), {})
    folder.make()
    control = Control(tool, folder.probe, patience)
    found: dict[Enforcement, _Stood] = {}
    refusals, until = [], None
    for name, own, trial in _LADDER:
        try:
            found[name] = await _stand(control, own, trial)
        except VendorTimeoutError:
            raise
        except VendorError as err:
            if isinstance(err, _TrialFailedError):
                until = time.monotonic() + _DOUBT
            refusals.append(f"{name}: {str(err).removeprefix(f'GPU {gpu.uuid}: ')}")
    flags = {name: stood.flags for name, stood in found.items()}
    rungs = Rungs(tool.identity, _best(gpu, found, "; ".join(refusals)), flags, until)
    if flags:
        files.write(folder.capabilities, rungs)
    details = {"gpu": gpu.uuid, "enforcement": rungs.best.enforcement, "why": rungs.best.why}
    _log.info("GPU probed", extra=details)
    return rungs


def fell_off(
    folder: GpuFolder, gpu: MpsGpu, found: Rungs, name: Enforcement, err: BaseException
) -> bool:
    """Note that a rung that went well on trial fails for tenants, until it is tried again.

    Returns:
        Whether there is another rung for them: that on which nothing is made. A tool that hangs tells of none.
    """
    lowest: Enforcement = "mps-percent"
    odd = isinstance(err, VendorError) and not isinstance(err, VendorTimeoutError)
    if not odd or name == lowest or lowest not in found.flags:
        return False
    why = str(err)
    told = f"{name}: {why.removeprefix(f'GPU {gpu.uuid}: ')}"
    best = _best(gpu, {lowest: _Stood(found.flags[lowest], 0, 0)}, told)
    flags = {lowest: found.flags[lowest]}
    files.write(folder.capabilities, Rungs(found.identity, best, flags, time.monotonic() + _DOUBT))
    _log.warning("GPU falls off a rung", extra={"gpu": gpu.uuid, "enforcement": name, "why": why})
    return True


def is_newer(flags: Sequence[str]) -> bool:
    """Whether a daemon with these flags speaks the newer protocol."""
    return _PROTOCOL in flags


async def end_probes(folder: GpuFolder) -> None:
    """End the daemon of a probe that was killed."""
    if left := daemon.find(folder.probe):
        await running.end(None, left, folder.probe)


class _TrialFailedError(VendorError):
    """A daemon stayed and did not do it: the GPU may be in use in a way that is over some time."""


class _Stood(NamedTuple):
    """On a rung: the flags that took, multiprocessors that can be given at once, and in all."""

    flags: tuple[str, ...]
    unit: int
    most: int


_Trial = Callable[[Control], Awaitable[tuple[int, int]]]


async def _stand(control: Control, own: Sequence[str], trial: _Trial) -> _Stood:
    """Try a rung, by each way to start its daemon."""
    first: VendorError | None = None
    alike = Control(control.tool, control.folder, control.patience, newer=is_newer(own))
    for flags in _for_all_users(own):
        try:
            started = await running.start(alike, flags)
        except VendorTimeoutError:
            raise
        except VendorError as err:
            doubtful = isinstance(err, running.RefusedError)
            first = first or (_TrialFailedError(str(err)) if doubtful else err)
            continue
        try:
            return _Stood(flags, *await trial(alike))
        except VendorTimeoutError:
            raise
        except PydraError as err:
            raise _TrialFailedError(str(err)) from err
        finally:
            await running.end(alike, started, control.folder)
    raise first or VendorError(f"GPU {control.folder.uuid}: no way to start a daemon is known")


def _for_all_users(own: Sequence[str]) -> Sequence[tuple[str, ...]]:
    """With one server for the programs of all users first; without it, users take turns. Root alone may."""
    if _PROTOCOL not in own:
        return (*own, "-multiuser-server"), tuple(own)
    return ((*own, "-m"),) if os.geteuid() == 0 else (tuple(own),)


async def _try_namespaces(control: Control) -> tuple[int, int]:
    """Make one, give it limits that are told in either unit, and undo it: all that is done for a tenant."""
    server = await namespaces.server_of(control)
    await namespaces.create(control, server, _PROBE)
    for mib in (_TRIED_MIB, 3 * _TRIED_MIB):
        await namespaces.limit(control, server, _PROBE, round(_TRIED), mib)
    await namespaces.remove(control, server, _PROBE)
    if odd := set(await namespaces.namespaces(control, server)) - {namespaces.DEFAULT}:
        raise VendorError(
            f"GPU {control.folder.uuid}: namespaces are listed that nobody made: {odd}"
        )
    return 0, 0


async def _try_static(control: Control) -> tuple[int, int]:
    """Add a partition of one chunk: how large that is, no document says for all GPUs."""
    made = await static.add(control, 1, "none (probe)")
    chunks = (await static.partitions(control)).chunks
    await static.remove(control, made.name)
    if not (made.sms and chunks):
        raise VendorError(f"GPU {control.folder.uuid}: lspart does not tell what its partition has")
    return made.sms, made.sms * chunks


async def _try_percent(control: Control) -> tuple[int, int]:
    name = "default_active_thread_percentage"
    said = await control.ask(f"set_{name} {_TRIED:g}", f"get_{name}")
    if not texts.is_near(texts.percent(said), _TRIED):
        told = " ".join(said) or "nothing"
        raise VendorError(
            f"GPU {control.folder.uuid}: set {name} to {_TRIED:g}, and it answers {told!r}"
        )
    return 0, 0


_LADDER: tuple[tuple[Enforcement, tuple[str, ...], _Trial], ...] = (
    ("mps-v3-namespace", (_PROTOCOL, "3"), _try_namespaces),
    ("mps-static", ("-S",), _try_static),
    ("mps-percent", (), _try_percent),
)


def _best(gpu: MpsGpu, found: Mapping[Enforcement, _Stood], why: str) -> Capabilities:
    pairs = gpu.sms // _PAIR * _PAIR
    if "mps-v3-namespace" in found:
        return Capabilities("mps-v3-namespace", _PAIR, pairs, why)
    if stood := found.get("mps-static"):
        return Capabilities("mps-static", stood.unit, stood.most, why)
    if "mps-percent" in found:
        return Capabilities("mps-percent", _PAIR, pairs, why)
    return Capabilities("none", 0, 0, why)
