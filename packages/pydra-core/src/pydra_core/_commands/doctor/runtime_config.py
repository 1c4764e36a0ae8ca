"""CDI settings of the container runtimes, from their TOML files.

containerd: `[plugins."io.containerd.grpc.v1.cri"]` (version 2, 1.7) or `[plugins."io.containerd.cri.v1.runtime"]`
(version 3, 2.x), with the files its `imports` name. CRI-O: `[crio.runtime]`, with its drop-ins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydra_core._commands.doctor.subject import Subject

CONTAINERD = (
    "/etc/containerd/config.toml",
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    "/run/k0s/containerd-cri.toml",
    "/var/snap/microk8s/current/args/containerd.toml",
)
CRIO = "/etc/crio/crio.conf"
CRI_TABLES = (
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
)


_MODERN = 3


@dataclass(frozen=True, slots=True)
class CdiConfig:
    """What the files say; None where they say nothing and the runtime's default holds.

    `path` is the main file's; `modern` tells that it has containerd 2's layout, which 1.7 does not read.
    """

    path: str
    enabled: bool | None = None
    spec_dirs: tuple[str, ...] | None = None
    modern: bool = False


class ConfigFileError(Exception):
    """A configuration file cannot be read; the text names it."""


def containerd(subject: Subject) -> CdiConfig | None:
    """The settings of the first containerd configuration that exists. Raises `ConfigFileError`."""
    for path in CONTAINERD:
        if subject.on_host(path).is_file():
            contents = list(_with_imports(subject, path))
            config = _config(
                path, [table for content in contents for table in _cri_tables(content)]
            )
            modern = any(
                content.get("version") == _MODERN or CRI_TABLES[0] in _table(content, "plugins")
                for content in contents
            )
            return replace(config, modern=modern)
    return None


def crio(subject: Subject) -> CdiConfig | None:
    """The settings of CRI-O, drop-ins in their order. Raises `ConfigFileError`."""
    main = subject.on_host(CRIO)
    files = [f for f in (main, *sorted(main.with_name("crio.conf.d").glob("*"))) if f.is_file()]
    if not files:
        return None
    return _config(CRIO, [_table(_table(_read(f), "crio"), "runtime") for f in files])


def docker_feature(subject: Subject) -> str:
    """The text of Docker's settings file, empty if there is none. Raises `ConfigFileError`."""
    path = subject.on_host("/etc/docker/daemon.json")
    try:
        return path.read_text(errors="replace") if path.is_file() else ""
    except OSError as err:
        raise ConfigFileError(f"{path}: {err.strerror}") from err


def _with_imports(subject: Subject, path: str) -> Iterator[Mapping[str, Any]]:
    """The file and what it imports, one level deep as containerd's own drop-ins are; later ones win."""
    content = _read(subject.on_host(path))
    yield content
    patterns = content.get("imports")
    for pattern in patterns if isinstance(patterns, list) else ():
        absolute = (
            str(pattern) if str(pattern).startswith("/") else f"{Path(path).parent}/{pattern}"
        )
        try:
            files = sorted(subject.host.glob(absolute.lstrip("/")))
        except (ValueError, NotImplementedError) as err:
            raise ConfigFileError(f"{path}: imports: {pattern!r} is no pattern: {err}") from err
        yield from (_read(file) for file in files if file.is_file())


def _cri_tables(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    plugins = _table(content, "plugins")
    for name in CRI_TABLES:
        if name in plugins:
            yield _table(plugins, name)


def _config(path: str, tables: list[Mapping[str, Any]]) -> CdiConfig:
    enabled: bool | None = None
    spec_dirs: tuple[str, ...] | None = None
    for table in tables:
        if isinstance(flag := table.get("enable_cdi"), bool):
            enabled = flag
        if isinstance(dirs := table.get("cdi_spec_dirs"), list):
            spec_dirs = tuple(map(str, dirs))
    return CdiConfig(path, enabled, spec_dirs)


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigFileError(f"{file}: cannot be read: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigFileError(f"{file}: is no TOML: {err}") from err
