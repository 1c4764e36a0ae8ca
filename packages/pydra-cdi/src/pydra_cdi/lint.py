"""Everything a spec file's author should know before a container fails: `pydra-cdi lint` and CI call it.

`find_faults` tells what the specification forbids. This tells besides what runtimes read otherwise than it is
written, what the host contradicts, what a given runtime refuses, and what other files take away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path

from pydra_cdi._lint.document import document_remarks
from pydra_cdi._lint.finding import (
    RULES,
    Finding,
    Remark,
    Severity,
    of_accident,
    of_error,
    of_remark,
)
from pydra_cdi._lint.host import host_remarks
from pydra_cdi._lint.places import (
    directory_findings,
    mode_findings,
    rival_findings,
    spec_files,
)
from pydra_cdi._tree import HostTree
from pydra_cdi.codec import decode_spec, locate, read_text
from pydra_cdi.errors import MOST_FAULTS, Fault, SpecError, SpecFileError
from pydra_cdi.reading import SIZE_LIMIT, read_file
from pydra_cdi.registry import Registry
from pydra_cdi.runtimes import Runtime

__all__ = ["RULES", "Finding", "Linter", "Severity"]


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
        return tuple(self._file(path, {}))

    def directories(self, directories: Sequence[Path]) -> tuple[Finding, ...]:
        """Look at all files of spec directories, lowest priority first, and at how they get along."""
        found = Registry(directories).refresh()
        texts: dict[Path, bytes] = {}
        findings = [one for path in spec_files(found) for one in self._file(path, texts)]
        findings += directory_findings(found)
        for file, rivals in groupby(rival_findings(found), lambda finding: finding.file):
            findings += _placed(texts.get(file, b""), list(rivals))
        return tuple(findings)

    def _file(self, path: Path, texts: dict[Path, bytes]) -> list[Finding]:
        """Look at a spec file, and keep its text."""
        findings = list(mode_findings(path))
        try:
            texts[path] = read_file(path, SIZE_LIMIT)
        except SpecFileError as error:
            return [*findings, *of_error(path, error)]
        return findings + self._text(texts[path], path)

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
        remarks = chain(
            document_remarks(reading.spec, self.runtimes),
            host_remarks(reading.spec, HostTree(self.host)),
        )
        findings += _placed(data, [of_remark(file, one) for one in islice(remarks, MOST_FAULTS)])
        findings.sort(key=lambda finding: (finding.line or 0, finding.column or 0))
        if next(remarks, None):
            said = ("", "there are more findings", "mend these first")
            findings.append(of_remark(file, Remark("warning", "too-many", *said)))
        return findings


def _placed(data: bytes, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Give findings the line and column of their field."""
    faults = [Fault(path, "", "") for path in {finding.path for finding in findings}]
    places = {fault.path: fault for fault in (locate(data, faults) if faults else ())}
    return (
        replace(one, line=places[one.path].line, column=places[one.path].column) for one in findings
    )
