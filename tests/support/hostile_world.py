"""A node whose API server says whatever a test wants, and the means to see what a driver did to its files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web
from driver_world import DRIVER, NODE, Claim, World
from hostile_strategies import encode

from pydra_testbed.api import write_kubeconfig

UID = "5f0c8d5e-0000-4000-8000-{:012x}"


def allocated(name, uid, *devices, config=(), requests=()):
    """A claim as a healthy API server shows it."""
    results = [
        {"request": r, "driver": DRIVER, "pool": NODE, "device": d}
        for r, d in zip(requests or [f"r{i}" for i in range(len(devices))], devices, strict=True)
    ]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": "7"},
        "spec": {"devices": {"requests": [{"name": "r0", "exactly": {"deviceClassName": "card"}}]}},
        "status": {
            "allocation": {"devices": {"results": results, "config": list(config)}},
            "reservedFor": [{"resource": "pods", "name": "pod", "uid": UID.format(0)}],
        },
    }


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostileServer:
    """Answers reads of claims with the bytes planted for their names; others do not exist, and the rest is away."""

    def __init__(self):
        self.planted: dict[str, bytes | Answer] = {}
        self.paths: set[str] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.add(request.raw_path.partition("?")[0])
        folder, _, name = request.raw_path.partition("?")[0].rpartition("/")
        found = self.planted.get(unquote(name)) if folder.endswith("/resourceclaims") else None
        if found is None:
            return web.Response(status=404 if "resourceclaims" in folder else 503, text="{}")
        if callable(found):
            return await found(request)
        return web.Response(body=found, content_type="application/json")

    @asynccontextmanager
    async def listen(self):
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", self.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@dataclass
class HostileWorld(World):
    """The node, deep enough in its own folder that a path that climbs out shows up there."""

    hostile: HostileServer = field(default_factory=HostileServer)
    made: int = 0

    @property
    def cdi(self):
        return self.root / "a" / "deep" / "folder" / "for" / "cdi"

    def plant(self, *devices, config=(), requests=()):
        """Plant a well-formed claim under a new UID."""
        self.made += 1
        name, uid = f"good-{self.made}", UID.format(self.made)
        self.hostile.planted[name] = encode(
            allocated(name, uid, *devices, config=config, requests=requests)
        )
        return Claim(name, uid)

    def plant_bytes(self, make):
        """Plant what `make(name, uid)` returns under a new UID: bytes, or a function that answers."""
        self.made += 1
        name, uid = f"bad-{self.made}", UID.format(self.made)
        self.hostile.planted[name] = make(name, uid)
        return Claim(name, uid)

    def others_files(self):
        """Every file of the node that is neither journal nor CDI spec, with what would change if it were touched."""
        journal = self.dra_socket.with_name("journal")
        found = {}
        for path in sorted(self.root.rglob("*")):
            if self.cdi in path.parents or path == journal:
                continue
            status = path.lstat()
            touched = (status.st_mtime_ns, status.st_size) if not path.is_dir() else ()
            found[str(path.relative_to(self.root))] = (status.st_mode, status.st_ino, *touched)
        return found


@asynccontextmanager
async def hostile_world(root):
    world = HostileWorld(root, None, root / "kubeconfig")
    async with world.hostile.listen() as url:
        write_kubeconfig(world.kubeconfig, url)
        try:
            yield world
        finally:
            for driver in world.drivers:
                await driver.stop(kill=True)
