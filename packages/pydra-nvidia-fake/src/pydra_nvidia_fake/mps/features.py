"""What the tool of a driver version can do. `installed` writes it beside the tool, which reads it when it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

SUFFIX = ".features"
_VERSIONS = {580: 13000, 590: 13010, 595: 13020, 610: 13040, 615: 13050}
_WITH_OPTIONS, _MULTIUSER, _STATIC, _SENTENCES, _NAMESPACES = 580, 535, 590, 595, 615


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a tool can do.

    Attributes:
        branch: Of the driver, such as 580. From 580 on the tool has options and needs a working driver to start;
            from 610 on a fault stays in its static partition.
        version: What `-v` says from 580 on.
        multiuser: Whether one server may be for all users.
        static: Whether there are static partitions (`-S`).
        bare: Whether `sm_partition add` answers with the ID alone, or in a sentence.
        v3: Whether it speaks the third protocol, with namespaces.
        most_clients: Of one server.
    """

    branch: int
    version: int
    multiuser: bool
    static: bool
    bare: bool
    v3: bool
    most_clients: int = 48

    @property
    def options(self) -> bool:
        """Whether it knows long options, help, and commands as arguments."""
        return self.branch >= _WITH_OPTIONS


def known(name: str) -> bool:
    """Whether there is such a field, to be said of a machine."""
    return name in {field.name for field in fields(Features)}


def write(tool: Path, driver: str, said: Mapping[str, object] | None = None) -> None:
    """Note a driver's version beside its tool; what was `said` otherwise of the machine stays, if nothing is now."""
    path = tool.with_name(tool.name + SUFFIX)
    if said is None:
        said = json.loads(path.read_text(encoding="utf-8"))["said"] if path.exists() else {}
    path.write_text(json.dumps({"driver": driver, "said": dict(said)}), encoding="utf-8")


def read(tool: Path) -> Features:
    """What the tool can do."""
    noted = json.loads(tool.with_name(tool.name + SUFFIX).read_text(encoding="utf-8"))
    branch = int(noted["driver"].partition(".")[0])
    found = Features(
        branch=branch,
        version=max((v for at, v in _VERSIONS.items() if at <= branch), default=0),
        multiuser=branch >= _MULTIUSER,
        static=branch >= _STATIC,
        bare=branch < _SENTENCES,
        v3=branch >= _NAMESPACES,
    )
    return replace(found, **{k: v for k, v in noted["said"].items() if known(k)})
