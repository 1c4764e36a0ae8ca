"""`validate` and `lint`: what is wrong with spec files, for people, editors and CI."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pydra_cdi._cli.command import FINDING, FINE, Command, UsageError
from pydra_cdi._cli.files import STDIN, read_input
from pydra_cdi._cli.options import add_files, add_host, directories
from pydra_cdi._cli.output import add_format, show_lines
from pydra_cdi._cli.table import hanging
from pydra_cdi._lint.finding import RULES, Finding, Severity, of_error
from pydra_cdi._lint.places import spec_files
from pydra_cdi.codec import decode_spec
from pydra_cdi.errors import CdiError
from pydra_cdi.registry import Registry
from pydra_cdi.runtimes import SINCE, Runtime, find_runtime


def _configure(parser: ArgumentParser) -> None:
    add_files(parser, "all files")
    add_host(parser)
    add_format(parser)


def _configure_lint(parser: ArgumentParser) -> None:
    _configure(parser)
    parser.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="NAME-VERSION",
        help="a release that must be able to read the files, like containerd-1.7 or cri-o-1.33.2",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        choices=RULES,
        metavar="RULE",
        help="a rule to leave out, by the name in brackets behind a finding",
    )


def _run_validate(arguments: Namespace) -> int:
    if arguments.files:
        findings = [finding for path in arguments.files for finding in _faults(path)]
        return _show(arguments, findings, _files(len(arguments.files)))
    found = Registry(directories(arguments)).refresh()
    files = spec_files(found)
    errors = [(path, error) for path in files for error in found.errors.get(path, ())]
    told = [*errors, *found.unread.items()]
    findings = [finding for path, error in told for finding in of_error(path, error)]
    return _show(arguments, findings, _files(len(files)))


def _faults(path: Path) -> Iterable[Finding]:
    try:
        decode_spec(read_input(path))
    except CdiError as error:
        return of_error(path, error)
    return ()


def _run_lint(arguments: Namespace) -> int:
    from pydra_cdi.lint import Linter  # noqa: PLC0415 - the rules are for this command only

    linter = Linter(arguments.host, [_runtime(name) for name in arguments.runtime])
    if not arguments.files:
        found = linter.directories(places := directories(arguments))
        looked_at = " and ".join(map(str, places))
    else:
        found = tuple(
            finding
            for path in arguments.files
            for finding in (
                linter.text(read_input(path), path) if path == STDIN else linter.file(path)
            )
        )
        looked_at = _files(len(arguments.files))
    wanted = [finding for finding in found if finding.rule not in arguments.ignore]
    return _show(arguments, wanted, looked_at)


def _runtime(name: str) -> Runtime:
    if runtime := find_runtime(name):
        return runtime
    first = (f"{family}-{'.'.join(map(str, steps[0][0][:2]))}" for family, steps in SINCE.items())
    raise UsageError(f"{name} is no runtime known to read CDI; use {', '.join(first)} or newer")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _show(arguments: Namespace, findings: Sequence[Finding], looked_at: str) -> int:
    data = [{**asdict(finding), "file": str(finding.file)} for finding in findings]
    show_lines(arguments, data, lambda width: _lines(findings, looked_at, width))
    return FINDING if any(finding.severity != "info" for finding in findings) else FINE


def _lines(findings: Sequence[Finding], looked_at: str, width: int | None) -> Iterator[str]:
    for finding in findings:
        yield from hanging(finding.verdict, width)
        yield from hanging(f"{finding.remedy} [{finding.rule}]", width, "    ")
    counts = Counter(finding.severity for finding in findings)
    words: dict[Severity, str] = {"error": "errors", "warning": "warnings", "info": "info"}
    told = (
        f"{counts[one]} {one if counts[one] == 1 else many}"
        for one, many in words.items()
        if counts[one]
    )
    yield f"{looked_at}: {', '.join(told) or 'no findings'}"


commands = (
    Command(
        "validate",
        "tell what the CDI specification forbids in spec files",
        "Check spec files by the rules by which runtimes read them, and devices defined twice in one directory.",
        _configure,
        _run_validate,
    ),
    Command(
        "lint",
        "tell everything that may go wrong with spec files",
        "Check spec files by the specification, against the host (paths, device numbers, hooks), against runtimes, "
        "and against each other.",
        _configure_lint,
        _run_lint,
    ),
)
