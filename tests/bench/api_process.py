"""An API server in a process of its own, with allocated claims in it; run by the benchmarks.

Arguments: a kubeconfig to write, the number of claims; for another driver than the benchmarks' own its name, and how
its devices are called (`gpu-`) and many. Prints one `name uid` a line, an empty line, and serves
until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydra_testbed.api import ApiServer, write_kubeconfig
from pydra_testbed.clock import RealClock
from pydra_testbed.objects import Api

NODE = "node-1"
DRIVER, PREFIX, DEVICES = sys.argv[3:6] if len(sys.argv) > 3 else ("card.acme.example", "card-", 0)


async def serve(kubeconfig: Path, count: int) -> None:
    """Serve until standard input ends."""
    server = ApiServer(RealClock())
    await server.local.create(
        "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    )
    for number in range(count):
        print(f"claim-{number}", await _claim(server.local, number))
    async with server.listen() as url:
        write_kubeconfig(kubeconfig, url)
        print(flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _claim(api: Api, number: int) -> str:
    request = {"name": "card", "exactly": {"deviceClassName": "card"}}
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": f"claim-{number}", "namespace": "default"},
        "spec": {"devices": {"requests": [request]}},
    }
    made = await api.create("resourceclaims", body, "default")
    device = f"{PREFIX}{number % int(DEVICES) if int(DEVICES) else number}"
    result = {"request": "card", "driver": DRIVER, "pool": NODE, "device": device}
    made["status"] = {"allocation": {"devices": {"results": [result]}}}
    return str((await api.update("resourceclaims", made, "status"))["metadata"]["uid"])


asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
