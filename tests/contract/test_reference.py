"""The API reference is what the docstrings say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pydra_core.settings import all_keys

ROOT = Path(__file__).parents[2]


def generate(*flags, root=ROOT):
    return subprocess.run(
        [sys.executable, root / "tools" / "gen_reference.py", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_reference_is_up_to_date():
    done = generate("--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path):
    """The tool in a tree whose one core docstring can be edited."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "docs" / "reference", tmp_path / "docs" / "reference")
    for package in (ROOT / "packages").iterdir():
        if package.name != "pydra-core":
            (_made(tmp_path / "packages") / package.name).symlink_to(package)
    source = ROOT / "packages" / "pydra-core" / "src" / "pydra_core"
    target = _made(tmp_path / "packages" / "pydra-core" / "src" / "pydra_core")
    for file in source.glob("*.py"):
        shutil.copy(file, target)
    return tmp_path


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_stale_page_is_named_with_the_command_that_mends_it(tree):
    driver = tree / "packages/pydra-core/src/pydra_core/driver.py"
    driver.write_text(driver.read_text().replace("Pure reading, any time", "Only look"))
    done = generate("--check", root=tree)
    assert done.returncode == 1
    assert done.stdout == "docs/reference/pydra_core.md: stale\n"
    assert "uv run python tools/gen_reference.py" in done.stderr
    assert generate(root=tree).returncode == 0
    assert "Only look" in (tree / "docs/reference/pydra_core.md").read_text()
    assert generate("--check", root=tree).returncode == 0


def test_a_public_name_nobody_defines_is_named(tree):
    core = tree / "packages/pydra-core/src/pydra_core/__init__.py"
    core.write_text(core.read_text().replace('"Allocation",', '"Allocation",\n    "Ghost",'))
    done = generate("--check", root=tree)
    assert done.returncode == 2
    assert "name Ghost: neither defined nor imported in pydra_core" in done.stderr


def test_sections_of_a_docstring_are_lists_and_private_defaults_are_not_shown():
    core = (ROOT / "docs/reference/pydra_core.md").read_text()
    assert "**Raises**\n\n- `ConfigError`: an unknown key, an unreadable file" in core
    assert re.search(r"^    node_name: str$", core, re.MULTILINE)
    testbed = (ROOT / "docs/reference/pydra_testbed.md").read_text()
    fixtures = re.findall(r"^### `(\w+)`$", testbed.split("\n## ")[1], re.MULTILINE)
    assert fixtures == ["testbed_settings", "testbed", "kubelet", "apiserver", "host_tree"]


def test_every_setting_is_in_the_table():
    text = (ROOT / "docs/reference/settings.md").read_text()
    for key in all_keys():
        assert f"| `{key.name}` | `{key.env}` | `{key.flag}` |" in text
