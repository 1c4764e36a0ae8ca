"""STATE-01 to STATE-05, white box: the journal of a driver of ours is torn, damaged, of another version, on a full disk.

A driver that keeps no journal of this framework is left alone.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydra_core._state import frames
from pydra_testbed.conformance.asking import prepared, refused, same, unprepared, without_trace
from pydra_testbed.conformance.journal import find_journal
from pydra_testbed.conformance.model import Case, NotMetError, UnsuitedError
from pydra_testbed.conformance.process import Process
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.services import ClaimAnswer


def _journal(stand: Stand) -> Path:
    path = find_journal(stand.data_dir)
    if path is None:
        raise UnsuitedError("white box: the driver keeps no journal of pydra-core")
    return path


async def _claims(stand: Stand) -> list[tuple[ClaimRef, ClaimAnswer]]:
    """Two claims, prepared."""
    refs = [await stand.claim(stand.use(device)) for device in stand.devices(2)]
    return [(ref, await prepared(stand, ref)) for ref in refs]


async def _torn(stand: Stand) -> None:
    journal = _journal(stand)
    aside = _set_aside(journal)
    before = await _claims(stand)
    await stand.driver.process.kill()
    with journal.open("ab") as file:
        file.write(frames.frame(b'{"op":"released","uid":"' + before[0][0].uid.encode())[:-9])
    await stand.start()
    await _all_there(stand, before, "after a torn record")
    if _set_aside(journal) != aside:
        raise NotMetError("an interrupted write taken for what it is", "the journal was set aside")


async def _damaged(stand: Stand) -> None:
    journal = _journal(stand)
    aside = _set_aside(journal)
    files = stand.cdi.files()
    before = await _claims(stand)
    await stand.driver.process.kill()
    content = bytearray(journal.read_bytes())
    place = content.rindex(b'"uid":"' + before[1][0].uid.encode()) + len(b'"uid":"')
    content[place] = ord("1" if content[place] != ord("1") else "2")
    journal.write_bytes(content)
    await stand.start()
    if _set_aside(journal) == aside:
        raise NotMetError("the damaged journal kept as journal.damaged-*", "nothing was set aside")
    await _all_there(stand, before, "after a record whose checksum does not match")
    for ref, _ in before:
        await unprepared(stand, ref)
    without_trace(stand, files, "after the unprepare of a claim whose record was damaged")


def _set_aside(journal: Path) -> list[Path]:
    return sorted(journal.parent.glob(f"{journal.name}.damaged-*"))


async def _all_there(stand: Stand, before: list[tuple[ClaimRef, ClaimAnswer]], when: str) -> None:
    for ref, answer in before:
        same(when, answer, await prepared(stand, ref))


async def _future(stand: Stand) -> None:
    process, journal, content = await _started_on_newer(stand)
    runs = process.code is None
    await process.kill()
    journal.write_bytes(content)
    if runs:
        raise NotMetError("no start on a journal of a newer format", "it registers")
    if process.code == 0 or str(journal) not in process.said:
        raise NotMetError(
            "an exit code other than 0 and the journal's path in the log",
            f"code {process.code}; it logged last:\n{process.last_words}",
        )
    await stand.start()


async def _downgrade(stand: Stand) -> None:
    before = await _claims(stand)
    files = stand.cdi.files()
    process, journal, content = await _started_on_newer(stand)
    await process.kill()
    after = journal.read_bytes()
    journal.write_bytes(content)
    if after != _newer(content):
        raise NotMetError("the newer version's journal untouched", "it was written to")
    without_trace(stand, files, "after the older version's attempt")
    await stand.start()
    await _all_there(stand, before, "once the newer version is back")


async def _started_on_newer(stand: Stand) -> tuple[Process, Path, bytes]:
    """The driver, started on its own journal in a newer format until it ended or is registered.

    The third is what the journal held before.
    """
    journal = _journal(stand)
    await stand.driver.process.kill()
    content = journal.read_bytes()
    journal.write_bytes(_newer(content))
    told = len(stand.kubelet.calls)
    process = await stand.launch()

    def decided() -> bool:
        registered = any(c.method == "NotifyRegistrationStatus" for c in stand.kubelet.calls[told:])
        return process.code is not None or registered

    try:
        await stand.until("an end on a journal of a newer format, or a registration", decided)
    except BaseException:
        await process.kill()
        raise
    return process, journal, content


def _newer(content: bytes) -> bytes:
    version = frames.version_of(content)
    if version is None:
        raise UnsuitedError("white box: the journal's header cannot be read")
    return frames.header(version + 1) + content[frames.HEADER_SIZE :]


async def _disk_full(stand: Stand) -> None:
    journal = _journal(stand)
    aside = _set_aside(journal)
    known, new, third = await _three(stand)
    first = await prepared(stand, known)
    with _no_space(stand.driver.process):
        await refused(stand, new, "nothing can be written")
        same("while the disk is full", first, await prepared(stand, known))
    second = await prepared(stand, new)
    await unprepared(stand, known)
    await stand.driver.process.kill()
    await stand.start()
    same("after a restart", second, await prepared(stand, new))
    await prepared(stand, third)
    if _set_aside(journal) != aside:
        raise NotMetError("a journal that survives a full disk undamaged", "it was set aside")


async def _three(stand: Stand) -> list[ClaimRef]:
    first, second = stand.devices(2)
    return [await stand.claim(stand.use(device)) for device in (first, second, first)]


@contextmanager
def _no_space(process: Process) -> Iterator[None]:
    """No file of the process can grow, as on a full disk."""
    pids = list(process.pids())
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


CASES = (
    Case(
        "STATE-01", "an interrupted write at the journal's end costs nothing",
        "A power cut leaves a part of the last record; it was never answered.",
        "Read up to the torn record and go on behind what is whole.",
        _torn,
    ),
    Case(
        "STATE-02", "a record whose checksum does not match is not believed, and nothing is lost",
        "A disk may change bytes; a record read wrongly gives a device away twice.",
        "Check every record's CRC; keep the damaged file aside, take claims back from their spec files.",
        _damaged,
    ),
    Case(
        "STATE-03", "a journal of a newer format is refused, with its path",
        "An older driver cannot know what the newer one wrote.",
        "Compare the header's version before anything else; exit with a message that names the file.",
        _future,
    ),
    Case(
        "STATE-04", "a downgrade that is refused leaves everything to the newer version",
        "The operator puts the newer version back, and its claims must still be there.",
        "Touch neither journal nor spec files before the version is known.",
        _downgrade,
    ),
    Case(
        "STATE-05", "a full disk refuses new claims, repeats old ones, and heals",
        "A full disk is the node's trouble; it must not cost a claim.",
        "Answer the claim's error when the journal cannot be written, cut off what a failed write left, and try"
        " again with the next call.",
        _disk_full,
    ),
)  # fmt: skip
