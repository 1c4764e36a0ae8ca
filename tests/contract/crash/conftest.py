from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from crash_kit import interposer
from crash_kit.node import Node, Zygote


@pytest.fixture(scope="session")
def folder():
    """In memory where there is some: syncs are counted and their loss is modelled, no disk is needed."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="pd-", dir=memory if memory.is_dir() else None
    ) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def library(folder):
    built = interposer.build(folder)
    if built is None:
        pytest.skip("gcc is not installed: nothing can stand between the driver and its disk")
    return built


@pytest.fixture(scope="session")
def zygote(library, folder):
    made = Zygote(library, folder / "errors")
    yield made
    made.close()


@pytest.fixture(params=["plain", "changes-hardware"])
def node(request, zygote, folder):
    switched = request.param == "changes-hardware"
    with tempfile.TemporaryDirectory(prefix="node-", dir=folder) as root:
        yield Node(zygote, Path(root), switched=switched, compacting=not switched)


class Say:
    """Prints past pytest, because the counts are what a reader of these tests wants to know."""

    def __init__(self, capsys, name):
        self._capsys = capsys
        self._name = name

    def __call__(self, text):
        with self._capsys.disabled():
            sys.stdout.write(f"\n{self._name}: {text}\n")

    @contextmanager
    def where(self, place):
        """Name the place in the error."""
        try:
            yield
        except AssertionError as err:
            raise AssertionError(f"{place}: {err}") from err


@pytest.fixture
def say(capsys, request):
    return Say(capsys, request.node.name)
