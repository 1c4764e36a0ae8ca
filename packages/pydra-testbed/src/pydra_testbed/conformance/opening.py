"""A stand made for a case's conditions, and everything of it ended; `runner` opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydra_testbed.api import ALWAYS_ALLOW, RBAC, ApiServer, selector_check, write_kubeconfig
from pydra_testbed.clock import RealClock
from pydra_testbed.conformance.access import NODE, add_account
from pydra_testbed.conformance.claims import ADMINS
from pydra_testbed.conformance.front import Front
from pydra_testbed.conformance.kubelet import NodeKubelet
from pydra_testbed.conformance.limits import Limits
from pydra_testbed.conformance.model import Conditions, Serving
from pydra_testbed.conformance.older import Release
from pydra_testbed.conformance.plugins import PluginKubelet
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.conformance.subject import Subject
from pydra_testbed.janitor import VARIABLE
from pydra_testbed.objects import uid_of

_LONG_ROOT = 54
"""Bytes: the longest kubelet root below which the Go helper's shortest registration socket fits."""
_ALL = ("v1", "v1beta2", "v1beta1")
_ADMIN_LABEL = "resource.kubernetes.io/admin-access"


@asynccontextmanager
async def stand(
    subject: Subject, limits: Limits, root: Path, conditions: Conditions
) -> AsyncIterator[Stand]:
    """A node below `root`, with its kubelet running and no driver yet, for the block."""
    kubelet_root = root / "k"  # as short as on a real node
    if conditions.long_root:
        kubelet_root = root / ("k" * max(1, _LONG_ROOT - len(str(root)) - 1))
    kubelet_root.mkdir(parents=True)
    (root / "cdi").mkdir()
    (root / "door").mkdir()
    (root / "boot_id").write_text("11111111-1111-4111-8111-111111111111\n")
    clock = RealClock()
    mode = RBAC if conditions.secured else ALWAYS_ALLOW
    versions = _ALL if conditions.release is Release.BETA else _ALL[:1]
    server = ApiServer(
        clock, cel_check=selector_check, resource_versions=versions, authorization=mode
    )
    node = await server.local.create("nodes", {"metadata": {"name": NODE}})
    labelled = {"metadata": {"name": ADMINS, "labels": {_ADMIN_LABEL: "true"}}}
    await server.local.create("namespaces", labelled)
    token = await add_account(server, uid_of(node)) if conditions.secured else None
    variables = {VARIABLE: str(root.parent)} | conditions.serving.environ
    if conditions.serving is not Serving.AS_IT_LIKES:
        variables["POD_RESOURCES_SOCKET"] = str(kubelet_root / "pod-resources" / "kubelet.sock")
    variables |= {"LOG_LEVEL": "debug"} if conditions.debug else {}
    front = Front(conditions.release) if conditions.release else None
    async with server.listen() as own, AsyncExitStack() as closing:
        url = await closing.enter_async_context(front.listen(own)) if front else own
        kubeconfig = write_kubeconfig(root / "kubeconfig", url, token)
        plugins = PluginKubelet(kubelet_root, root / "door")
        closing.push_async_callback(plugins.end)
        kubelet = NodeKubelet(server.local, clock, NODE, kubelet_root, limits, plugins)
        made = Stand(
            subject, limits, root, kubelet_root, server, kubeconfig, kubelet, variables, front
        )
        await made.start_kubelet()
        try:
            yield made
        finally:
            await made.close()
