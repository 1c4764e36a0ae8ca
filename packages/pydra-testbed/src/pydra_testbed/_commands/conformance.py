"""`pydra testbed conformance`: whether a driver behaves towards the kubelet."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_core._telemetry import logs
from pydra_core.command import FINDING, FINE
from pydra_core.errors import ConfigError
from pydra_testbed._commands.fidelity import write_values

if TYPE_CHECKING:
    from pydra_testbed.conformance import Case, Limits, Result, Subject

HELP = "try a driver, ours or not, against the kubelet's protocol"


def configure(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--driver", default="", metavar="NAME", help="an installed driver")
    which.add_argument(
        "--start", default="", metavar="CMD",
        help="start this command as the driver; {node} {kubeconfig} {kubelet_root} {cdi_dir} {pod_uid} stand for"
        " what the environment also says, {devices} for a number of devices to pretend",
    )  # fmt: skip
    parser.add_argument(
        "--case", action="append", default=[], metavar="ID", help="only this case; repeatable"
    )
    parser.add_argument(
        "--family", action="append", default=[], metavar="F",
        help="only REG, PREP, UNPREP, SLICE, HEALTH, SHIELD, STATE, SEC or DP; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help="JSON: valid opaque parameters, or a list of some that make a visible difference",
    )  # fmt: skip
    parser.add_argument(
        "--sicken", default="", metavar="CMD",
        help="a command that makes {device} sick, for the driver to notice; {node} and the like stand for the same",
    )  # fmt: skip
    parser.add_argument(
        "--heal", default="", metavar="CMD", help="a command that makes {device} well again"
    )
    parser.add_argument(
        "--limits", choices=("quick", "kubelet"), default="quick",
        help="wait as long as a kubelet does, or much shorter (quick)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=int, choices=range(1, 17), default=2, metavar="N",
        help="how many nodes at a time (2)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def run(arguments: Namespace) -> int:
    """Exit code: 1 when a case failed."""
    from pydra_testbed.conformance import KUBELET, QUICK, report  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.conformance.catalog import select  # noqa: PLC0415 (same)

    cases = select(arguments.case, arguments.family)
    limits = KUBELET if arguments.limits == "kubelet" else QUICK
    logs.configure("error", "text")
    results = asyncio.run(_play(_subject(arguments), cases, limits, arguments.jobs))
    if arguments.output == "text":
        from rich.console import Console  # noqa: PLC0415 (same)

        report.tell(Console(highlight=False), results)
    else:
        write_values(report.values(results), arguments.output)
    return FINE if report.passes(results) else FINDING


async def _play(
    subject: Subject, cases: Sequence[Case], limits: Limits, jobs: int
) -> Sequence[Result]:
    from pydra_testbed.conformance import run as play  # noqa: PLC0415 (other commands start without it)

    total = len(cases)
    shown = sys.stderr.isatty()
    done: list[Result] = []

    def tell(result: Result) -> None:
        done.append(result)
        if shown:
            sys.stderr.write(f"\r{len(done)}/{total} {result.case.id:<10}\r")

    return await play(subject, cases, limits, jobs=jobs, tell=tell)


def _subject(arguments: Namespace) -> Subject:
    from pydra_testbed.conformance.subject import split  # noqa: PLC0415 (other commands start without it)

    sicken = split("sicken", arguments.sicken) if arguments.sicken else ()
    heal = split("heal", arguments.heal) if arguments.heal else ()
    return replace(_driver(arguments), sicken=sicken, heal=heal)


def _driver(arguments: Namespace) -> Subject:
    from pydra_testbed.conformance.subject import Subject, read_parameters  # noqa: PLC0415 (same)

    parameters = read_parameters(arguments.config) if arguments.config else ()
    if arguments.start:
        return Subject.started_by(arguments.start, parameters)
    installed = {entry.name for entry in entry_points(group="pydra.drivers")}
    if arguments.driver not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise ConfigError(
            f"conformance: --driver {arguments.driver}: no such driver is installed; known are {known}",
            key="driver",
            source="flag",
        )
    return Subject.installed(arguments.driver, parameters)
