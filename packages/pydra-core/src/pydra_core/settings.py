"""What an operator can set, each key once: its default, environment variable, flag and reason.

Sources, weakest first: defaults, a YAML file (`--config`), the environment, flags. Unknown keys are refused,
because a typo that is silently ignored costs a night.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydra_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as the operator meets it."""

    name: str
    env: str
    flag: str
    help: str
    parse: Callable[[str], Any]


def _key(default: Any, env: str, doc: str, parse: Callable[[str], Any] = str) -> Any:
    return dataclasses.field(default=default, metadata={"env": env, "help": doc, "parse": parse})


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError("must be greater than 0 seconds and finite")
    return value


def _whole_seconds(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be 1 second or more")
    return value


def _pod_uid(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{0,63}", text):  # it becomes part of file names
        raise ValueError("must be letters, digits and dashes, at most 63: metadata.uid of the pod")
    return text


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def _switch(*allowed: str) -> Callable[[str], str]:
    """A choice that may be `true`, which YAML reads as Python's `True`."""
    return lambda text: _choice(*allowed)(text.lower())


def _address(text: str) -> str:
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 (highest port)
        raise ValueError("must be host:port, for example 0.0.0.0:9090 (empty switches it off)")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one driver process. Paths are as this process sees them unless the key says otherwise."""

    node_name: str = _key(
        "", "NODE_NAME", "this node's name, from the downward API (never the hostname)"
    )
    pod_uid: str = _key(
        "",
        "POD_UID",
        "this pod's UID, for rolling upgrades (Kubernetes 1.33+): each instance has sockets of its own",
        _pod_uid,
    )
    kubelet_root: Path = _key(
        Path("/var/lib/kubelet"),
        "KUBELET_ROOT",
        "the kubelet's --root-dir; sockets and journal live below",
        Path,
    )
    cdi_dir: Path = _key(Path("/var/run/cdi"), "CDI_DIR", "where spec files are written", Path)
    socket_path: str = _key(
        "", "SOCKET_PATH", "where to bind the DRA socket, if not below kubelet_root"
    )
    kubelet_socket_path: str = _key(
        "",
        "KUBELET_SOCKET_PATH",
        "the DRA socket as the kubelet sees it, if its path differs from ours",
    )
    registration_socket_path: str = _key(
        "",
        "REGISTRATION_SOCKET_PATH",
        "where to bind the registration socket, if not below kubelet_root",
    )
    enable_dra: str = _key(
        "auto",
        "ENABLE_DRA",
        "serve DRA claims: true, false, or auto: where API server and kubelet both know DRA",
        _switch("auto", "true", "false"),
    )
    enable_device_plugin: str = _key(
        "false",
        "ENABLE_DEVICE_PLUGIN",
        "serve pods that ask for extended resources, beside DRA claims: true or false; where ENABLE_DRA=auto finds"
        " no DRA, they are served anyway",
        _switch("true", "false"),
    )
    device_plugin_answer: str = _key(
        "cdi",
        "DEVICE_PLUGIN_ANSWER",
        "what containers with extended resources get: cdi (device names, which the runtime looks up) or plain"
        " (variables, mounts and device nodes, for runtimes without CDI)",
        _choice("cdi", "plain"),
    )
    pod_resources_socket: str = _key(
        "",
        "POD_RESOURCES_SOCKET",
        "the kubelet's socket that tells which pods have which devices, if not below kubelet_root",
    )
    boot_id_file: Path = _key(
        Path("/proc/sys/kernel/random/boot_id"),
        "BOOT_ID_FILE",
        "where the node's boot ID is read, as the kubelet's --boot-id-file",
        Path,
    )
    kubeconfig: str = _key(
        "", "KUBECONFIG", "API access outside a cluster; inside, the service account is used"
    )
    http_address: str = _key(
        "",
        "HTTP_ADDRESS",
        "host:port for /healthz, /readyz and /metrics; empty: not served",
        _address,
    )
    lease_namespace: str = _key(
        "",
        "POD_NAMESPACE",
        "where `publish` keeps its Lease, from the downward API; empty: the service account's namespace",
    )
    lease_duration: int = _key(
        15,
        "LEASE_DURATION",
        "seconds after which another `publish` takes over from one that is heard of no more",
        _whole_seconds,
    )
    log_format: str = _key("text", "LOG_FORMAT", "text or json", _choice("text", "json"))
    log_level: str = _key(
        "info",
        "LOG_LEVEL",
        "debug, info, warning or error",
        _choice("debug", "info", "warning", "error"),
    )
    discover_interval: float = _key(
        60.0, "DISCOVER_INTERVAL", "seconds between two discoveries", _seconds
    )
    drain_timeout: float = _key(
        10.0, "DRAIN_TIMEOUT", "seconds a stop waits for calls in flight", _seconds
    )

    @property
    def pod_resources(self) -> Path:
        """The kubelet's pod-resources socket."""
        below = self.kubelet_root / "pod-resources" / "kubelet.sock"
        return Path(self.pod_resources_socket) if self.pod_resources_socket else below


def all_keys() -> Iterator[Key]:
    """All settings, in the order of the documentation."""
    for field in dataclasses.fields(Settings):
        yield Key(
            name=field.name,
            env=field.metadata["env"],
            flag="--" + field.name.replace("_", "-"),
            help=field.metadata["help"],
            parse=field.metadata["parse"],
        )


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Settings:
    """Combine the sources into settings.

    Args:
        file: a YAML mapping of setting names, or None.
        environ: the process environment.
        flags: setting name to text, only those actually passed.

    Raises:
        ConfigError: an unknown key, an unreadable file or a value that does not parse; names key and source.
    """
    values: dict[str, Any] = {}
    from_file = _read(file) if file else {}
    for key in all_keys():
        for text, source in (
            (from_file.pop(key.name, None), f"file {file}"),
            (environ.get(key.env) or None, f"environment variable {key.env}"),
            (flags.get(key.name), f"flag {key.flag}"),
        ):
            if text is not None:
                values[key.name] = _parse(key, text, source)
    if from_file:
        unknown = ", ".join(sorted(from_file))
        raise ConfigError(
            f"settings file {file}: unknown key {unknown}; known are {', '.join(k.name for k in all_keys())}",
            key=unknown,
            source=str(file),
        )
    return Settings(**values)


def _parse(key: Key, text: str, source: str) -> Any:
    try:
        return key.parse(text)
    except ValueError as err:
        raise ConfigError(
            f"setting {key.name}: {text!r} from {source} is not valid: {err}",
            key=key.name,
            source=source,
        ) from err


def _read(file: Path) -> dict[str, str]:
    import yaml  # noqa: PLC0415 (1 MB that a driver in a cluster need not hold)

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(
            f"settings file {file}: cannot be read: {err}", key="", source=str(file)
        ) from err
    if not isinstance(data, dict):
        raise ConfigError(
            f"settings file {file}: must be a mapping of setting names", key="", source=str(file)
        )
    return {str(name): str(value) for name, value in data.items() if value is not None}
