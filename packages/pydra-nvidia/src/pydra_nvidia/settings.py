"""What an operator sets for this driver, beside what core has: from the environment, as charts give it.

Core's own settings are documented there; these concern NVIDIA's driver and nothing else. Wrong ones stop the start.
`NVIDIA_HOST_ROOT` comes before all of them: what this process sees as the host's `/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydra_core.errors import ConfigError
from pydra_nvidia.cdi.roots import Root
from pydra_nvidia.library import found
from pydra_nvidia.shares import NO_SHARES, Shares

_T = TypeVar("_T")
Mig = Literal["static", "dynamic"]
CONTAINED = "/run/nvidia/driver"
"""Where NVIDIA's GPU operator has its driver container put the driver."""
MPS_DIR = Path("/run/pydra/mps")
_MOST_CHANNEL = 2047
_MOST_SHARES, _MOST_CLIENTS = 1000, 48
"""Of one GPU: in turns, and by MPS, which lets no more programs use one at a time."""


@dataclass(frozen=True, slots=True)
class NvidiaSettings:
    """The driver's settings.

    Attributes:
        driver_root: `NVIDIA_DRIVER_ROOT`: folder on the host in which the driver is installed; empty: `/`, or where the
            GPU operator puts it, whichever has NVML.
        driver_root_mount: `NVIDIA_DRIVER_ROOT_MOUNT`: where this process sees that folder, if elsewhere.
        cdi_hook: `NVIDIA_CDI_HOOK_PATH`: path of `nvidia-cdi-hook` on the host; empty: without hooks.
        toolkit: `NVIDIA_CTK_PATH`: `nvidia-ctk`, as this process sees it, that says what containers need; empty: we do.
        imex_channels: `NVIDIA_IMEX_CHANNELS`: numbers of the channels every container gets, by commas.
        harmless_xids: `NVIDIA_HARMLESS_XIDS`: XIDs that shall not make a GPU unhealthy, by commas.
        mig: `NVIDIA_MIG`: `static`: the MIG devices there are; `dynamic`: they are made for claims, and undone.
        shares: `NVIDIA_SHARES`: what claims may ask for of a GPU: `memory`, `sms` (multiprocessors, with MPS only), both
            by a comma, or a number of equal shares; empty: a GPU goes to one claim.
        shared_gpus: `NVIDIA_SHARED_GPUS`: minor numbers or UUIDs of those that are shared, by commas; empty: all.
        mps: `NVIDIA_MPS`: `on`: the MPS keeper of the node is asked to hold programs to their part; `off`.
        mps_dir: `NVIDIA_MPS_DIR`: folder of the MPS keeper, the same on the host, here and in containers.
    """

    driver_root: str = ""
    driver_root_mount: str = ""
    cdi_hook: str = ""
    toolkit: str = ""
    imex_channels: tuple[int, ...] = ()
    harmless_xids: tuple[int, ...] = ()
    mig: Mig = "static"
    shares: Shares = NO_SHARES
    shared_gpus: tuple[str, ...] = ()
    mps: bool = False
    mps_dir: Path = MPS_DIR

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> NvidiaSettings:
        """Read the environment.

        Raises:
            ConfigError: a value cannot be; the text names the variable.
        """
        mps, shares = (
            _read(environ, "NVIDIA_MPS", _switch),
            _read(environ, "NVIDIA_SHARES", _shares),
        )
        if mps and shares.number > _MOST_CLIENTS:
            raise ConfigError(
                f"NVIDIA_SHARES: MPS serves {_MOST_CLIENTS} programs of a GPU at most; take fewer shares, or set"
                " NVIDIA_MPS=off",
                key="NVIDIA_SHARES",
                source="environment",
            )
        if shares.sms and not mps:
            raise ConfigError(
                "NVIDIA_SHARES: nothing but MPS holds programs to multiprocessors; set NVIDIA_MPS=on (the chart's"
                " mps.enabled), or leave sms out",
                key="NVIDIA_SHARES",
                source="environment",
            )
        return cls(
            shares=shares,
            shared_gpus=_words(environ.get("NVIDIA_SHARED_GPUS", "")),
            mps=mps,
            mps_dir=Path(_read(environ, "NVIDIA_MPS_DIR", _absolute) or MPS_DIR),
            driver_root=_read(environ, "NVIDIA_DRIVER_ROOT", _absolute),
            driver_root_mount=_read(environ, "NVIDIA_DRIVER_ROOT_MOUNT", _absolute),
            cdi_hook=_read(environ, "NVIDIA_CDI_HOOK_PATH", _absolute),
            toolkit=_read(environ, "NVIDIA_CTK_PATH", _absolute),
            imex_channels=_read(
                environ, "NVIDIA_IMEX_CHANNELS", lambda t: _numbers(t, _MOST_CHANNEL)
            ),
            harmless_xids=_read(environ, "NVIDIA_HARMLESS_XIDS", lambda t: _numbers(t, 9999)),
            mig=_read(environ, "NVIDIA_MIG", _mig),
        )

    def is_shared(self, minor: int | None, uuid: str | None) -> bool:
        """Whether a GPU is one of those to be shared."""
        return bool(self.shares) and (
            not self.shared_gpus or str(minor) in self.shared_gpus or uuid in self.shared_gpus
        )

    def root(self, host: Path) -> Root:
        """Where the driver is installed now; it may come later, with its container."""
        if self.driver_root or self.driver_root_mount:
            seen = self.driver_root_mount or self.driver_root
            return Root(host / seen.lstrip("/"), self.driver_root or "/")
        for path in ("/", CONTAINED):
            root = Root(host / path.lstrip("/"), path)
            if next(found(root.seen), None):
                return root
        return Root(host, "/")


def _read(environ: Mapping[str, str], key: str, parse: Callable[[str], _T]) -> _T:
    text = environ.get(key, "").strip()
    try:
        return parse(text)
    except ValueError as err:
        raise ConfigError(f"{key}: {err}, not {text!r}", key=key, source="environment") from None


def _absolute(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("must be an absolute path")
    return text


def _mig(text: str) -> Mig:
    if text in ("", "static"):
        return "static"
    if text == "dynamic":
        return "dynamic"
    raise ValueError("must be static or dynamic")


def _switch(text: str) -> bool:
    if text not in ("", "on", "off"):
        raise ValueError("must be on or off")
    return text == "on"


def _shares(text: str) -> Shares:
    words = _words(text)
    if len(words) == 1 and words[0].isascii() and words[0].isdigit():
        if not 1 < int(words[0]) <= _MOST_SHARES:
            raise ValueError(f"must be 2 to {_MOST_SHARES} shares")
        return Shares(number=int(words[0]))
    if not {*words} <= {"memory", "sms"}:
        raise ValueError("must be memory, sms, both with a comma between, or a number of shares")
    return Shares(memory="memory" in words, sms="sms" in words)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str, most: int) -> tuple[int, ...]:
    words = _words(text)
    if not all(word.isascii() and word.isdigit() and int(word) <= most for word in words):
        raise ValueError(f"must be numbers up to {most}, separated by commas")
    return tuple(int(word) for word in words)
