"""The pytest plugin beside other people's tests: it costs nothing, and takes nobody's names."""

from __future__ import annotations

import asyncio
import sys

OTHERS = """
import sys

import pytest


@pytest.fixture
def kubelet():
    return "mine"


def test_nothing_heavy_was_imported():
    heavy = {"grpc", "aiohttp", "msgspec", "yaml", "rich", "pydra_testbed.cluster", "pydra_testbed.api"}
    assert heavy & set(sys.modules) == set()


def test_ones_own_fixture_of_the_same_name_wins(kubelet):
    assert kubelet == "mine"


def test_the_host_tree_is_empty_and_alone(host_tree):
    host_tree.write("/sys/a/b", "text")
    host_tree.link("sys/c", "a/b")
    assert host_tree.path("/sys/c").read_text() == "text"
    host_tree.remove("/sys/a/b")
    assert not host_tree.path("sys/c").exists()
    assert "pydra_testbed.cluster" not in sys.modules
"""

WRONG = """
import pytest


@pytest.mark.testbed(clock="sundial")
async def test_a_clock_nobody_has(testbed):
    pass


@pytest.mark.testbed(nodes=("left", "../right"))
async def test_a_node_nobody_may_have(testbed):
    pass


async def test_time_that_cannot_be_moved(testbed):
    await testbed.advance(1)


async def test_a_pod_that_never_comes(testbed):
    testbed.patience = 0.01
    await testbed.pod("ada")
"""


async def pytest_in(folder, content, *flags):
    (folder / "test_it.py").write_text(content)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            *flags,
        ),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_other_tests_notice_nothing_of_the_plugin(tmp_path):
    code, out = await pytest_in(tmp_path, OTHERS)
    assert code == 0, out
    assert "3 passed" in out


async def test_wrong_use_is_told_in_words(tmp_path):
    _, out = await pytest_in(tmp_path, WRONG, "-o", "asyncio_mode=auto")
    assert "clock='sundial' must be 'real' or 'manual'" in out
    assert "node '../right': names are different DNS labels" in out
    assert 'a manual clock: @pytest.mark.testbed(clock="manual")' in out
    assert "pods default/ada: not there after 0 s: nothing came" in out


async def test_without_pytest_asyncio_the_fixture_names_it(tmp_path):
    (tmp_path / "pytest_asyncio.py").write_text("raise ImportError")
    flags = ("-p", "no:asyncio", "-W", "ignore")
    _, out = await pytest_in(tmp_path, "def test_it(testbed): pass", *flags)
    assert "the fixture testbed needs pytest-asyncio" in out
