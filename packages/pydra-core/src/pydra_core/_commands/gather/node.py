"""What the node itself tells: settings, journal, spec files, sockets, versions, kernel and runtimes, a log."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pydra_cdi import SpecDirectory
from pydra_core._commands.doctor import runtime_versions
from pydra_core._commands.doctor.subject import Subject
from pydra_core._commands.gather import files
from pydra_core._commands.gather.bundle import Bundle
from pydra_core._commands.gather.redaction import redacted
from pydra_core._node.sockets import instances_sockets, is_served
from pydra_core._state import frames
from pydra_core._state.instances import read_boot_id


def settings(bundle: Bundle, subject: Subject) -> None:
    """Every setting in use."""
    values = {key: str(v) for key, v in dataclasses.asdict(subject.settings).items()}
    bundle.add_json("settings.json", redacted(values))


def journal(bundle: Bundle, subject: Subject, *, raw: bool) -> None:
    """What is prepared: every record for people, and a journal that the same tools read; exact bytes if asked for."""
    steps = ("plugins", subject.driver.name)
    root = subject.settings.kubelet_root
    with bundle.part("journal"):
        data = files.read(root, (*steps, "journal"))
        entries, copy = _records(data)
        bundle.add_json("journal/listing.json", {"bytes": len(data), "records": entries})
        bundle.add("journal/journal", data if raw else copy)
        asides = (
            e.name for e in files.listing(root, *steps) if e.name.startswith("journal.damaged-")
        )
        for name in asides:
            if raw:
                bundle.add(f"journal/{name}", files.read(root, (*steps, name)))
            else:
                bundle.leave_out(f"journal/{name}", "holds values of users; --raw takes it")


def _records(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Every record and every damage, and the records framed anew."""
    entries: list[dict[str, Any]] = []
    version = frames.version_of(data)
    copy = bytearray(frames.header(version or 0))
    for item in frames.read(data, frames.HEADER_SIZE):
        if isinstance(item, frames.Damage):
            entries.append(
                {"damage": item.why, "from": item.start, "to": item.end, "torn": item.torn}
            )
            continue
        try:
            record = redacted(msgspec.json.decode(item.payload))
        except (msgspec.DecodeError, RecursionError) as err:
            entries.append({"damage": str(err), "to": item.end})
            continue
        entries.append(record)
        copy += frames.frame(msgspec.json.encode(record))
    return entries, bytes(copy)


def spec_files(bundle: Bundle, subject: Subject) -> None:
    """This driver's spec files."""
    directory = subject.settings.cdi_dir
    stem = SpecDirectory(directory).file(f"{subject.driver.name}/claim", "*").name.split("*")[0]
    with bundle.part("spec-files"):
        for entry in files.listing(directory):
            if entry.name.startswith(stem):
                with bundle.part(f"spec-files/{entry.name}"):
                    _spec_file(bundle, directory, entry.name)


def _spec_file(bundle: Bundle, directory: Path, name: str) -> None:
    try:
        content = yaml.safe_load(files.read(directory, (name,)))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise files.NotGatheredError(f"is neither JSON nor YAML: {type(err).__name__}") from err
    bundle.add_json(f"spec-files/{name}", redacted(content))


def sockets(bundle: Bundle, subject: Subject) -> None:
    """What lies in the kubelet's directories, and which of our sockets somebody serves."""
    root = subject.settings.kubelet_root
    found: dict[str, Any] = {}
    for steps in (("plugins_registry",), ("plugins",), ("plugins", subject.driver.name)):
        name = "/".join(steps)
        with bundle.part(name):
            found[name] = [dataclasses.asdict(entry) for entry in files.listing(root, *steps)]
    served: dict[str, bool | str] = {}
    for path in instances_sockets(subject.settings, subject.driver.name):
        try:
            served[str(path)] = is_served(path)
        except OSError as err:
            served[str(path)] = str(err.strerror)
    bundle.add_json("sockets.json", {"entries": found, "served": served})


def packages(bundle: Bundle) -> None:
    """Every Python package and its version."""
    found = {str(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}
    bundle.add_json("packages.json", dict(sorted(found.items(), key=lambda kv: kv[0].lower())))


async def host(bundle: Bundle, subject: Subject) -> None:
    """Kernel, operating system, Python and container runtimes."""
    facts = os.uname()
    bundle.add_json(
        "host.json",
        {
            "kernel": f"{facts.sysname} {facts.release} {facts.version} {facts.machine}",
            "os": dict(_os_release(subject)),
            "python": f"{platform.python_implementation()} {sys.version}",
            "boot_id": read_boot_id(subject.settings.boot_id_file),
            "runtimes": [str(each) for each in await runtime_versions.installed(subject)],
        },
    )


def _os_release(subject: Subject) -> Iterator[tuple[str, str]]:
    for candidate in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            text = subject.on_host(candidate).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            name, separator, value = line.partition("=")
            if separator and name in {"ID", "VERSION_ID", "PRETTY_NAME", "VARIANT_ID"}:
                yield name, value.strip('"')
        return


def log(bundle: Bundle, path: Path) -> None:
    """The end of the driver's log."""
    with bundle.part("log"):
        bundle.add("log.txt", files.read(path.parent, (path.name,), tail=True))
