"""`discover`: what a driver would publish from here, without touching the API server."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from pydra_core._api.plan import Owner, plan
from pydra_core._api.pools import local_pools
from pydra_core._api.render import slice_contents
from pydra_core._api.rules import faults_by_pool, inventory_error
from pydra_core._commands import options
from pydra_core._shield.guard import worker_only
from pydra_core._values import Inventory
from pydra_core.attributes import schema_faults
from pydra_core.command import FINDING, FINE, Command
from pydra_core.driver import Driver

_UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"


def _configure(parser: ArgumentParser) -> None:
    options.add_driver(parser)
    options.add_settings(parser)
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="show the pools that belong to no node, which `publish` publishes",
    )
    parser.add_argument("-o", "--output", choices=("table", "yaml", "json"), default="table")


def _run(arguments: Namespace) -> int:
    driver = options.find_driver(arguments)()
    node = options.read_settings(arguments).node_name or "this-node"
    slices, faults = asyncio.run(_slices(driver, "" if arguments.cluster else node))
    match arguments.output:
        case "json":
            json.dump({"apiVersion": "v1", "kind": "List", "items": slices}, sys.stdout, indent=2)
            sys.stdout.write("\n")
        case "yaml":
            import yaml  # noqa: PLC0415 (1 MB that a running driver need not hold)

            yaml.safe_dump_all(slices, sys.stdout, sort_keys=False)
        case _:
            _print_table(driver.name, slices)
    for fault in faults:
        sys.stderr.write(f"not as declared: {fault}\n")
    return FINDING if faults else FINE


async def _slices(driver: Driver, node: str) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """What would be published for `node`; without one, for the cluster."""
    with worker_only():
        try:
            found = await driver.discover() if node else Inventory()
            pools = local_pools(found, node) if node else await driver.cluster_pools()
        finally:
            await driver.sdk.close()
    if faults := faults_by_pool(pools, node):
        raise inventory_error(faults)
    owner = Owner(node, _UNKNOWN_UID) if node else None
    writes = plan([], slice_contents(pools, node), driver.name, owner)
    inventory = found if node else Inventory(pools=tuple(pools))
    return [write.body for write in writes], schema_faults(driver.attributes, inventory)


def _print_table(name: str, slices: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 (only tables need it)
    from rich.table import Table  # noqa: PLC0415 (only tables need it)

    several = any(s["spec"].get("nodeName") != s["spec"]["pool"]["name"] for s in slices)
    columns = (*(("POOL",) if several else ()), "DEVICE", "ATTRIBUTES", "CAPACITY")
    table = Table(*columns, title=f"{name} would publish", box=None, title_justify="left")
    for pool, device in (
        (s["spec"]["pool"]["name"], d) for s in slices for d in s["spec"].get("devices", [])
    ):
        attributes = (
            f"{k.rpartition('/')[2]}={next(iter(v.values()))}"
            for k, v in device.get("attributes", {}).items()
        )
        capacity = (
            f"{k.rpartition('/')[2]}={v['value']}" for k, v in device.get("capacity", {}).items()
        )
        where = (pool,) if several else ()
        table.add_row(*where, device["name"], " ".join(attributes), " ".join(capacity))
    Console().print(table)


command = Command("discover", "show what a driver would publish", _configure, _run)
