"""The container runtime: will it inject what the driver writes?

Versions and defaults as their projects document them: containerd 1.7 has CDI switched off and reads specs up
to 0.8.0, 2.0 and 2.1 have it on and read up to 1.0.0, 2.2 up to 1.1.0; CRI-O has it on since 1.23.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pydra_cdi import Registry
from pydra_cdi.versions import KNOWN_VERSIONS
from pydra_core._commands.doctor import node, runtime_config, runtime_versions
from pydra_core._commands.doctor.findings import Finding
from pydra_core._commands.doctor.results import Result, finding, ok, skipped
from pydra_core._commands.doctor.runner import aside
from pydra_core._commands.doctor.runtime_config import CdiConfig, ConfigFileError
from pydra_core._commands.doctor.runtime_versions import Runtime, Version
from pydra_core._commands.doctor.subject import Subject

_CHECK = "runtime"
_DEFAULT_DIRS = ("/etc/cdi", "/var/run/cdi")
_TWO = (2, 0, 0)
_LEAST = "0.5.0"
"""What every spec file of ours needs: device names begin with a claim UID, often with a digit."""


async def look(subject: Subject) -> Sequence[Result]:
    """The kubelet's runtime if the node object names it, else those found on the node."""
    runtime = runtime_versions.reported(await node.runtime_of(subject))
    found = [runtime] if runtime else await runtime_versions.installed(subject)

    async def judge() -> Sequence[Result]:
        return [
            result for each in _with_configured(subject, found) for result in _judge(subject, each)
        ]

    results = await aside(judge)
    if not results:
        why = f"no runtime found below {subject.host}: in a pod, mount the node's root and give --host DIR"
        return [skipped(_CHECK, why)]
    return results


def _with_configured(subject: Subject, found: Sequence[Runtime]) -> Iterator[Runtime]:
    """Also containerd when only its configuration is visible from here."""
    yield from found
    configured = (p for p in runtime_config.CONTAINERD if subject.on_host(p).is_file())
    if not found and (path := next(configured, None)):
        yield Runtime("containerd", None, path)


def _judge(subject: Subject, runtime: Runtime) -> Iterator[Result]:
    try:
        match runtime.name:
            case "containerd":
                yield from _containerd(subject, runtime)
            case "cri-o":
                yield from _crio(subject, runtime)
            case "docker":
                yield _docker(subject, runtime)
            case _:
                yield skipped(_CHECK, f"{runtime}: not a runtime of kubelets, nothing to check")
    except ConfigFileError as err:
        yield finding(
            Finding.RUNTIME_SETTINGS,
            "runtime: settings",
            str(err),
            "correct the file, then restart the runtime",
        )


def _containerd(subject: Subject, runtime: Runtime) -> Iterator[Result]:
    config = runtime_config.containerd(subject)
    hidden = config is None and _is_elsewhere(subject, runtime)
    config = config or CdiConfig(runtime_config.CONTAINERD[0])
    version = runtime.version or (_TWO if config.modern else None)
    if version and version < (1, 7, 0):
        fix = "upgrade containerd to 1.7 or newer, better 2.x: older ones do not know CDI from the kubelet"
        yield finding(Finding.RUNTIME_CDI, "runtime: CDI", str(runtime), fix)
        return
    old = version is not None and version < _TWO
    header = f'in {config.path}:\n[plugins."{runtime_config.CRI_TABLES[old]}"]\n'
    if hidden:
        yield _hidden(runtime)
    else:
        yield _switch(runtime, version, config, header)
        yield _directories(subject, config, header, "containerd")
    if runtime.version:
        accepted = "0.8.0" if old else "1.0.0" if runtime.version < (2, 2, 0) else "1.1.0"
        yield _spec_version(subject, runtime, accepted)


def _is_elsewhere(subject: Subject, runtime: Runtime) -> bool:
    """In a pod neither program nor settings of the node's runtime are to be seen: they may say anything."""
    return runtime_versions.program(subject, runtime.name) is None


def _hidden(runtime: Runtime) -> Result:
    why = f"{runtime}: its settings are not visible from here; mount the node's root and give --host DIR"
    return skipped("runtime: settings", why)


