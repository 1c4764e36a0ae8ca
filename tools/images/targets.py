"""What images are made for: platforms, the oldest C library, the Pythons that locks hold wheels for.

The image itself has one Python, that of its base. Locks hold the wheels of all supported ones, so that the tests
make the same root file system by the same steps with whichever of them they run on.
"""

import sys

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBC = (2, 28)
ARCHES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""Platforms as container tools write them, with Python's name for the machine."""

FOLDER = "opt/pydra"
"""Where everything of ours is in an image; a virtual environment."""


LIBRARY = f"{FOLDER}/share/standard-library.csv"
"""A RECORD of the bytecode that pydra-core's image has for Python's own library."""


class ImageError(Exception):
    """A step cannot go on; the text names what is wrong with what, and what to do."""


def uv_platform(platform: str) -> str:
    """Return uv's name of a platform; a variant such as `/v8` says nothing to it.

    Raises:
        ImageError: images are not made for it.
    """
    name = "/".join(platform.split("/")[:2])
    if name not in ARCHES:
        known = ", ".join(ARCHES)
        raise ImageError(f"platform {platform}: images are made for {known} only")
    return f"{ARCHES[name]}-manylinux_{GLIBC[0]}_{GLIBC[1]}"


def python_minor() -> str:
    """Return the version of the running Python, which is the image's, like `3.13`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
