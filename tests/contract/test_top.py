"""`pydra top` on a node whose driver works, has died, or has left a damaged journal."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from driver_world import DRIVER, NODE

from pydra_core import main
from pydra_testbed.objects import ObjectRef

PAGE = Path(__file__).parents[2] / "docs" / "user" / "who-has-which-device.md"
SHARE = "11111111-2222-3333-4444-555555555555"


def shares(device, share):
    return {"driver": DRIVER, "pool": NODE, "device": device, "shareID": share,
            "consumedCapacity": {"card.acme.example/memory": "2Gi"}}  # fmt: skip


CUT = """
from pydra_cdi import ContainerEdits
from pydra_core import Capacity, Claim, Device, Driver, Inventory, PreparedDevice, RequestPolicy, ValidRange, main

MEMORY = RequestPolicy(default="16Gi", valid_range=ValidRange(minimum="1Mi", step="1Mi"))
CORES = RequestPolicy(default="8", valid_range=ValidRange(minimum="8", maximum="128", step="8"))
CAPACITY = {
    "memory": Capacity("16Gi", MEMORY),
    "cores": Capacity("132", CORES),
    "engines": Capacity("7", RequestPolicy(default="0", valid_values=("0",))),
}


class CutDriver(Driver):
    name = "card.acme.example"

    async def discover(self) -> Inventory:
        return Inventory(*(Device(f"card-{n}", capacity=CAPACITY, shareable=True) for n in range(3)))

    async def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return [a.prepared(ContainerEdits(env=["CARD=1"])) for a in claim.allocations]


