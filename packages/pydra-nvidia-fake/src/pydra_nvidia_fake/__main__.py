"""`pydra-nvidia-fake`: a machine with GPUs in a folder, for people.

Exit codes: 0 built or changed, 2 it could not be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydra_nvidia_fake.description import Description, descriptions
from pydra_nvidia_fake.host import FakeHost
from pydra_nvidia_fake.library import CompilerMissingError


def main(argv: Sequence[str] | None = None) -> int:
    """Build a machine, or let something happen to one; whatever runs on it notices."""
    parser = argparse.ArgumentParser(
        prog="pydra-nvidia-fake", description="a machine with NVIDIA GPUs in a folder"
    )
    parser.add_argument("folder", type=Path, nargs="?", help="what stands for / of the machine")
    parser.add_argument("--build", metavar="NAME", help="make it: a name, or a description's path")
    parser.add_argument("--xid", metavar="GPU:XID", help="let a GPU report an XID")
    parser.add_argument("--lose", metavar="GPU", type=int, help="let a GPU fall off the bus")
    parser.add_argument("--reset", metavar="GPU", type=int, help="reset a GPU")
    asked = parser.parse_args(argv)
    if asked.folder is None:
        _say(*(f"{name:16} {Description.load(name).about}" for name in descriptions()))
        return 0
    try:
        _do(asked)
    except (OSError, ValueError, IndexError, CompilerMissingError) as err:
        sys.stderr.write(f"pydra-nvidia-fake: {err}\n")
        return 2
    return 0


def _do(asked: argparse.Namespace) -> None:
    if asked.build:
        path = Path(asked.build)
        host = FakeHost.build(path if path.suffix else asked.build, asked.folder)
        _say(f"NVIDIA_HOST_ROOT={host.root}")
        return
    host = FakeHost(asked.folder.absolute())
    count = len(host.gpus)
    gpu, _, xid = (asked.xid or "0:0").partition(":")
    for which in (asked.lose, asked.reset, int(gpu)):
        if which is not None and not 0 <= which < count:
            raise ValueError(f"GPU {which}: this machine has 0 to {count - 1}")
    if asked.xid:
        host.xid(int(gpu), int(xid))
    if asked.lose is not None:
        host.lose(asked.lose)
    if asked.reset is not None:
        host.reset(asked.reset)
    _say(*(f"{gpu.uuid} {'lost' if gpu.state.lost else 'there'}" for gpu in host.gpus))


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
