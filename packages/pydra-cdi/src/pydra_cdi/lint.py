"""Everything a spec file's author should know before a container fails: `pydra-cdi lint` and CI call it.

`find_faults` tells what the specification forbids. This tells besides what runtimes read otherwise than it is
written, what the host contradicts, what a given runtime refuses, and what other files take away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydra_cdi._lint.document import document_remarks
from pydra_cdi._lint.finding import Finding, Severity, of_error
from pydra_cdi._lint.host import host_remarks
from pydra_cdi._lint.places import directory_findings, mode_findings, spec_files
from pydra_cdi._tree import HostTree
from pydra_cdi.codec import decode_spec, read_text
from pydra_cdi.errors import SpecError, SpecFileError
from pydra_cdi.reading import SIZE_LIMIT, read_file
from pydra_cdi.registry import Registry
from pydra_cdi.runtimes import Runtime

__all__ = ["Finding", "Linter", "Severity"]


@dataclass(frozen=True, slots=True)
class Linter:
    """Looks at spec files for a host and for runtimes. Raises nothing for what it finds in them.

    Attributes:
        host: The file system to look host paths up in; no path or symlink leads out of it.
        runtimes: Releases that must be able to read the files.
    """

    host: Path = Path("/")
    runtimes: Sequence[Runtime] = ()

    def text(self, data: bytes, file: Path) -> tuple[Finding, ...]:
        """Look at a spec's text; `file` is what the findings call it."""
        return tuple(self._text(data, file))

    def file(self, path: Path) -> tuple[Finding, ...]:
        """Look at a spec file: its text and its mode."""
        try:
            data = read_file(path, SIZE_LIMIT)
        except SpecFileError as error:
            return tuple(of_error(path, error))
        return (*mode_findings(path), *self._text(data, path))

    def directories(self, directories: Sequence[Path]) -> tuple[Finding, ...]:
        """Look at all files of spec directories, lowest priority first, and at how they get along."""
        found = Registry(directories).refresh()
        files = (finding for path in spec_files(found) for finding in self.file(path))
        return (*files, *directory_findings(found))

    def _text(self, data: bytes, file: Path) -> Iterator[Finding]:
        try:
            decode_spec(data)
        except SpecError as error:
            yield from of_error(file, error)
        try:
            reading = read_text(data)
        except SpecError:  # told above
            return
        for slip in reading.accidents:
            yield Finding(
                "warning", "accident", file, slip.path, slip.line, slip.message, slip.remedy
            )
        for remark in document_remarks(reading.spec, self.runtimes):
            yield Finding(remark.severity, remark.rule, file, remark.path, None, *remark[3:])
        for remark in host_remarks(reading.spec, HostTree(self.host)):
            yield Finding(remark.severity, remark.rule, file, remark.path, None, *remark[3:])
