"""The files of a checkout and what a rule says about them.

Every rule takes one `File` and yields `Finding`s; `check_house.py` joins the two.
"""

import ast
import contextlib
import gzip
import re
import subprocess
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SOURCE = re.compile(r"packages/[^/]+/src/.+\.py")
GENERATED = re.compile(r".*_pb2\.pyi?")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One rule broken at one place; `path` is relative to the root."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class File:
    """One tracked file, read once for all rules."""

    root: Path
    path: str

    @cached_property
    def text(self) -> str:
        """The content, unpacked where it is gzip; bytes that are no UTF-8 are replaced."""
        data = (self.root / self.path).read_bytes()
        if self.path.endswith(".gz"):
            with contextlib.suppress(OSError, EOFError, zlib.error):  # damaged on purpose
                data = gzip.decompress(data)
        return data.decode(errors="replace")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of a Python file.

        Raises:
            SyntaxError: it is not Python 3.
        """
        return ast.parse(self.text)

    @property
    def is_written_python(self) -> bool:
        """Whether somebody wrote it, rather than a generator."""
        return self.path.endswith((".py", ".pyi")) and not GENERATED.fullmatch(self.path)

    @property
    def is_source(self) -> bool:
        """Whether it is a hand-written module of a package."""
        return self.is_written_python and SOURCE.fullmatch(self.path) is not None

    def finding(self, line: int, rule: str, message: str) -> Finding:
        """Return a finding in this file."""
        return Finding(self.path, line, rule, message)


def tracked(root: Path) -> list[File]:
    """Return the files git tracks or would track below `root`.

    Raises:
        subprocess.CalledProcessError: `root` is no git checkout.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    present = {name for name in names.split("\0") if (root / name).is_file()}
    return [File(root, name) for name in sorted(present)]
