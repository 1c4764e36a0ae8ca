"""The guides for drivers' authors and operators, done as they say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from shown_pages import Step, execute, items

PAGES = Path(__file__).parents[2] / "docs" / "user"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["driver-afternoon.md"])
def test_every_command_of_a_guide_prints_what_it_shows(page, tmp_path):
    found = list(items((PAGES / page).read_text(encoding="utf-8")))
    assert sum(isinstance(item, Step) for item in found) >= 3
    if not (os.environ.get("UV") or shutil.which("uv")):  # packaging comes last, and needs it
        found = found[: next((n for n, i in enumerate(found) if _needs_uv(i)), len(found))]
    execute(found, tmp_path)


def _needs_uv(item):
    return isinstance(item, Step) and item.command.startswith("uv ")
