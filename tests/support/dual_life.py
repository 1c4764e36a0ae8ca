"""A node on which claims and extended resources are served at once, and what pods, kubelet and driver do there at random.

Containers say themselves whether they are alone: each locks a file for every piece of silicon it got and holds it for
as long as it lives. So does the driver's hardware, a folder with one file for each piece that is set up for somebody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydra_core._state.survey import look_at
from pydra_testbed.driver_process import DriverProcess, offered, run_driver
from pydra_testbed.harness import Harness
from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import ObjectRef

NAME = "card.acme.example"
CARD, DISK = "acme.example/card", "acme.example/disk"
MOST, DEVICES = {CARD: 2, DISK: 2}, 7
BYSTANDER = "bystander"
QUICK = KubeletSettings(
    reconcile_period=0.05, node_update_period=0.05, resync_period=0.5, sync_backoff=0.3
)

PROGRAM = """
import os
from pathlib import Path

from pydra_cdi import ContainerEdits
from pydra_core import Consumption, CounterSet, Device, Driver, Inventory, main
from pydra_core._legacy import releasing, vetoing
from pydra_core.errors import DeviceError
from pydra_core.resources import Resource, ResourceDevice

releasing.EVERY, releasing.APART, releasing.GRACE, releasing.AGAIN = 0.2, 0.2, 2.0, 0.5
releasing._LEAST, vetoing.RENEW = 0.05, 0.5
PIECES = {
    "card-0": ("card-0",), "card-1": ("card-1",), "disk-0": ("disk-0",), "disk-1": ("disk-1",),
    "whole": ("chip-a", "chip-b"), "half-a": ("chip-a",), "half-b": ("chip-b",),
}


def device(name):
    parts = sum(piece.startswith("chip") for piece in PIECES[name])
    takes = (Consumption("chip", {"halves": str(parts)}),) if parts else ()
    return Device(name, attributes={"index": len(name)}, consumes=takes)


class CardDriver(Driver):
    name = "card.acme.example"

    def __init__(self):
        super().__init__()
        self.hardware = Path(os.environ["HARDWARE"])

    async def discover(self):
        sets = (CounterSet("chip", {"halves": "2"}),)
        return Inventory(*map(device, PIECES), counter_sets=sets)

    def resources(self, inventory):
        def offer(kind, *names):
            return Resource(f"acme.example/{kind}", tuple(ResourceDevice(id=n, devices=(n,)) for n in names))

        return [offer("card", "card-0", "card-1"), offer("disk", "disk-0", "disk-1")]

    async def prepare(self, claim):
        for each in claim.allocations:
            for piece in PIECES[each.device]:
                self.set_up(piece, claim)
        return [a.prepared(ContainerEdits(env=[self.told(a.device)])) for a in claim.allocations]

    def set_up(self, piece, claim):
        file = self.hardware / piece
        if file.exists() and file.read_text() != claim.uid:
            with (self.hardware / "clashes").open("a") as clashes:
                print(f"{piece}: {claim.ref} beside {file.read_text()}", file=clashes)
            raise DeviceError(f"piece {piece}: in two hands", device=piece)
        file.write_text(claim.uid)

    def told(self, name):
        return f"PIECES_{name.upper().replace('-', '_')}={' '.join(PIECES[name])}"

    async def unprepare(self, prepared):
        for each in prepared.devices:
            for piece in PIECES[each.device]:
                file = self.hardware / piece
                if file.exists() and file.read_text() == prepared.ref.uid:
                    file.unlink()


main(CardDriver)
"""

ALONE = """
for piece in $(env | sed -n 's/^PIECES_[A-Z0-9_]*=//p'); do
  exec {fd}>"$LOCKS/$piece"
  flock -n $fd || echo "$POD: $piece" >> "$LOCKS/clashes"
