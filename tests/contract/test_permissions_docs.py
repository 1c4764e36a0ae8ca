"""The page about permissions: its test passes."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "user" / "testbed-permissions.md"


async def test_the_test_on_the_page_about_permissions_passes(tmp_path):
    (example,) = re.findall(
        r"<!-- example: \S+ -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    (tmp_path / "test_permissions.py").write_text(example)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert b"2 passed" in out
