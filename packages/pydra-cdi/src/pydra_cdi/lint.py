"""Everything a spec file's author should know before a container fails: `pydra-cdi lint` and CI call it.

`find_faults` tells what the specification forbids. This tells besides what runtimes read otherwise than it is
written, what the host contradicts, what a given runtime refuses, and what other files take away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from pydra_cdi._lint.document import document_remarks
from pydra_cdi._lint.finding import Finding, Severity, of_accident, of_error, of_remark
from pydra_cdi._lint.host import host_remarks
from pydra_cdi._lint.places import (
    directory_findings,
    mode_findings,
    rival_findings,
    spec_files,
)
from pydra_cdi._tree import HostTree
from pydra_cdi.codec import decode_spec, locate, read_text
from pydra_cdi.errors import Fault, SpecError, SpecFileError
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
        return (*files, *directory_findings(found), *_placed_by_file(rival_findings(found)))

    def _text(self, data: bytes, file: Path) -> list[Finding]:
        findings: list[Finding] = []
        try:
            decode_spec(data)
        except SpecError as error:
            findings += of_error(file, error)
        try:
            reading = read_text(data)
        except SpecError:  # told above
            return findings
        findings += (of_accident(file, accident) for accident in reading.accidents)
        remarks = [
            *document_remarks(reading.spec, self.runtimes),
            *host_remarks(reading.spec, HostTree(self.host)),
        ]
        findings += _placed(data, [of_remark(file, remark) for remark in remarks])
        return sorted(findings, key=lambda finding: finding.line or 0)


def _placed(data: bytes, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Give findings the line of their field."""
    faults = [Fault(path, "", "") for path in {finding.path for finding in findings}]
    lines = {fault.path: fault.line for fault in (locate(data, faults) if faults else ())}
    return (replace(finding, line=lines[finding.path]) for finding in findings)


def _placed_by_file(findings: Iterable[Finding]) -> Iterator[Finding]:
    for file, group in groupby(findings, lambda finding: finding.file):
        those = list(group)
        try:
            yield from _placed(read_file(file, SIZE_LIMIT), those)
        except SpecFileError:  # removed since the directory was read
            yield from those
