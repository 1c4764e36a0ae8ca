"""`discover`: what a driver would publish from here, without touching the API server."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

import yaml

from pydra_core._api.plan import Owner, plan
from pydra_core._api.render import slice_contents
from pydra_core._api.rules import check
from pydra_core._commands import options
from pydra_core.command import FINE, Command
from pydra_core.driver import Driver

_UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)
    parser.add_argument("-o", "--output", choices=("table", "yaml", "json"), default="table")


def _run(arguments: Namespace) -> int:
    driver = options.find_driver(arguments)()
    node = options.read_settings(arguments).node_name or "this-node"
    slices = asyncio.run(_slices(driver, node))
    match arguments.output:
        case "json":
            json.dump({"apiVersion": "v1", "kind": "List", "items": slices}, sys.stdout, indent=2)
            sys.stdout.write("\n")
        case "yaml":
            yaml.safe_dump_all(slices, sys.stdout, sort_keys=False)
        case _:
            _print_table(driver.name, slices)
    return FINE


async def _slices(driver: Driver, node: str) -> list[dict[str, Any]]:
    inventory = await driver.discover()
    check(inventory)
    writes = plan([], slice_contents(inventory), Owner(node, _UNKNOWN_UID), driver.name)
    return [write.body for write in writes]


def _print_table(name: str, slices: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 (only tables need it)
    from rich.table import Table  # noqa: PLC0415 (only tables need it)

    table = Table(
        "DEVICE",
        "ATTRIBUTES",
        "CAPACITY",
        title=f"{name} would publish",
        box=None,
        title_justify="left",
    )
    for device in (d for s in slices for d in s["spec"].get("devices", [])):
        attributes = (
            f"{k.rpartition('/')[2]}={next(iter(v.values()))}"
            for k, v in device.get("attributes", {}).items()
        )
        capacity = (
            f"{k.rpartition('/')[2]}={v['value']}" for k, v in device.get("capacity", {}).items()
        )
        table.add_row(device["name"], " ".join(attributes), " ".join(capacity))
    Console().print(table)


command = Command("discover", "show what a driver would publish", _configure, _run)
