"""What must not leave the machine a file was written on: its paths, and where it gets packages."""

import re
from collections.abc import Iterator

from house.files import File, Finding

# Spelt with classes and joins, so that this file does not contain what it looks for.
LEAKS = {
    "a package registry's host": re.compile(
        r"(?:py[p]i|npm[j]s|cr[a]tes|an[a]conda)\.(?:org|com|io)\b"
        r"|python[h]osted\.org|proxy\.g[o]lang\.org"
        r"|(?:index-url|default-index|registry)\W{1,4}https?://"
    ),
    "the address of a package file": re.compile(r"https?://[^\s\"'<>]+\.(?:w[h]l|tar\.[g]z|t[g]z)"),
    "a path of one machine": re.compile(
        r"(?<![\w.-])/(?:w[o]rk/|r[o]ot/\.)|\.py[e]nv/|file:///o[p]t/"
    ),
}


def leaks(file: File) -> Iterator[Finding]:
    """No file names a package registry's host or a path of the machine it was written on."""
    here = {"the path of this checkout": re.compile(re.escape(f"{file.root}/"))}
    for number, line in enumerate(file.text.splitlines(), 1):
        for what, pattern in (LEAKS | here).items():
            if match := pattern.search(line):
                yield file.finding(number, "leak", f"{match[0]!r} is {what}")
