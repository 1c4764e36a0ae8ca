"""A pod hangs in Terminating because its driver was uninstalled: `pydra unstick` lets it go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from driver_world import CARDS, DRIVER, DriverUnderTest

from pydra_core._state.reading import read
from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import ObjectRef

KIND = f"{DRIVER}/claim"
CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "card"},
    "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]},
}
CLAIM = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaim",
    "metadata": {"name": "hand", "namespace": "default"},
    "spec": {"devices": {"requests": [{"name": "card", "exactly": {"deviceClassName": "card"}}]}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "player", "namespace": "default"},
    "spec": {
        "restartPolicy": "Never",
        "resourceClaims": [{"name": "hand", "resourceClaimName": "hand"}],
        "containers": [
            {
                "name": "main",
                "image": "local",
                "command": ["sleep", "600"],
                "resources": {"claims": [{"name": "hand"}]},
            }
        ],
    },
}


class Unstick:
    """The command in its own process on a node."""

    def __init__(self, environ, *arguments):
        self.environ = os.environ | environ
        self.arguments = arguments
        self.lines = []

    async def __aenter__(self):
        command = [sys.executable, "-m", "pydra_core", "unstick", DRIVER, *self.arguments]
        self.process = await asyncio.create_subprocess_exec(
            *command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def ended(self):
        out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()

    async def finished(self, kubelet):
        """As `ended`, where the kubelet reads standard error."""
        await kubelet.ended()
        return await self.process.wait(), (await self.process.stdout.read()).decode()

    async def line(self):
        return (await self.process.stdout.readline()).decode()


def on(world):
    return {
        "KUBELET_ROOT": str(world.root / "kubelet"),
        "CDI_DIR": str(world.cdi),
        "NODE_NAME": "node-1",
    }


def journal(world):
    return read(world.dra_socket.with_name("journal").read_bytes()).ledger


@pytest.mark.testbed(kubelet=KubeletSettings(reconcile_period=0.05, sync_backoff=0.3))
async def test_a_pod_that_hangs_because_its_driver_was_uninstalled_goes(testbed, tmp_path):
    (tmp_path / "cards.py").write_text(CARDS)
    driver = await testbed.driver([sys.executable, str(tmp_path / "cards.py"), "run"])
    await testbed.apply(CLASS, CLAIM, POD)
    await testbed.pod("player", "Running")
    (node,) = testbed.cluster.nodes
    driver.kill()
    await driver.process.wait()
    await testbed.api.delete(ObjectRef("pods", "player", "default"))
    assert (await testbed.api.get("pods", "player", "default"))["metadata"]["deletionTimestamp"]
    assert len(list(node.cdi_dir.iterdir())) == 1
    listed = await testbed.api.list("pods")
    gone = testbed._gone("pods", "default", "player", listed.resource_version)
    async with Unstick(testbed.cluster.driver_environment(node)) as unstick:
        await asyncio.wait_for(gone, 30)
        code, out, err = await unstick.ended()
    assert code == 0, err
    assert "1 claim is prepared; each is released once its pod is deleted:" in out
    assert "released default/hand" in out
    assert out.endswith(f"Nothing of driver {DRIVER} is prepared on this node.\n")
    assert "what it changed in hardware stays as it is" in err
    assert list(node.cdi_dir.iterdir()) == []


async def test_claims_are_released_one_by_one_and_none_is_prepared(world):
    driver = await world.start()
    claims = [await world.claim(f"card-{n}", name=f"c{n}") for n in range(2)]
    await driver.prepare(*claims)
    await driver.stop(kill=True)
    async with Unstick(on(world), "-o", "json") as unstick:
        kubelet = DriverUnderTest(world, unstick.process)
        refused = await kubelet.prepare(await world.claim("card-3"), claims[0])
        for answer in refused.claims.values():
            assert (
                "was uninstalled from this node, where only unprepare is answered" in answer.error
            )
        unknown = await world.claim("card-2")
        answers = await kubelet.unprepare(claims[0], unknown)
        assert [a.error for a in answers.claims.values()] == ["", ""]
        assert [p.uid for p in journal(world).all_prepared()] == [claims[1].uid]
        assert len(world.spec_files()) == 1
        assert (await kubelet.unprepare(claims[1])).claims[claims[1].uid].error == ""
        code, out = await unstick.finished(kubelet)
    assert code == 0
    told = json.loads(out)
    assert {c["name"]: c["devices"] for c in told["released"]} == {
        "c0": ["card-0"],
        unknown.name: [],
        "c1": ["card-1"],
    }
    assert told["left"] == []
    assert (world.spec_files(), journal(world).all_prepared()) == ({}, ())
    assert not world.dra_socket.exists()
    assert not world.registration_socket.exists()


async def test_interrupted_it_says_what_is_left(world):
    driver = await world.start()
    claim = await world.claim("card-0", name="ada")
    await driver.prepare(claim)
    await driver.stop(kill=True)
    before = world.spec_files()
    async with Unstick(on(world)) as unstick:
        assert "1 claim is prepared" in await unstick.line()
        kubelet = DriverUnderTest(world, unstick.process)
        await kubelet.registered()
        unstick.process.send_signal(signal.SIGINT)
        code, out = await unstick.finished(kubelet)
    assert code == 1
    assert f"default/ada (UID {claim.uid}): card-0" in out
    assert world.spec_files() == before
    assert len(journal(world).all_prepared()) == 1


async def test_without_a_journal_it_serves_when_it_is_told_to(world):
    stranger, another = [await world.claim("card-0", name=name) for name in ("ada", "eve")]
    async with Unstick(on(world), "--keep") as unstick:
        kubelet = DriverUnderTest(world, unstick.process)
        assert (await kubelet.unprepare(stranger)).claims[stranger.uid].error == ""
        assert (await kubelet.unprepare(another)).claims[another.uid].error == ""
        unstick.process.send_signal(signal.SIGTERM)
        code, out = await unstick.finished(kubelet)
    assert code == 0
    assert f"released default/ada (UID {stranger.uid}): it was not in the journal" in out


async def test_a_dry_run_lists_and_changes_nothing(world):
    driver = await world.start()
    await driver.prepare(await world.claim("card-0", name="ada"))
    await driver.stop(kill=True)
    before = {p: p.stat().st_mtime_ns for p in world.root.rglob("*")}
    async with Unstick(on(world), "--dry-run", "-o", "yaml") as unstick:
        code, out, err = await unstick.ended()
    assert (code, err) == (0, "")
    assert "name: ada" in out
    assert {p: p.stat().st_mtime_ns for p in world.root.rglob("*")} == before


async def test_it_refuses_while_any_instance_of_the_driver_lives(world):
    driver = await world.start(POD_UID="11111111-2222-3333-4444-555555555555")
    for _ in range(2):
        async with Unstick(on(world), "--keep") as unstick:
            code, _, err = await unstick.ended()
        assert code == 2
        assert f"driver {DRIVER}: runs on this node" in err
        driver.dra_socket.unlink(missing_ok=True)  # its locks still tell
        in_the_way = world.root / "in-the-way"
        in_the_way.touch()
        in_the_way.replace(driver.registration_socket)  # or it would be shown again


async def test_it_refuses_while_a_driver_that_knows_no_locks_answers(world):
    world.dra_socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(world.dra_socket))
        alive.listen()
        async with Unstick(on(world), "--keep") as unstick:
            code, _, err = await unstick.ended()
    assert code == 2
    assert f"runs on this node ({world.dra_socket})" in err


HARDWARE = CARDS.replace(
    "main(CardDriver)",
    """
    async def unprepare(self, prepared):
        self.host.joinpath("reset").write_text(prepared.ref.name)
""",
)


async def test_an_installed_driver_undoes_its_hardware_itself(world, tmp_path):
    site = tmp_path / "site"
    info = site / "acme_cards-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cards\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pydra.drivers]\ncards = acme_cards:Here\n")
    here = f"""

class Here(CardDriver):
    def __init__(self):
        super().__init__(__import__("pathlib").Path({str(tmp_path)!r}))
"""
    (site / "acme_cards.py").write_text(HARDWARE + here)
    driver = await world.start()
    claim = await world.claim("card-0", name="ada")
    await driver.prepare(claim)
    await driver.stop(kill=True)
    async with Unstick(on(world) | {"PYTHONPATH": str(site)}) as unstick:
        await unstick.line()
        kubelet = DriverUnderTest(world, unstick.process)
        assert (await kubelet.unprepare(claim)).claims[claim.uid].error == ""
        code, _ = await unstick.finished(kubelet)
    assert code == 0
    assert (tmp_path / "reset").read_text() == "ada"
    assert "is not installed" not in kubelet.logged()
