"""Where the end-to-end tests run: on a testbed each, or on the cluster of `--kubeconfig`.

    uv run pytest tests/e2e --kubeconfig ~/.kube/config --node worker-1

runs them on that node of a real cluster (1.34 or newer), as root on the node itself: the driver is a local process
below `--kubelet-root`. Its pods need the image busybox.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_cluster import Cluster

from pydra_core._api import access
from pydra_core._api.client import KubeClient
from pydra_testbed.cluster import start

_SECONDS_HERE, _SECONDS_THERE = 30.0, 240.0


def pytest_addoption(parser):
    group = parser.getgroup("end-to-end")
    group.addoption("--kubeconfig", default="", help="run tests/e2e on this cluster")
    group.addoption("--node", default="", help="the node this runs on, with --kubeconfig")
    group.addoption("--kubelet-root", default="/var/lib/kubelet", help="the node's kubelet root")
    group.addoption("--cdi-dir", default="/var/run/cdi", help="where the node's runtime reads CDI")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--kubeconfig", default=""):
        for item in items:
            item.add_marker(pytest.mark.timeout(_SECONDS_THERE * 3))


@pytest.fixture
async def cluster(request):
    """A cluster with the pizza classes and a namespace for the test; drivers that were started end with it."""
    kubeconfig = request.config.getoption("--kubeconfig", default="")
    if kubeconfig:
        node = request.config.getoption("--node")
        if not node:
            pytest.fail("--kubeconfig needs --node: the node this runs on", pytrace=False)
        root = Path(request.config.getoption("--kubelet-root"))
        if not (root / "plugins_registry").is_dir():
            pytest.fail(
                f"no kubelet serves below {root}: run on the node itself, or say --kubelet-root and --cdi-dir"
                " (`pydra testbed status -o json` has a testbed's)",
                pytrace=False,
            )
        environ = {
            "KUBECONFIG": kubeconfig,
            "NODE_NAME": node,
            "KUBELET_ROOT": request.config.getoption("--kubelet-root"),
            "CDI_DIR": request.config.getoption("--cdi-dir"),
        }
        async for made in _prepared(kubeconfig, node, environ, _SECONDS_THERE):
            yield made
        return
    async with start() as testbed:
        node = testbed.nodes[0]
        environ = testbed.driver_environment(node)
        config = str(testbed.kubeconfig)
        async for made in _prepared(config, node.name, environ, _SECONDS_HERE, testbed):
            yield made


async def _prepared(kubeconfig, node, environ, patience, testbed=None):
    client = KubeClient(access.find(kubeconfig, {}))
    made = Cluster(client, node, environ, patience, testbed)
    try:
        await made.prepare()
        yield made
        await made.clean_up()
    finally:
        await client.close()
