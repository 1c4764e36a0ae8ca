"""The pages on pools: their commands print what they show, and the fabric works with the rights it is given."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from shown_pages import execute, items

from pydra_testbed.objects import ObjectRef, Patch, Selection

USER = Path(__file__).parents[2] / "docs/user"
PAGE = (USER / "pools-of-several-nodes.md").read_text()
NAME = "fabric.example.com"
POD = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: box}
spec: {selectors: [{cel: {expression: device.driver == "fabric.example.com"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: boxes}
spec: {devices: {requests: [{name: box, exactly: {deviceClassName: box, count: 2}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  restartPolicy: Never
  resourceClaims: [{name: boxes, resourceClaimName: boxes}]
  containers:
    - name: box
      image: example.com/box
      command: [sh, -c, echo $BOX]
      resources: {claims: [{name: boxes}]}
"""


@pytest.mark.parametrize("page", ["pools-of-several-nodes.md", "pools-of-a-node.md"])
def test_the_commands_print_what_the_page_shows(page, tmp_path):
    execute(items((USER / page).read_text()), tmp_path)


@pytest.mark.testbed(nodes=("node-a", "node-b"), authorization="RBAC")
async def test_a_pod_runs_where_its_box_is_reached_published_with_the_pages_rights(
    testbed, tmp_path
):
    for name, text in (item for item in items(PAGE) if isinstance(item, tuple)):
        (tmp_path / name).write_text(text)
    (tmp_path / "pod.yaml").write_text(POD)
    await testbed.until("nodes", "node-a", bool, namespace="")
    rack = {"metadata": {"labels": {"example.com/rack": "a"}}}
    await testbed.api.patch(ObjectRef("nodes", "node-a"), Patch(rack))
    await testbed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fabric"}})
    await testbed.apply(tmp_path / "rbac.yaml")
    node = testbed.nodes["node-b"]
    account = await testbed.cluster.account_kubeconfig(node, "fabric/fabric-publish")
    publisher = await asyncio.create_subprocess_exec(
        *(sys.executable, tmp_path / "fabric.py", "publish"),
        env=os.environ | {"KUBECONFIG": str(account), "POD_NAMESPACE": "fabric"},
    )
    try:
        rack_a = await testbed.until("resourceslices", f"rack-a-{NAME}-0000", bool, namespace="")
        assert [d["name"] for d in rack_a["spec"]["devices"]] == ["box-0", "box-1"]
        for name in testbed.nodes:
            await testbed.driver([sys.executable, str(tmp_path / "fabric.py"), "run"], name)
        await testbed.apply(tmp_path / "pod.yaml")
        pod = await testbed.pod("box")
        assert pod["spec"]["nodeName"] == "node-a"
        assert (await testbed.log("box")).strip() in ("rack-a/box-0", "rack-a/box-1")
    finally:
        publisher.terminate()
        assert await publisher.wait() == 0
    lease = await testbed.api.get("leases", f"{NAME}-publish", "fabric")
    assert "holderIdentity" not in lease["spec"]  # given back with the rights of the page
    (selector,) = re.findall(r"--field-selector (\S+)`", PAGE)
    before = {s["metadata"]["name"] for s in (await testbed.api.list("resourceslices")).items}
    await testbed.api.delete_collection("resourceslices", Selection(field_selector=selector))
    left = {s["metadata"]["name"] for s in (await testbed.api.list("resourceslices")).items}
    assert before - left == {f"rack-a-{NAME}-0000", f"seats-{NAME}-0000"}


async def test_the_deployment_on_the_page_is_one(apiserver):
    (deployment,) = [
        d for t in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for d in yaml.safe_load_all(t)
        if d["kind"] == "Deployment"
    ]  # fmt: skip
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fabric"}}
    await apiserver.local.create("namespaces", namespace)
    await apiserver.local.create("deployments", deployment, "fabric")
