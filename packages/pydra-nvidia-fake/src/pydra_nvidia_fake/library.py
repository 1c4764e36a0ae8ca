"""The stub of NVML, made by the machine's C compiler: in half a second, once in a process."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from pydra_nvidia_fake.layout import header

SONAME = "libnvidia-ml.so.1"
_SOURCES = Path(__file__).parent / "c"


class CompilerMissingError(RuntimeError):
    """There is nothing to make the stub with."""


@cache
def library(*flags: str) -> bytes:
    """The shared library, to be written where a driver's own would be.

    Args:
        flags: more of them for the compiler.

    Raises:
        CompilerMissingError: no `cc`, or it does not compile C11 for this machine.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise CompilerMissingError(
            "fake NVML: there is no C compiler to build it with; install gcc (Debian: apt install gcc libc6-dev)"
        )
    with tempfile.TemporaryDirectory(prefix="fake-nvml-") as folder:
        built = Path(folder) / SONAME
        (Path(folder) / "layout.h").write_text(header(), encoding="ascii")
        done = subprocess.run(
            [
                *(compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", "-fvisibility=hidden"),
                *(f"-I{folder}", f"-Wl,-soname,{SONAME}", "-Wl,-z,defs", *flags),
                *("-o", str(built), *map(str, sorted(_SOURCES.glob("*.c"))), "-ldl"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CompilerMissingError(f"fake NVML: {compiler} does not build it: {done.stderr}")
        return built.read_bytes()
