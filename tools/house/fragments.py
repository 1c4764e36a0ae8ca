"""Changelog fragments: a release gathers them by name, so a misnamed one would be lost."""

import re
from collections.abc import Iterator
from pathlib import Path

from house.files import File, Finding

FRAGMENT = re.compile(r"[0-9]+\.(feature|bugfix|doc|removal)\.md")


def fragments(file: File) -> Iterator[Finding]:
    """A changelog fragment is called `<issue>.<kind>.md` and says something."""
    parts = Path(file.path).parts
    if len(parts) < 4 or parts[0] != "packages" or parts[2] != "changes":
        return
    name = "/".join(parts[3:])
    if not FRAGMENT.fullmatch(name):
        message = f"{name} is not <issue>.<feature|bugfix|doc|removal>.md"
        yield file.finding(1, "fragment", message)
    elif not file.text.strip():
        yield file.finding(1, "fragment", f"{name} is empty: say what changes for the user")
