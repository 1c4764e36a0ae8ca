"""The sub-command itself: journals, the API server if asked for, the table. Found by entry point."""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydra_core._commands import options
from pydra_core.command import FINDING, FINE, Command
from pydra_core.errors import ApiError, ConfigError

if TYPE_CHECKING:
    from pydra_core._commands.top.uses import Use
    from pydra_core.settings import Settings


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--driver", default="", metavar="NAME", help="only this driver's devices")
    parser.add_argument(
        "--api",
        action="store_true",
        help="ask the API server too: free devices, what shares leave of one, and pods of claims",
    )
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    options.add_settings(parser)


def _run(arguments: Namespace) -> int:
    from pydra_core._commands.top import report  # noqa: PLC0415 (other commands start without it)
    from pydra_core._commands.top.uses import uses  # noqa: PLC0415 (same)
    from pydra_core._state.survey import survey  # noqa: PLC0415 (same)

    settings = options.read_settings(arguments)
    try:
        found = [s for s in survey(settings.kubelet_root) if arguments.driver in ("", s.driver)]
    except OSError as err:
        raise ConfigError(
            f"kubelet root {settings.kubelet_root}: its plugins cannot be listed: {err.strerror}; run this as root on"
            " the node",
            key="kubelet_root",
            source=str(settings.kubelet_root),
        ) from err
    held, findings = list(uses(found, settings.cdi_dir)), [s.problem for s in found if s.problem]
    unknown = ""
    if any(use.resource for use in held):
        from pydra_core._commands.top.pods import by_kubelet  # noqa: PLC0415 (gRPC loads only where it is needed)

        held, unknown = asyncio.run(by_kubelet(held, settings.pod_resources))
    if arguments.api:
        held, odd = _with_api(settings, held, unknown)
        held = [use for use in held if arguments.driver in ("", use.driver)]
        findings += odd
    made = report.Report(
        settings.node_name, held, findings, datetime.now(UTC), with_api=arguments.api
    )
    report.write(made, arguments.output)
    return FINDING if findings else FINE


def _with_api(settings: Settings, held: list[Use], unknown: str) -> tuple[list[Use], list[str]]:
    """What `joined` says; `unknown` is why the kubelet did not tell its pods."""
    from pydra_core._commands.top.cluster import joined  # noqa: PLC0415 (HTTP loads only where it is needed)

    if not settings.node_name:
        raise ConfigError(
            "setting node_name: is missing; --api needs this node's name: --node-name or NODE_NAME",
            key="node_name",
            source="flag --api",
        )
    odd = []
    if unknown:
        odd.append(
            "which pod has a device without a claim only the kubelet knows; those with a question mark are on this node"
            f" and ask for the resource. {unknown}"
        )
    access = (settings.kubeconfig, os.environ, settings.node_name)
    try:
        held, more = asyncio.run(joined(held, *access, kubelet_tells=not unknown))
    except ApiError as err:  # what the node tells is worth as much
        more = [str(err)]
    return held, [*odd, *more]


command = Command("top", "show who has which device on this node", _configure, _run)
