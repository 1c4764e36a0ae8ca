"""`doctor --cluster`: what `publish` needs, away from the nodes, and nothing of a node."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from doctor_node import answering, bound_to, cluster, node
from shown_pages import items

__all__ = ["node"]

PAGE = Path(__file__).parents[2] / "docs/user/pools-of-several-nodes.md"
FABRIC = """
from pydra_core import Device, Driver, main
from pydra_core.values import Nodes, Pool


class FabricDriver(Driver):
    name = "fabric.example.com"

    async def discover(self):
        raise RuntimeError("there is no hardware here")

    async def cluster_pools(self):
        return [Pool("rack-a", (Device("box-1"), Device("box-2")), nodes=Nodes())]

    async def prepare(self, claim):
        return []


main(FabricDriver)
"""
NOWHERE = {"NODE_NAME": "", "KUBELET_ROOT": "/nowhere", "POD_NAMESPACE": "fabric"}


async def examined(node, review, **changes):
    routes = cluster(selfsubjectaccessreviews=review, **changes)
    async with answering(**routes) as url:
        node.kubeconfig(url, {"token": bound_to("any")})
        return await node.doctor("--cluster", **NOWHERE)


async def granted(_):
    return {"status": {"allowed": True}}


async def test_it_looks_at_the_pools_and_the_api_server_alone(node):
    node.program(FABRIC)
    done = await examined(node, granted)
    assert (done.code, done.findings, done.document["node"]) == (0, [], "")
    assert done.says("driver: cluster_pools", "ok", "2 devices")
    rooms = {row["check"].partition(":")[0] for row in done.rows}
    assert rooms == {"driver", "api", "rbac"}


async def test_it_asks_for_the_rights_on_the_page_about_such_pools(node):
    asked = set()

    async def review(request):
        a = (await request.json())["spec"]["resourceAttributes"]
        where = (a.get("namespace", ""), a.get("name", ""))
        asked.add((a["group"], a["resource"], a["verb"], *where))
        return {"status": {"allowed": False}}

    node.program(FABRIC)
    done = await examined(node, review)
    (page,) = [
        i[1] for i in items(PAGE.read_text()) if isinstance(i, tuple) and i[0] == "rbac.yaml"
    ]
    roles = [r for r in yaml.safe_load_all(page) if "rules" in r]
    assert asked == {
        (group, resource, verb, role["metadata"].get("namespace", ""), name)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    assert done.says(
        "rbac: get leases", "finding", "writing by turns with other instances needs it"
    )
    assert done.fix("rbac: get leases").startswith("add to the Role in namespace fabric of the")


@pytest.mark.parametrize(
    ("answer", "finding", "seen"),
    [
        ('[Pool("rack-a", (Device("BOX"),), nodes=Nodes())]', "driver-inventory", "BOX"),
        ("1 / 0", "driver-discover", "ZeroDivisionError"),
    ],
)
async def test_pools_that_cannot_be_published_are_found(node, answer, finding, seen):
    node.program(
        FABRIC.replace(
            '[Pool("rack-a", (Device("box-1"), Device("box-2")), nodes=Nodes())]', answer
        )
    )
    done = await examined(node, granted)
    (found,) = done.findings
    assert (found["finding"], seen in found["seen"]) == (finding, True)
    assert "cluster_pools" in found["fix"] or "`pydra discover --cluster`" in found["fix"]


async def test_a_driver_without_such_pools_is_told_so(node):
    done = await node.doctor("--cluster")
    assert (done.code, done.out) == (2, "")
    assert "has no pools that belong to no node; leave --cluster out" in done.err
