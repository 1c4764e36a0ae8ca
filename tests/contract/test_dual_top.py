"""`pydra top` on a node where pods have devices without claims: the kubelet tells which, and else only who may have them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from driver_world import NODE
from legacy_world import CARD, kubelet, pod, started
from pods_listed import listed

from pydra_core import main

__all__ = ["kubelet"]

PAGE = Path(__file__).parents[2] / "docs" / "user" / "who-has-which-device.md"


@pytest.fixture
async def top(world, kubelet, capsys, monkeypatch):
    """The command on a node where two cards are given to pods; returns its exit code and what it said."""
    driver = await started(world)
    await driver.registered()
    await (await kubelet.plugin(CARD)).allocate(["card-0"], ["card-1"])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))

    def call(*arguments):
        flags = ("--kubelet-root", str(world.root / "kubelet"), "--cdi-dir", str(world.cdi))
        with pytest.raises(SystemExit) as ended:
            main(None, ["top", *flags, "--node-name", NODE, *arguments])
        return ended.value.code, capsys.readouterr().out

    return lambda *arguments: asyncio.to_thread(call, *arguments)


def rows(out, field):
    return {d["device"]: d.get(field) for d in json.loads(out)["devices"] if "resource" in d}


async def test_the_kubelet_is_asked_which_pod_has_a_device_without_a_claim(world, top):
    async with listed(world.root / "kubelet/pod-resources/kubelet.sock") as pods:
        pods.held["a"] = {CARD: ["card-0"]}
        for flags in ([], ["--api"]):
            code, out = await top("-o", "json", *flags)
            assert rows(out, "pods") == {"card-0": ["default/a"], "card-1": None}
            assert (code, rows(out, "podsPerhaps")) == (0, {"card-0": None, "card-1": None})
        _, table = await top()
    head, first, _ = ([*line.split()] for line in table.splitlines())
    _, _, shown = PAGE.read_text().partition("<!-- legacy -->\n```text\n")
    documented = [[*line.split()] for line in shown.partition("```")[0].splitlines()]
    at = first.index("resource") + 1  # what follows is how long ago
    assert [head[1:], [*first[1:at], "2s", *first[at + 1 :]]] == documented


async def test_without_the_kubelet_those_are_shown_that_ask_for_it_on_this_node(world, top):
    for name, node, amounts, phase in (
        ("a", NODE, {CARD: 1}, "Running"),
        ("b", NODE, {CARD: 2}, "Pending"),
        ("ended", NODE, {CARD: 1}, "Succeeded"),
        ("none", NODE, {CARD: 0}, "Running"),
        ("elsewhere", "node-2", {CARD: 1}, "Running"),
    ):
        body = pod(name, amounts, nodeName=node)
        if name == "b":
            body["spec"]["initContainers"] = [{**body["spec"]["containers"][0], "name": "first"}]
            del body["spec"]["containers"][0]["resources"]
        made = await world.api.create("pods", body, "default")
        await world.api.update("pods", {**made, "status": {"phase": phase}}, "status")
    code, out = await top("--api", "-o", "json")
    asking = ["default/a", "default/b"]
    assert rows(out, "podsPerhaps") == {"card-0": asking, "card-1": asking}
    (finding,) = json.loads(out)["findings"]
    assert code == 1
    assert "only the kubelet knows" in finding
    assert "POD_RESOURCES_SOCKET" in finding
    assert "default/a?, default/b?" in (await top("--api"))[1]
    code, out = await top("-o", "json")
    assert (code, rows(out, "podsPerhaps")) == (0, {"card-0": None, "card-1": None})
