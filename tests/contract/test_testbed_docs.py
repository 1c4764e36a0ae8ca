"""The pages about the testbed, done as they say: every example runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "user"
TESTS = Path(__file__).parents[2] / "packages" / "pydra-testbed" / "tests"


def examples(page):
    """File name and content of each example of a page."""
    text = (PAGES / page).read_text()
    return re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)


def commands(page, label="run"):
    """The shell lines of a page that are marked to be run."""
    text = (PAGES / page).read_text()
    blocks = re.findall(rf"<!-- {label} -->\n```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


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


async def test_the_tests_of_the_testing_page_pass(tmp_path):
    files = examples("testbed-testing.md")
    assert {"cards.py", "order.yaml", "test_pods.py", "test_trouble.py"} <= {n for n, _ in files}
    for name, content in files:
        (tmp_path / name).write_text(content)
    code, out = await shell(f"{sys.executable} -m pytest -q -p no:cacheprovider", tmp_path)
    assert code == 0, out
    assert "11 passed" in out


@pytest.fixture
def temp():
    """Temporary and runtime directory of a testbed, short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield folder


async def test_the_commands_of_the_kubectl_page_work_in_their_order(temp):
    lines = commands("testbed-kubectl.md")
    assert [line.split()[0] for line in lines] == [
        "pydra", "export", "kubectl", "kubectl", "pydra", "pydra",
    ]  # fmt: skip
    if shutil.which("kubectl") is None:  # its own lines need it, the others do not
        lines = [line for line in lines if not line.startswith("kubectl")]
    environ = {"TMPDIR": temp, "XDG_RUNTIME_DIR": temp, "HOME": temp}
    code, out = await shell("\n".join(["trap 'pydra testbed down' EXIT", *lines]), temp, **environ)
    assert code == 0, out
    assert "testbed ready" in out
    assert re.search(r"node-2 +yes +dra.pizza", out)
    assert "nothing is left of it" in out


async def test_the_command_of_the_honesty_page_counts_agreement(tmp_path):
    (line,) = commands("testbed-honesty.md", "run: recordings")
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("controllers/data/lifecycle", "api/data/ssa-compute"):
        shutil.copy(TESTS / f"{name}.jsonl.gz", folder)
    code, out = await shell(line, tmp_path)
    assert code == 0, out
    shares = re.findall(r"^(\S+)\.jsonl\.gz +\d+ +\d+ +(\d+\.\d)%$", out, re.MULTILINE)
    assert [name for name, _ in shares] == ["lifecycle", "ssa-compute"]
    assert all(float(share) >= 98 for _, share in shares)
