"""The CDI directory the driver writes, and what lies in it and in the static one, as a runtime reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydra_cdi import CdiError, Registry, Snapshot, SpecDirectory, SpecError
from pydra_core._commands.doctor import folders, journal
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok
from pydra_core._commands.doctor.subject import Subject
from pydra_core._state.records import NO_SPEC, ref_of

STATIC = "/etc/cdi"
_CLASS = "claim"
_MOUNTS = Path("/proc/self/mountinfo")


def look(subject: Subject) -> Iterator[Result]:
    """The directory, then all spec files a runtime reads."""
    directory = subject.settings.cdi_dir
    yield from _directory(subject, directory)
    snapshot = Registry(tuple(dict.fromkeys((subject.on_host(STATIC), directory)))).refresh()
    ours = f"{subject.driver.name}-{_CLASS}_"
    yield from _bad_files(snapshot, ours)
    yield from _conflicts(snapshot)
    yield from _missing(subject)
    count = sum(loaded.path.name.startswith(ours) for loaded in snapshot.specs)
    seen = f"{len(snapshot.specs)} valid spec files, {count} of this driver, {len(snapshot.devices)} devices"
    yield ok("cdi: spec files", seen)


def _directory(subject: Subject, directory: Path) -> Iterator[Result]:
    if not directory.is_dir():
        yield finding(
            Finding.CDI_DIRECTORY,
            "cdi: directory",
            f"{directory} is a file" if directory.exists() else f"{directory} does not exist",
            f"on the node: mkdir -p -m 0755 {directory}; in a pod: mount it by hostPath of type"
            " DirectoryOrCreate, or the runtime will never see what the driver writes",
        )
        return
    kind = folders.file_system(directory.resolve(), _MOUNTS.read_text(errors="replace"))
    seen = f"{directory}, {folders.owner(directory)}, {_persistence(kind)}"
    if err := folders.refusal(directory):
        yield finding(
            Finding.CDI_DIRECTORY,
            "cdi: directory",
            f"{seen}: {err.strerror}",
            folders.fix_for(err, directory),
        )
    elif folders.anyone_may_write(directory):
        fix = f"chmod o-w {directory}"
        yield finding(
            Finding.CDI_DIRECTORY,
            "cdi: directory",
            f"{seen}: every user may define devices there",
            fix,
        )
    elif kind == "overlay" and subject.environ.get("KUBERNETES_SERVICE_HOST"):
        fix = f"mount {directory} into the pod by hostPath"
        yield finding(
            Finding.CDI_DIRECTORY,
            "cdi: directory",
            f"{seen}: the pod's own file system, no runtime sees it",
            fix,
        )
    else:
        yield ok("cdi: directory", f"{seen}, writable")


def _persistence(kind: str) -> str:
    if kind == "tmpfs":
        return "tmpfs (empty after a reboot; the driver writes its files again)"
    return f"{kind} (not tmpfs: files stay over a reboot; the driver clears up its own)"


def _bad_files(snapshot: Snapshot, ours: str) -> Iterator[Result]:
    """What no runtime reads: directories it cannot list, and files that hold no valid spec."""
    for directory, error in snapshot.unread.items():
        fix = f"mend or remove {directory}: runtimes stop at it, so all directories after it count for nothing"
        yield finding(Finding.CDI_UNREADABLE, "cdi: directories", _brief(error), fix)
    valid = {loaded.path for loaded in snapshot.specs}
    for path, errors in snapshot.errors.items():
        if path in valid:
            continue
        if path.name.startswith(ours):
            fix = "restart the driver (delete its pod): it writes its files again from the journal"
            yield finding(Finding.CDI_OWN_FILES, "cdi: own files", _brief(errors[0]), fix)
        else:
            fix = f"tell the driver it belongs to, or move it away: mv {path} {path}.bad"
            yield finding(Finding.CDI_OTHERS_FILES, "cdi: others' files", _brief(errors[0]), fix)


def _brief(error: CdiError) -> str:
    if isinstance(error, SpecError):
        return f"{error.subject}: {'; '.join(str(fault) for fault in error.faults[:3])}"
    return str(error)


def _conflicts(snapshot: Snapshot) -> Iterator[Result]:
    for device, files in snapshot.conflicts.items():
        names = ", ".join(map(str, files))
        fix = f"keep one of them: rm {files[-1]}"
        yield finding(
            Finding.CDI_CONFLICT,
            "cdi: conflicts",
            f"{device} is defined by {names}, so nobody gets it",
            fix,
        )


def _missing(subject: Subject) -> Iterator[Result]:
    """Spec files the journal knows of and the directory has not: their pods cannot restart."""
    try:
        data = journal.path_of(subject).read_bytes()
    except OSError:
        return  # the journal's own check says why
    directory, kind = SpecDirectory(subject.settings.cdi_dir), f"{subject.driver.name}/{_CLASS}"
    for claim in journal.read(data).ledger.all_prepared():
        if bytes(claim.spec) == bytes(NO_SPEC):
            continue
        path = directory.file(kind, claim.uid)
        if not path.exists():
            seen = f"{path} of prepared claim {ref_of(claim)} is not there"
            yield finding(
                Finding.CDI_OWN_FILES,
                "cdi: own files",
                seen,
                "restart the driver (delete its pod): it writes it again",
            )
