"""The guides for drivers' authors and operators, done as they say."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from shown_pages import Step, execute, items

PAGES = Path(__file__).parents[2] / "docs" / "user"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["driver-afternoon.md", "driver-testing.md", "driver-from-go.md"])
def test_every_command_of_a_guide_prints_what_it_shows(page, tmp_path):
    found = list(items((PAGES / page).read_text(encoding="utf-8")))
    assert sum(isinstance(item, Step) for item in found) >= 2
    if not (os.environ.get("UV") or shutil.which("uv")):  # packaging comes last, and needs it
        found = found[: next((n for n, i in enumerate(found) if _needs_uv(i)), len(found))]
    execute(found, tmp_path)


def test_every_page_stands_in_the_index_by_its_title():
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    for page in sorted(PAGES.glob("*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert page.name == "README.md" or f"[{title}]({page.name})" in index, page.name


def test_no_page_leads_to_a_file_that_is_not_there():
    root = PAGES.parents[1]
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("packages/*/README.md")]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.relative_to(root)}: {link}"


def _needs_uv(item):
    return isinstance(item, Step) and item.command.startswith("uv ")


def daemon_set(testbed, python, **environ):
    """The DaemonSet of the page, its container's program and paths those of a testbed's node."""
    page = (PAGES / "driver-upgrade.md").read_text(encoding="utf-8")
    (body,) = [yaml.safe_load(c) for name, c in items(page) if name == "daemonset.yaml"]
    (node,) = testbed.nodes.values()
    own = testbed.cluster.driver_environment(node) | {"HTTP_ADDRESS": "127.0.0.1:0"} | environ
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    kept = [e for e in container["env"] if "valueFrom" in e]
    container["env"] = [
        *kept,
        *({"name": n, "value": v} for n, v in own.items() if n != "NODE_NAME"),
    ]
    container["command"] = [python, "-m", "pydra_pizza", "run"]
    return body


def order(name):
    """A claim for a device of the driver, and the pod that waits with it."""
    request = {"name": "r", "exactly": {"deviceClassName": "all"}}
    container = {"name": "c", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "d"}]}
    spec = {"containers": [container], "resourceClaims": [{"name": "d", "resourceClaimName": name}]}
    metadata = {"name": name, "namespace": "default"}
    return (
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": metadata,
            "spec": {"devices": {"requests": [request]}},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )


def running(pod):
    return (pod.get("status") or {}).get("phase") == "Running"


async def test_the_daemon_set_of_the_upgrade_page_is_replaced_without_a_gap(testbed):
    """A pod before, one in the middle and one after the roll-out; the first one's spec file stays as it is."""
    registered = asyncio.Queue()
    testbed.cluster.observe(
        lambda call: registered.put_nowait(call) if call.method.startswith("Notify") else None
    )
    everything = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass"}
    await testbed.apply(everything | {"metadata": {"name": "all"}, "spec": {}})
    await testbed.apply(daemon_set(testbed, sys.executable), *order("before"))
    await testbed.until("pods", "before", running)
    (node,) = testbed.nodes.values()
    files = {file.name: file.read_bytes() for file in node.cdi_dir.iterdir()}

    body = await testbed.api.get("daemonsets", "acme", "kube-system")
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/acme:0.2.0"
    await testbed.api.update("daemonsets", body)
    await testbed.apply(*order("during"))
    await testbed.until("pods", "during", running)
    await testbed.until("daemonsets", "acme", _is_done, namespace="kube-system")
    for _ in range(2):  # a testbed asks no readiness probes, so the old pod may be gone before
        await registered.get()
    await testbed.apply(*order("after"))
    await testbed.until("pods", "after", running)

    now = {file.name: file.read_bytes() for file in node.cdi_dir.iterdir()}
    assert files.items() <= now.items()
    assert len(now) == 3
    prepared = [call for call in testbed.calls if call.method == "NodePrepareResources"]
    assert sorted(claim.name for call in prepared for claim in call.claims) == [
        "after", "before", "during",
    ]  # fmt: skip


def _is_done(body):
    status = body.get("status") or {}
    return (
        status.get("observedGeneration") == body["metadata"]["generation"]
        and status.get("updatedNumberScheduled") == 1
        and status.get("numberAvailable") == 1
        and status.get("currentNumberScheduled") == 1
    )