main(CutDriver)
"""


@pytest.fixture
def top(world, capsys, monkeypatch):
    def call(*arguments):
        flags = ("--kubelet-root", str(world.root / "kubelet"), "--cdi-dir", str(world.cdi))
        with pytest.raises(SystemExit) as ended:
            main(None, ["top", *flags, "--node-name", NODE, *arguments])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    return call


async def aside(call, *arguments):
    """The command runs an event loop of its own, so another thread calls it."""
    return await asyncio.to_thread(call, *arguments)


async def test_who_has_what_while_the_driver_runs_and_when_it_is_dead(world, top):
    driver = await world.start()
    whole = await world.claim("card-0", name="ada", requests=["big"])
    shared = await world.claim(shares("card-1", SHARE), name="bob")
    await driver.prepare(whole, shared)
    before = {p: p.read_bytes() for p in (world.root / "kubelet").rglob("*") if p.is_file()}
    alive = top("-o", "json")
    await driver.stop(kill=True)
    assert top("-o", "json") == alive
    assert {p: p.read_bytes() for p in before} == before
    code, out, _ = alive
    first, second = json.loads(out)["devices"]
    assert code == 0
    assert first.pop("since").endswith("Z")
    assert first == {
        "driver": DRIVER, "pool": NODE, "device": "card-0", "state": "prepared",
        "claim": {"namespace": "default", "name": "ada", "uid": whole.uid}, "requests": ["big"],
    }  # fmt: skip
    assert (second["share"], second["consumed"]) == (SHARE, {"card.acme.example/memory": "2Gi"})
    _, table, _ = top()
    (line,) = [line for line in table.splitlines() if "card-1" in line]
    assert line.split()[:6] == [DRIVER, "card-1", "prepared", "default/bob", "r0", SHARE]
    assert "memory=2Gi" in line
    assert [d["device"] for d in yaml.safe_load(top("-o", "yaml")[1])["devices"]] == [
        "card-0",
        "card-1",
    ]
    assert top("--driver", "other.example")[1] == "Nothing is prepared on this node.\n"


async def test_the_api_server_adds_pods_and_free_devices(world, top):
    driver = await world.start()
    await driver.registered()
    claim, gone = await world.claim("card-0", name="ada"), await world.claim("card-2", name="eve")
    await driver.prepare(claim, gone)
    async for event in world.api.watch("resourceslices"):
        if event.type == "ADDED":
            break
    body = await world.api.get("resourceclaims", "ada", "default")
    body["status"]["reservedFor"] = [{"resource": "pods", "name": "pod-a", "uid": "u-1"}]
    await world.api.update("resourceclaims", body, "status")
    await world.api.delete(ObjectRef("resourceclaims", "eve", "default"))
    code, out, _ = await aside(top, "--api", "-o", "json")
    told = json.loads(out)
    states = {d["device"]: d["state"] for d in told["devices"]}
    assert states == {
        "card-0": "prepared",
        "card-1": "free",
        "card-2": "prepared",
        "card-3": "free",
    }
    assert told["devices"][0]["pods"] == ["pod-a"]
    assert code == 1
    assert "claim default/eve" in told["findings"][0]
    _, table, _ = await aside(top, "--api")
    assert "pod-a" in table
    with world.server.faults.unreachable():
        code, out, _ = await aside(top, "--api", "-o", "json")
    told = json.loads(out)
    assert (code, [d["device"] for d in told["devices"]]) == (1, ["card-0", "card-2"])
    assert "no answer" in told["findings"][0]


def cut(device, share, **consumed):
    return {"driver": DRIVER, "pool": NODE, "device": device, "shareID": share,
            "consumedCapacity": {"engines": "0"} | consumed}  # fmt: skip


async def test_who_has_what_of_a_shared_device_and_what_is_left_of_it(world, top):
    driver = await world.start(CUT)
    await driver.registered()
    other = SHARE.replace("1", "9")
    ada = await world.claim(cut("card-0", SHARE, memory="4Gi", cores="64"), name="ada")
    bob = await world.claim(cut("card-0", other, memory="512Mi", cores="8"), name="bob")
    eve = await world.claim(cut("card-1", SHARE, memory="16Gi", cores="128"), name="eve")
    await driver.prepare(ada, bob, eve)
    async for event in world.api.watch("resourceslices"):
        if event.type == "ADDED":
            break
    for name in ("ada", "bob"):
        body = await world.api.get("resourceclaims", name, "default")
        pod = {"resource": "pods", "name": f"pod-{name[0]}", "uid": name}
        body["status"]["reservedFor"] = [pod]
        await world.api.update("resourceclaims", body, "status")
    code, out, _ = await aside(top, "--api", "-o", "json")
    rows = json.loads(out)["devices"]
    assert code == 0
    assert [(r["device"], r["state"], r.get("claim", {}).get("name")) for r in rows] == [
        ("card-0", "prepared", "ada"),
        ("card-0", "prepared", "bob"),
        ("card-0", "free", None),
        ("card-1", "prepared", "eve"),
        ("card-2", "free", None),
    ]
    assert rows[1]["share"] == other
    assert rows[1]["consumed"] == {"engines": "0", "memory": "512Mi", "cores": "8"}
    assert rows[2]["left"] == {f"{DRIVER}/cores": "56", f"{DRIVER}/memory": "11776Mi"}
    assert rows[4]["left"] == {f"{DRIVER}/cores": "128", f"{DRIVER}/memory": "16Gi"}
    _, table, _ = await aside(top, "--api")
    about = [line.removeprefix(f"{DRIVER} ") for line in table.splitlines() if "card-0" in line]
    (shown,) = re.findall(r"<!-- shared -->\n```text\n.*\n((?:.*\n)*?)```", PAGE.read_text())
    assert [ageless(line) for line in about] == [ageless(line) for line in shown.splitlines()]


def ageless(line):
    """A row without its age, whatever the width of its columns."""
    return re.sub(r" [0-9]+[smh]( |$)", " ", " ".join(line.split())).strip()


async def test_a_damaged_journal_is_a_finding_and_the_rest_is_shown(world, top):
    driver = await world.start()
    await driver.prepare(await world.claim("card-0", name="ada"))
    await driver.stop()
    journal = world.dra_socket.with_name("journal")
    good = journal.read_bytes()
    journal.write_bytes(good + good[-20:] + b"x" * 40 + good[16:])
    other = world.root / "kubelet" / "plugins" / "newer.example" / "journal"
    other.parent.mkdir()
    other.write_bytes(b"pydra-journal\n\x63\x00")
    code, out, _ = top("-o", "json")
    told = json.loads(out)
    assert code == 1
    assert [d["device"] for d in told["devices"]] == ["card-0"]
    damaged, newer = told["findings"]
    assert f"{journal}: 1 damaged place" in damaged
    assert "format 99, written by a newer driver" in newer
    journal.write_bytes(good[:-3])
    other.unlink()
    assert top("-o", "json")[0] == 0


def test_a_machine_without_a_kubelet_has_nothing(tmp_path):
    command = [sys.executable, "-m", "pydra_core", "top", "--kubelet-root", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=30, text=True)
    assert shown.stdout == "Nothing is prepared on this node.\n"


async def test_pods_are_asked_for_by_node(top):
    code, _, err = await aside(top, "--api", "--node-name", "")
    assert (code, "--api needs this node's name" in err) == (2, True)
