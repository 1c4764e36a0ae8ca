"""What a fake machine is to be: a short file under `hosts/`, or one of your own, over tables of models and topologies."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydra_nvidia_fake.mps import features

_HERE = Path(__file__).parent
_OLDEST, _NEWEST = 470, 999
_MOST_GPUS = 16


@dataclass(frozen=True, slots=True)
class Topology:
    """How GPUs are connected, as `nvidia-smi topo -m` prints it. `near` says what its `NV` entries hide."""

    matrix: tuple[tuple[str, ...], ...]
    numa: tuple[int, ...]
    near: Mapping[str, list[list[int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Partition:
    """A GPU instance to begin with: profile, memory slice it starts at, slices of its compute instances."""

    gpu: int
    profile: str
    start: int
    computes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One machine.

    Attributes:
        model: One entry of `tables/models.toml` over its defaults: what each of its GPUs is.
        profiles: Kinds of GPU instances, from `tables/mig.json`; none for a GPU that cannot be partitioned.
        bus, domains, minors: Of each GPU.
        driver: `580.95.05`; older ones lack what they lack in reality.
        cuda: 1000 times the major number, and 10 times the minor one.
        fabric: UUID of the NVLink domain of several machines, all zeros for one of its own.
        partitioned: GPUs in MIG mode.
        mps: What the tool for MPS can do, where that is not what this driver's can: fields of `mps.features.Features`,
            or `installed = false`.
    """

    name: str
    about: str
    model: Mapping[str, Any]
    slices: tuple[int, int]
    profiles: tuple[Mapping[str, Any], ...]
    topology: Topology
    bus: tuple[int, ...]
    domains: tuple[int, ...]
    device: int
    minors: tuple[int, ...]
    driver: str
    cuda: int
    fabric: str
    clique: int
    imex_channels: int
    partitioned: tuple[int, ...]
    partitions: tuple[Partition, ...]
    mps: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str | Path) -> Description:
        """Read a description by the name of one of ours, or the path of another.

        Raises:
            ValueError: there is none, or it describes no machine.
        """
        path = _HERE / "hosts" / f"{name}.toml" if isinstance(name, str) else name
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as err:
            known = ", ".join(descriptions())
            raise ValueError(f"fake host {name}: {err}; take one of {known}, or a path") from err
        try:
            return _described(path.stem, said)
        except (KeyError, TypeError, IndexError) as err:
            raise ValueError(
                f"fake host {path}: {err!r} is missing or not what it should be"
            ) from err


def descriptions() -> tuple[str, ...]:
    """Names of the machines that come with this package."""
    return tuple(sorted(path.stem for path in (_HERE / "hosts").glob("*.toml")))


def _described(name: str, said: dict[str, Any]) -> Description:
    models = tomllib.loads((_HERE / "tables/models.toml").read_text(encoding="utf-8"))
    model = models["defaults"] | models[said["model"]] | said.get("with", {})
    mig = _table("mig")[model["mig"]] if "mig" in model else {}
    topology = _table("topologies")[said["topology"]]
    count = len(said["bus"])
    if not 0 < count <= _MOST_GPUS or count != len(topology["matrix"]):
        raise ValueError(f"fake host {name}: bus has {count} entries, its topology another number")
    return Description(
        name=name,
        about=said.get("about", ""),
        model=model,
        slices=(mig.get("slices", 0), mig.get("memory_slices", 0)),
        profiles=tuple(mig.get("profiles", ())),
        topology=Topology(
            tuple(map(tuple, topology["matrix"])),
            tuple(topology["numa"]),
            topology.get("near", {}),
        ),
        bus=tuple(said["bus"]),
        domains=tuple(said.get("domains", [0] * count)),
        device=said.get("device", 0),
        minors=tuple(said.get("minors", range(count))),
        driver=_driver(said.get("driver", "580.95.05")),
        cuda=said.get("cuda", 13000),
        fabric=said.get("fabric", "00000000-0000-0000-0000-000000000000"),
        clique=said.get("clique", 0),
        imex_channels=said.get("imex_channels", 0),
        partitioned=tuple(entry["gpu"] for entry in said.get("mig", ())),
        partitions=tuple(
            _partition(entry["gpu"], text)
            for entry in said.get("mig", ())
            for text in entry["instances"]
        ),
        mps=_mps(said.get("mps", {})),
    )


def _driver(version: str) -> str:
    if not _OLDEST <= int(version.partition(".")[0]) <= _NEWEST:
        raise ValueError(f"fake host: driver {version} is none; write it as 580.95.05")
    return version


def _mps(said: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in said if name != "installed" and not features.known(name)]
    if unknown:
        raise ValueError(f"fake host: mps.{unknown[0]} is none of what a tool for MPS can do")
    return said


def _partition(gpu: int, text: str) -> Partition:
    """`2g.20gb@0 1 1`: at memory slice 0, with two compute instances of one slice; none said: one of all slices."""
    profile, _, rest = text.partition("@")
    start, *computes = (int(number) for number in rest.split())
    return Partition(gpu, profile, start, tuple(computes))


@cache
def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((_HERE / f"tables/{name}.json").read_text(encoding="utf-8"))
    return table
