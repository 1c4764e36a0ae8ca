"""Our machines for `pydra demo --driver nvidia --host NAME`: the testbed finds this module by the group `pydra.hosts`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydra_nvidia_fake.description import descriptions
from pydra_nvidia_fake.host import FakeHost


def names() -> tuple[str, ...]:
    """The machines there are."""
    return descriptions()


def build(name: str, folder: Path) -> Mapping[str, str]:
    """Build one in a folder; returns the environment variables by which the driver takes it for its node.

    Raises:
        RuntimeError: there is no C compiler; says what to install.
        ValueError: there is no such machine.
    """
    return {"NVIDIA_HOST_ROOT": str(FakeHost.build(name, folder).root)}
