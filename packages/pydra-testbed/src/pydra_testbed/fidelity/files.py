"""Recordings on disk: which files a folder holds, and their records; for the command and its workers."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pydra_core.errors import ConfigError
from pydra_testbed.fidelity.model import Record

MODULES = {
    "api-verdicts": "api_verdicts",
    "cel-verdicts": "cel_verdicts",
    "allocations": "allocations",
    "lifecycle": "lifecycle",
    "ssa-compute": "ssa_compute",
    "deviceplugin": "deviceplugin",
}
"""Which module of this room plays which file."""

_CONVERSATIONS = {"deviceplugin"}
"""Files whose lines are a log: the lines of one scenario together are a record."""

_FOLDERS = ("kubernetes", "kubelet")
_SUFFIXES = (".jsonl", ".jsonl.gz")


def stem(name: str) -> str:
    """A file's name without `.jsonl` or `.jsonl.gz`."""
    return name.removesuffix(".gz").removesuffix(".jsonl")


def find(data: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The recordings of a folder, or of its `kubernetes/` and `kubelet/`, in the order of `MODULES`; `names` selects some.

    Raises:
        ConfigError: an unknown name, or a file that is not there.
    """
    wanted = [stem(name) for name in names]
    for name in wanted:
        if name not in MODULES:
            raise _wrong("file", f"{name}: no such recording; there are {', '.join(MODULES)}")
    folders = [data / name for name in _FOLDERS if (data / name).is_dir()] or [data]
    found = {name: path for name in MODULES for folder in folders if (path := _path(folder, name))}
    for name in wanted:
        if name not in found:
            raise _wrong("data", f"{data} holds no {name}.jsonl and no {name}.jsonl.gz")
    if not found:
        raise _wrong(
            "data", f"{data} holds no recordings: none of {'.jsonl, '.join(MODULES)}.jsonl"
        )
    return tuple(path for name, path in found.items() if not wanted or name in wanted)


def read(path: Path) -> list[Record]:
    """All records of one file.

    Raises:
        ConfigError: it cannot be read, holds nothing, or a line is no record; names file and line.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as err:
        raise _wrong("data", f"{path} cannot be read: {err}") from err
    lines = enumerate(content.splitlines(), 1)
    is_log = stem(path.name) in _CONVERSATIONS
    read_line = _logged if is_log else _record
    records = [read_line(f"{path}:{number}", line) for number, line in lines if line.strip()]
    if is_log:
        records = _scenarios(records)
    if not records:
        raise _wrong("data", f"{path} holds no record: nothing would be compared")
    return records


def name_of(record: Record) -> str:
    """A record's `id`, or its `name` where the recording has no IDs."""
    return str(record.get("id") or record["name"])


def _path(folder: Path, name: str) -> Path | None:
    paths = (folder / (name + suffix) for suffix in _SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _record(where: str, line: bytes) -> Record:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError as err:
        raise _wrong("data", f"{where}: is no JSON: {err}") from err
    if not isinstance(record, dict) or not isinstance(record.get("id") or record.get("name"), str):
        raise _wrong("data", f"{where}: is no record: it must be an object with an id or a name")
    return record


def _logged(where: str, line: bytes) -> Record:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError as err:
        raise _wrong("data", f"{where}: is no JSON: {err}") from err
    if not isinstance(record, dict) or not isinstance(record.get("scenario"), str):
        raise _wrong("data", f"{where}: is no record: it must be an object with a scenario")
    return record


def _scenarios(lines: Sequence[Record]) -> list[Record]:
    """Each scenario with its lines, and all lines before them."""
    names = list(dict.fromkeys(str(line["scenario"]) for line in lines))
    first = {name: next(i for i, o in enumerate(lines) if o["scenario"] == name) for name in names}
    return [
        {
            "id": name,
            "lines": [line for line in lines if line["scenario"] == name],
            "earlier": list(lines[: first[name]]),
        }
        for name in names
    ]


def _wrong(key: str, text: str) -> ConfigError:
    return ConfigError(f"fidelity: {text}", key=key, source="flag")
