"""All that can be said of some files, put together and in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydra_core.driver import Driver
from pydra_testbed.validate import parameters, references
from pydra_testbed.validate.documents import read
from pydra_testbed.validate.findings import Finding, Severity
from pydra_testbed.validate.judging import is_judged, judge


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many objects were checked or passed over, and what was found."""

    checked: int
    passed_over: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        return sum(f.severity is Severity.ERROR for f in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors


async def validate(
    files: Iterable[tuple[str, str]], drivers: Mapping[str, type[Driver]]
) -> Outcome:
    """Check the objects of files, given as name and text, as one set."""
    texts = list(files)
    documents, found = [], []
    for name, text in texts:
        objects, unreadable = read(name, text)
        documents += objects
        found += unreadable
    found += await judge(documents)
    found += parameters.check(documents, drivers)
    found += references.check(documents)
    order = {name: position for position, (name, _) in enumerate(texts)}
    found.sort(key=lambda f: (order[f.file], f.line, f.path, f.severity))
    judged = sum(map(is_judged, documents))
    unique = tuple(dict.fromkeys(found))
    return Outcome(judged, len(documents) - judged, unique)
