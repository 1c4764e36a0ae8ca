"""`pydra demo --host`: a driver for hardware on a machine that has none, as a person runs it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import pytest
from leftovers import processes_of

GPUS = ("--driver", "nvidia", "--host", "h100x8")
NO_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Without one capability root may do what any owner of files may."""


@pytest.fixture
def temp():
    """A temporary directory of its own for the demo, short enough for its sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder)


async def demo(temp, *arguments, by=(), **environ):
    process = await asyncio.create_subprocess_exec(
        *(*by, sys.executable, "-m", "pydra_core", "demo", *arguments),
        env=os.environ | {"TMPDIR": str(temp), "COLUMNS": "80"} | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_user_without_rights_sees_what_pods_get_of_eight_gpus(temp):
    """Run by root the test gives its rights up; device nodes are named pipes then."""
    by = NO_RIGHTS if os.getuid() == 0 and shutil.which("setpriv") else ()
    code, out, err = await demo(temp, *GPUS, by=by)
    assert (code, err) == (0, "")
    steps = [
        "Machine h100x8 was built in a folder, for the driver to find",
        "Driver gpu.nvidia.com registered with the kubelet of node laptop",
        "gpu-0, gpu-1, gpu-2, gpu-3, gpu-4, gpu-5, gpu-6, gpu-7",
        "Applied 2-one-gpu.yaml",
        "NVIDIA_VISIBLE_DEVICES=void",
        "pod mnist  trains on one GPU; the driver is in /usr/local/nvidia/lib64",
        "Applied 3-linked-gpus.yaml",
        "gpu-0 of laptop; gpu-1 of laptop",
        "Applied 4-shared-gpu.yaml",
        "pod lab    has the GPU in turns with the container beside it",
        "pod dream  waits, as told: Unschedulable",
        "17 devices asked, 8 would do",
        "left       0 claims, 0 spec files",
        "3 of 3 pods succeeded, 1 waiting, as told",
    ]
    positions = [out.find(step) for step in steps]
    assert -1 not in positions, steps[positions.index(-1)]
    assert positions == sorted(positions)
    assert list(temp.iterdir()) == []
    assert processes_of(temp) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--driver", "nvidia", "--host", "h100"), "no host 'h100' for driver 'nvidia'; there are: a100-40x8, "),
        (("--host", "h100x8"), "no package has hosts for driver 'pizza'; drivers with some: nvidia"),
    ],
)  # fmt: skip
async def test_a_host_that_is_none_is_answered_by_those_there_are(temp, arguments, says):
    code, out, err = await demo(temp, *arguments)
    assert (code, out) == (2, "")
    assert says in err


async def test_without_a_compiler_it_says_what_to_install(temp):
    code, _, err = await demo(temp, *GPUS, PATH="/nowhere")
    assert code == 1
    assert "there is no C compiler to build it with; install gcc (Debian: apt install gcc" in err
    assert list(temp.iterdir()) == []


async def test_a_driver_that_misses_its_hardware_is_told_of_machines_that_are_none(temp, tmp_path):
    (tmp_path / "d.py").write_text("raise SystemExit('no library here')")
    shutil.copy(Path(str(files("pydra_nvidia") / "demo" / "1-classes.yaml")), tmp_path)
    start = ("--start", f"{sys.executable} {tmp_path / 'd.py'}", "--manifests", str(tmp_path))
    code, _, err = await demo(temp, "--driver", "nvidia", *start)
    assert code == 1
    assert err.index("no library here") < err.index(
        "let it find a machine that is none: --host a100-40x8, "
    )
