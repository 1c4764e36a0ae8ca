"""What the tool says of itself, and the options that its version knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydra_nvidia_fake.mps.features import Features

if TYPE_CHECKING:
    from pydra_nvidia_fake.mps.tool import Asked

_OLD = {"-d": "daemon", "-f": "foreground", "-h": "help", "--help": "help"}
_NEW = {
    **_OLD,
    "--daemon": "daemon",
    "--foreground": "foreground",
    "--forground": "foreground",
    "-v": "version",
    "--version": "version",
    "-q": "ready",
    "--ready-devices": "ready",
}
_MULTIUSER = ("-multiuser-server", "--multiuser-server", "-M")
_V3 = {
    "-m": "multiuser",
    "--multiuser": "multiuser",
    "-q": "quit",
    "--quit": "quit",
    "-p": "protocol",
    "--protocol": "protocol",
}
_ABOUT = (
    "  This program allows multiple CUDA processes to share a single GPU context. For information on how to use the"
    " CUDA MPS, see the nvidia-cuda-mps-control manual page.\n\n"
)


def flags(able: Features) -> dict[str, str]:
    """Options, and what they are called in `tool`."""
    found = dict(_NEW if able.options else _OLD)
    if able.multiuser:
        found |= dict.fromkeys(_MULTIUSER if able.options else _MULTIUSER[:1], "multiuser")
    if able.static:
        found |= dict.fromkeys(("-S", "--static-partitioning"), "static")
    return found | _V3 if able.v3 else found


def banner(able: Features, version: str = "") -> str:
    """What it is."""
    systems = "Linux/Unix/QNX." if able.options else "Linux/Unix."
    return f"CUDA MPS Control for {systems}{version}\nCopyright (C) 2003 - 2026 NVIDIA Corporation.\n\n"


def answer(asked: Asked, able: Features) -> tuple[str, int] | None:
    """Text and exit status, if the command line asks for no more, or for what is not known."""
    if not able.options:
        if asked.unknown or asked.command:
            return banner(able) + _ABOUT, 1
        return (banner(able) + _ABOUT, 0) if asked.help else None
    if asked.unknown:
        return f"Unrecognized option  \n{_help(able)}", 0
    if asked.version:
        return banner(able, f" Binary version: {able.version}"), 0
    return (_help(able), 0) if asked.help else None


def _help(able: Features) -> str:
    known = sorted(flags(able))
    options = "".join(f"  {name}\n" for name in known)
    return f"{banner(able)}{_ABOUT}nvidia-cuda-mps-control [options] [command]\nOPTIONS:\n{options}"