done
exec sleep $LIFE
"""

EXPLAINED = re.compile(
    "still in the hands of|draws on the same counters as"  # by us: who has it
    "|requested number of devices unavailable|has been stopped|is not registered|no healthy devices present"  # by the kubelet, while we are away
    "|connect|Socket closed|Connection reset|Cancelled|GOAWAY|recvmsg|unavailable|EOF"
)


@dataclass
class DualLife:
    """One life of a node; `steps` of it are drawn from `rng`."""

    testbed: Harness
    rng: random.Random
    root: Path
    driver: DriverProcess | None = None
    pods: list[str] = field(default_factory=list)
    made: int = 0
    done: Counter = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self):
        for folder in ("locks", "hardware"):
            (self.root / folder).mkdir()
        (self.root / "driver.py").write_text(PROGRAM)
        device_class = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "card"},
            "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{NAME}"'}}]},
        }
        await self.testbed.apply(device_class, self._template(1), self._template(2))
        await self.testbed.apply(self._pod(BYSTANDER, {}, life=1000))
        await self.start_driver()
        await self.testbed.pod(BYSTANDER, "Running")
        await offered(self.testbed.cluster, self.node, DISK, self.driver)
        return self

    async def __aexit__(self, *error):
        await self._stack.aclose()

    @property
    def node(self):
        return self.testbed.cluster.nodes[0]

    def clashes(self):
        """What was in two hands, as containers and hardware saw it."""
        files = [self.root / folder / "clashes" for folder in ("locks", "hardware")]
        return [line for file in files if file.exists() for line in file.read_text().splitlines()]

    async def start_driver(self):
        environ = {"ENABLE_DEVICE_PLUGIN": "true", "HARDWARE": str(self.root / "hardware")}
        command = (sys.executable, str(self.root / "driver.py"), "run")
        self.driver = await self._stack.enter_async_context(
            run_driver(self.testbed.cluster, self.node, command, environ)
        )

    async def live(self, steps):
        """Let that much happen."""
        deeds = {
            self.ask_for_resource: 6,
            self.ask_for_claim: 6,
            self.ask_for_both: 4,
            self.delete: 9,
            self.kill_driver: 1,
            self.restart_kubelet: 1,
        }
        for _ in range(steps):
            (deed,) = self.rng.choices(list(deeds), list(deeds.values()))
            self.done[deed.__name__] += 1
            await deed()
            await asyncio.sleep(
                self.rng.choice((0, 0, 0.05, 0.4))
            )  # how far what was begun has come

    async def ask_for_resource(self):
        resource = self.rng.choice((CARD, DISK))
        amount = {resource: str(self.rng.randint(1, MOST[resource]))}
        await self._begin({"resources": {"limits": amount, "requests": amount}})

    async def ask_for_claim(self):
        claims = {"resources": {"claims": [{"name": "c"}]}}
        await self._begin(claims, template=f"cards-{self.rng.randint(1, 2)}")

    async def ask_for_both(self):
        """Two schedulers choose at once, and neither knows of the other."""
        await asyncio.gather(self.ask_for_resource(), self.ask_for_claim())

    async def delete(self):
        if self.pods:
            await self._end(self.pods.pop(self.rng.randrange(len(self.pods))))

    async def kill_driver(self):
        self.driver.kill()
        await self.driver.process.wait()
        await self.start_driver()

    async def restart_kubelet(self):
        await self.testbed.kubelets[self.node.name].restart()

    async def end(self):
        """Delete all pods; return once nothing is held by anybody."""
        for name in self.pods:
            await self._end(name)
        try:
            async with asyncio.timeout(60):
                while left := await self._left():  # noqa: ASYNC110 (files and objects alike)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log = self.driver.log.read_text()[-5000:]
            raise AssertionError(f"not released: {left}; the driver logged last:\n{log}") from None
        listed = await self.testbed.api.list("events")
        self.refused += [
            event["message"]
            for event in listed.items
            if event["reason"] == "FailedPrepareDynamicResources"
        ]

    async def _left(self):
        return self._held() or await self._tainted() or await self._missing()

    def _held(self):
        """What is left of claims and resources on the node: in the journal, as spec files, in the hardware."""
        survey = look_at(self.node.kubelet_root / "plugins" / NAME / "journal")
        left = [*self.node.cdi_dir.glob("*.json"), *(self.root / "hardware").glob("*-[01ab]")]
        return [*(survey.held if survey else ()), *left]

    async def _tainted(self):
        slices = (await self.testbed.api.list("resourceslices")).items
        return [d for s in slices for d in s["spec"].get("devices") or () if "taints" in d]

    async def _missing(self):
        """What of the inventory cannot be had."""
        node = await self.testbed.api.get("nodes", self.node.name)
        slices = (await self.testbed.api.list("resourceslices")).items
        published = sum(len(s["spec"].get("devices") or ()) for s in slices)
        found = {name: int(node["status"]["allocatable"].get(name, 0)) for name in MOST}
        return {} if (published, found) == (DEVICES, MOST) else {"published": published, **found}

    async def _begin(self, container, template=""):
        self.made += 1
        name = f"pod-{self.made}"
        life = self.rng.choice((0.2, 1000, 1000))
        await self.testbed.apply(self._pod(name, container, life=life, template=template))
        self.pods.append(name)

    async def _end(self, name):
        pod = await self.testbed.api.get("pods", name, "default")
        if pod["status"]["phase"] == "Failed":
            self.refused.append(pod["status"].get("message", ""))
        await self.testbed.api.delete(ObjectRef("pods", name, "default"))

    def _template(self, count):
        request = {"name": "r", "exactly": {"deviceClassName": "card", "count": count}}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": f"cards-{count}"},
            "spec": {"spec": {"devices": {"requests": [request]}}},
        }

    def _pod(self, name, container, *, life, template=""):
        environ = {"LOCKS": str(self.root / "locks"), "POD": name, "LIFE": str(life)}
        main = {
            "name": "main",
            "image": "busybox",
            "command": ["bash", "-c", ALONE],
            "env": [{"name": k, "value": v} for k, v in environ.items()],
        }
        claims = [{"name": "c", "resourceClaimTemplateName": template}] if template else []
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": [main | container],
                "resourceClaims": claims,
            },
        }
