"""The pages on installing, uninstalling and coming from a Go driver: what they name exists, what can be done here is done."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from pathlib import Path

import pytest
import yaml
from shown_pages import Step, execute, items

from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import Selection

ROOT = Path(__file__).parents[2]
USER = ROOT / "docs/user"
PAGES = ["install.md", "driver-upgrade.md", "uninstall.md", "from-go-driver-node.md"]
PIZZA = [sys.executable, "-m", "pydra_pizza", "run"]


def commands(page):
    """The commands of a page's shell blocks, continued lines joined, comments cut off."""
    text = (USER / page).read_text()
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield re.sub(r"\s+# .*", "", line)


ALL = [pytest.param(c, id=f"{p}-{n}") for p in PAGES for n, c in enumerate(commands(p), 1)]


def value(values, key):
    for part in re.split(r"(?<!\\)\.", key):
        if values in ({}, []):  # what users fill in
            return
        assert part.replace("\\", "") in values, key
        values = values[part]


@pytest.mark.parametrize("line", ALL)
def test_a_command_names_files_values_and_objects_that_exist(line):
    golden = list(yaml.safe_load_all((ROOT / "tests/charts/golden/pizza.yaml").read_text()))
    for path in re.findall(r"(?<!/)\bcharts/dra-driver[^ ]*", line):
        assert (ROOT / path).exists() or path == "charts/dra-driver-pizza", path
    values = yaml.safe_load((ROOT / "charts/dra-driver/values.yaml").read_text())
    for key in re.findall(r"--set '?(\S+?)=", line):
        value(values, key)
    for name in re.findall(r"daemonset/(\S+)", line):
        assert ("DaemonSet", name) in {(b["kind"], b["metadata"]["name"]) for b in golden}
    namespaces = {b["metadata"].get("namespace") for b in golden} - {None}
    for name in re.findall(r" -n (\S+)", line):
        assert name in {*namespaces, "NAMESPACE"}
    for workflow in re.findall(r"\.github/workflows/([\w.]+)", line):
        assert (ROOT / ".github/workflows" / workflow).is_file()


def test_the_released_chart_has_the_name_the_pages_give_it(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    from releasing.chart import chart_name

    named = {
        name
        for page in PAGES
        for name in re.findall(r"oci://REGISTRY/OWNER/charts/([a-z-]+)", (USER / page).read_text())
    }
    assert named == {chart_name(ROOT, "pydra-pizza")}


def test_checksums_are_compared_as_the_page_shows(tmp_path):
    found = list(items((USER / "install.md").read_text()))
    steps = [item for item in found if isinstance(item, Step)]
    names = [line.partition(":")[0] for step in steps for line in step.output.splitlines()]
    assert len(names) == 2
    for name in names:
        (tmp_path / name).write_text(name)
    sums = (f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names)
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    execute(found, tmp_path)


def test_claims_that_the_page_names_are_in_the_sbom_and_provenance_that_the_workflow_makes():
    """The predicate on the page is that of an SPDX document, which is what the image job attests."""
    page = (USER / "install.md").read_text()
    workflow = (ROOT / ".github/workflows/release.yml").read_text()
    assert "https://spdx.dev/Document/" in page
    assert "sbom-path: ${{ runner.temp }}/amd64.spdx.json" in workflow
    assert "refs/heads/main" in page
    assert yaml.safe_load(workflow)[True]["push"]["branches"] == ["main"]


@pytest.mark.testbed(
    kubelet=KubeletSettings(
        reconcile_period=0.05, wipe_delay=0.3, sync_backoff=0.5, resync_period=0.5
    )
)
async def test_a_pod_of_an_uninstalled_driver_ends_with_the_page_s_unstick(testbed):
    driver = await testbed.driver(PIZZA)
    await testbed.apply(*order("guest"))
    await testbed.pod("guest", "Running")
    await driver.stop()
    deleted = asyncio.ensure_future(testbed.delete("pods", "guest"))

    (body,) = [
        yaml.safe_load(content)
        for name, content in items((USER / "uninstall.md").read_text())
        if name == "unstick.yaml"
    ]
    (node,) = testbed.nodes.values()
    body["spec"]["nodeName"] = node.name
    (container,) = body["spec"]["containers"]
    container["command"] = [sys.executable, "-m", "pydra_core", *container["command"][1:]]
    environ = testbed.cluster.driver_environment(node)
    container["env"] = [{"name": k, "value": v} for k, v in environ.items() if k != "KUBECONFIG"]
    await testbed.apply(body)
    done = await testbed.pod("unstick", "Succeeded", namespace="kube-system")
    assert done["spec"]["nodeName"] == node.name
    assert "released default/guest" in await testbed.log("unstick", namespace="kube-system")
    await deleted  # by the kubelet, at its next try


@pytest.fixture
def wiped(caplog):
    """Waits until the kubelet has wiped the node's slices, as it does once after its start."""
    caplog.set_level("INFO", "pydra_testbed.kubelet.wipe")

    def done():
        records = (*caplog.get_records("setup"), *caplog.records)
        return any("slices wiped" in record.message for record in records)

    async def wait():
        while not done():  # noqa: ASYNC110 (the kubelet says it in its log)
            await asyncio.sleep(0.02)

    return wait


async def test_slices_that_a_go_driver_left_are_replaced_at_once_in_a_newer_generation(
    wiped, testbed
):
    """As the page on switching a node says; spec files and the checkpoint stay as they are."""
    (node,) = testbed.nodes.values()
    plugins = node.kubelet_root / "plugins/dra.pizza"
    plugins.mkdir(parents=True)
    left = {plugins / "checkpoint.json": "{}", node.cdi_dir / "k8s.dra.pizza-claim.json": SPEC}
    for file, text in left.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    await testbed.until("nodes", node.name, bool, namespace="")
    await wiped()
    old = f"{node.name}-dra.pizza-x7k2p"
    pool = {"name": node.name, "generation": 7, "resourceSliceCount": 1}
    spec = {"driver": "dra.pizza", "nodeName": node.name, "pool": pool}
    spec["devices"] = [{"name": "calzone"}]
    group = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
    await testbed.apply(group | {"metadata": {"name": old}, "spec": spec})

    await testbed.driver(PIZZA)
    ours = f"{node.name}-dra.pizza-0000"
    body = await testbed.until("resourceslices", ours, bool, namespace="")
    assert body["spec"]["pool"]["generation"] == 8
    async with asyncio.timeout(10):
        while len((await testbed.api.list("resourceslices", Selection())).items) > 1:  # noqa: ASYNC110 (the driver is at it)
            await asyncio.sleep(0.02)
    assert {file: file.read_text() for file in left} == left


SPEC = '{"cdiVersion": "0.5.0", "kind": "k8s.dra.pizza/claim", "devices": []}'


def order(name):
    """A claim for any pizza, and the pod that has it."""
    request = {"name": "r", "exactly": {"deviceClassName": "all"}}
    container = {"name": "c", "image": "none", "command": ["sleep", "600"]}
    container["resources"] = {"claims": [{"name": "d"}]}
    claims = [{"name": "d", "resourceClaimName": name}]
    metadata = {"name": name, "namespace": "default"}
    group = "resource.k8s.io/v1"
    devices = {"devices": {"requests": [request]}}
    return (
        {"apiVersion": group, "kind": "DeviceClass", "metadata": {"name": "all"}, "spec": {}},
        {"apiVersion": group, "kind": "ResourceClaim", "metadata": metadata, "spec": devices},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [container],
                "resourceClaims": claims,
            },
        },
    )
