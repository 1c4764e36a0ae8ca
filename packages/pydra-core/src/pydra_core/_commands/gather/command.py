"""The sub-command itself: every part in its turn, then the archive. Found by entry point."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_core._commands import options
from pydra_core.command import FINE, Command
from pydra_core.errors import ConfigError

if TYPE_CHECKING:
    from pydra_core._commands.doctor.subject import Subject
    from pydra_core._commands.gather.bundle import Bundle

_DOCTOR_SECONDS = 15.0
_MIB = 1 << 20


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    parser.add_argument(
        "--output", default="", metavar="FILE", help="the archive (default pydra-DRIVER.tar.gz); - is standard output"
    )  # fmt: skip
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="the driver's log, of which the end is taken"
    )
    parser.add_argument(
        "--raw", action="store_true", help="take the journal as it is, with values of environment variables"
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=int, default=32, metavar="MIB", help="how much to take, unpacked (default 32)"
    )  # fmt: skip
    parser.add_argument(
        "--host", type=Path, default=Path("/"), metavar="DIR", help="where the node's root file system is seen from here"
    )  # fmt: skip
    options.add_settings(parser)


def _run(arguments: Namespace) -> int:
    from pydra_core._commands.doctor.subject import Subject  # noqa: PLC0415 (other commands start without it)
    from pydra_core._commands.gather.bundle import Bundle  # noqa: PLC0415 (same)

    driver, settings = options.find_driver(arguments), options.read_settings(arguments)
    subject = Subject(driver, settings, arguments.host, os.environ, time.time)
    about = {
        "driver": driver.name,
        "node": settings.node_name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": f"pydra-core {version('pydra-core')}",
    }
    bundle = Bundle(max(arguments.limit, 1) * _MIB, about)
    hanging = asyncio.run(_gather(bundle, subject, arguments))
    _write(bundle, arguments.output or f"pydra-{driver.name}.tar.gz")
    if hanging:  # a thread that hangs in somebody's library would keep us here
        sys.stdout.flush()
        os._exit(FINE)
    return FINE


async def _gather(bundle: Bundle, subject: Subject, arguments: Namespace) -> bool:
    from pydra_core._commands.doctor import checks, report  # noqa: PLC0415 (other commands start without it)
    from pydra_core._commands.gather import node, remote  # noqa: PLC0415 (same)
    from pydra_core._commands.gather.redaction import without_quotes  # noqa: PLC0415 (same)

    bare = checks.is_bare(subject)
    done = await checks.examine(subject, _DOCTOR_SECONDS, driver_only=bare)
    name = subject.settings.node_name
    made = report.Report(subject.driver.name, name, bare, done.results)
    examined = report.document(made)
    for check in examined["checks"]:
        if check["check"].startswith(
            "cdi"
        ):  # what is wrong with a spec file is told with a piece of it
            check["seen"] = without_quotes(check["seen"])
    bundle.add_json("doctor.json", examined)
    node.settings(bundle, subject)
    node.journal(bundle, subject, raw=arguments.raw)
    node.spec_files(bundle, subject)
    node.sockets(bundle, subject)
    node.packages(bundle)
    await node.host(bundle, subject)
    if arguments.log:
        node.log(bundle, arguments.log)
    else:
        bundle.leave_out("log.txt", "no log file was named: --log FILE, or send `kubectl logs`")
    await remote.api(bundle, subject)
    await remote.probes(bundle, subject.settings.http_address)
    return done.hanging


def _write(bundle: Bundle, output: str) -> None:
    if output == "-":
        bundle.write(sys.stdout.buffer)
        sys.stdout.flush()
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(output, flags, 0o600), "wb") as file:
            bundle.write(file)
    except OSError as err:
        raise ConfigError(
            f"file {output}: cannot be written: {err.strerror}; choose another with --output",
            key="output",
            source="flag --output",
        ) from err
    sys.stdout.write(
        f"{output}: {bundle.count} files, {bundle.left_out} left out; manifest.json in it says which and why\n"
    )


command = Command("gather", "collect what a bug report needs into one archive", _configure, _run)
