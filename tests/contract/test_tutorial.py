"""The tutorial is executed: every command in it, in its order, with its output compared line by line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shown_pages import Step, execute, items

TUTORIAL = Path(__file__).parents[2] / "packages" / "pydra-pizza" / "README.md"


def chapters():
    """The tutorial's chapters by title: files and steps in their order."""
    text = TUTORIAL.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    found = {t: list(items(body)) for t, body in zip(parts[1::2], parts[2::2], strict=True)}
    return {title: all_ for title, all_ in found.items() if any(isinstance(i, Step) for i in all_)}


def test_there_is_a_chapter_for_each_reader():
    assert len(chapters()) >= 3
    assert sum(isinstance(i, Step) for found in chapters().values() for i in found) >= 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize("title", chapters())
def test_every_command_of_a_chapter_prints_what_the_tutorial_shows(title, tmp_path):
    execute(chapters()[title], tmp_path)
