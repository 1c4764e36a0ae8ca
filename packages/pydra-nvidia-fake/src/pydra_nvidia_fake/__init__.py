"""Machines with NVIDIA GPUs that are none: for tests of drivers, and for people without hardware."""

from pydra_nvidia_fake.description import Description, descriptions
from pydra_nvidia_fake.host import FakeGpu, FakeHost, Instance
from pydra_nvidia_fake.library import CompilerMissingError

__all__ = [
    "CompilerMissingError",
    "Description",
    "FakeGpu",
    "FakeHost",
    "Instance",
    "descriptions",
]