def _switch(runtime: Runtime, version: Version | None, config: CdiConfig, header: str) -> Result:
    """Is CDI on, by the settings or by default?"""
    enabled = config.enabled
    if enabled is None and version is None:
        return skipped(
            "runtime: CDI", f"{runtime}: on by default in 2.x, in 1.7 only with enable_cdi = true"
        )
    if enabled or (enabled is None and version and version >= _TWO):
        return ok("runtime: CDI", f"{runtime}: on")
    fix = f"{header}  enable_cdi = true\nthen: systemctl restart containerd"
    return finding(Finding.RUNTIME_CDI, "runtime: CDI", f"{runtime}: off", fix)


def _crio(subject: Subject, runtime: Runtime) -> Iterator[Result]:
    if runtime.version and runtime.version < (1, 23, 0):
        yield finding(
            Finding.RUNTIME_CDI,
            "runtime: CDI",
            str(runtime),
            "upgrade CRI-O to 1.23 or newer: it does not know CDI",
        )
        return
    yield ok("runtime: CDI", f"{runtime}: on")
    where = "in /etc/crio/crio.conf.d/90-cdi.conf:\n[crio.runtime]\n"
    config = runtime_config.crio(subject)
    if config is None and _is_elsewhere(subject, runtime):
        yield _hidden(runtime)
    else:
        yield _directories(subject, config or CdiConfig(runtime_config.CRIO), where, "crio")


def _docker(subject: Subject, runtime: Runtime) -> Result:
    """Docker is no kubelet's runtime; whoever tries `docker run --device vendor/class=name` needs the switch."""
    try:
        settings = json.loads(runtime_config.docker_feature(subject) or "{}")
        on = bool(settings["features"]["cdi"])
    except (ValueError, KeyError, TypeError):
        on = False
    state = "on" if on else 'not switched on ("features": {"cdi": true} in /etc/docker/daemon.json)'
    return skipped(_CHECK, f"{runtime}: not a runtime of kubelets; CDI is {state}")


def _directories(subject: Subject, config: CdiConfig, where: str, service: str) -> Result:
    """Does the runtime read the directory the driver writes?"""
    read = _DEFAULT_DIRS if config.spec_dirs is None else config.spec_dirs
    ours = subject.settings.cdi_dir
    seen = f"{service} reads {', '.join(read) or 'no directory'}"
    if _canonical(str(ours)) in {_canonical(directory) for directory in read}:
        return ok("runtime: CDI directories", seen)
    snippet = f"{where}  cdi_spec_dirs = {json.dumps([*read, str(ours)])}\nthen: systemctl restart {service}"
    other = f"set CDI_DIR={read[-1]}, or " if read else ""
    return finding(
        Finding.RUNTIME_DIRECTORIES,
        "runtime: CDI directories",
        f"{seen}; the driver writes {ours}",
        other + snippet,
    )


def _canonical(path: str) -> str:
    """`/var/run` is `/run` on every node."""
    plain = path.rstrip("/")
    return "/run" + plain.removeprefix("/var/run") if plain.startswith("/var/run/") else plain


def _spec_version(subject: Subject, runtime: Runtime, accepted: str) -> Result:
    """Is any spec file of ours newer than this runtime's library knows?"""
    ours = f"{subject.driver.name}-claim_"
    specs = Registry((subject.settings.cdi_dir,)).refresh().specs
    needed = [s.spec.cdi_version.removeprefix("v") for s in specs if s.path.name.startswith(ours)]
    highest = max([_LEAST, *needed], key=KNOWN_VERSIONS.index)
    seen = f"{runtime} reads specs up to {accepted}, this driver writes {highest}"
    if KNOWN_VERSIONS.index(highest) <= KNOWN_VERSIONS.index(accepted):
        return ok("runtime: CDI version", seen)
    least = "2.0" if highest in ("1.0.0", "0.8.0") else "2.2"
    fix = f"upgrade containerd to {least} or newer: it refuses these spec files"
    return finding(Finding.RUNTIME_VERSION, "runtime: CDI version", seen, fix)
