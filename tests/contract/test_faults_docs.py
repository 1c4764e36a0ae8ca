"""The page about faults, done as it says: the test passes, the commands plan a fault and forget it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from pydra_testbed.cluster import start

PAGE = Path(__file__).parents[2] / "docs" / "user" / "testbed-faults.md"


async def shell(script, folder, **environ):
    programs = Path(sys.executable).parent
    process = await asyncio.create_subprocess_exec(
        *("bash", "-eu", "-c", script),
        cwd=folder,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"} | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_the_test_on_the_page_passes(tmp_path):
    (example,) = re.findall(
        r"<!-- example: \S+ -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    (tmp_path / "test_busy.py").write_text(example)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    code, out = await shell(f"{sys.executable} -m pytest -q -p no:cacheprovider", tmp_path)
    assert code == 0, out
    assert "1 passed" in out


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_the_commands_on_the_page_plan_a_fault_and_forget_it(tmp_path):
    (commands,) = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    async with start() as testbed:
        environ = {"KUBECONFIG": str(testbed.kubeconfig), "HOME": str(tmp_path)}
        code, out = await shell(commands, tmp_path, **environ)
        assert code == 0, out
        assert out.count('"code":429') == 2
        assert testbed.server.faults.planned() == []
