"""`pydra explain` as its own process against a running testbed, over HTTP, and against servers that refuse."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

import pydra_pizza.demo
from pydra_testbed.api import write_kubeconfig
from pydra_testbed.cluster import start
from pydra_testbed.driver_process import published, run_driver
from pydra_testbed.manifests import apply, read
from pydra_testbed.objects import Selection

PIZZAS = Path(pydra_pizza.demo.__file__).parent
PIZZA = [sys.executable, "-m", "pydra_pizza", "run"]


@asynccontextmanager
async def pizzeria():
    """A cluster whose one node runs the pizza driver, with the menu's classes installed."""
    async with start() as testbed:
        node = testbed.nodes[0]
        async with run_driver(testbed, node, PIZZA) as driver:
            await published(testbed, node, driver)
            await order(testbed, "1-classes.yaml")
            yield testbed


async def order(testbed, file):
    return await apply(testbed.api, read(PIZZAS / file), testbed.server.resource_of)


async def explain(kubeconfig, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "explain", "--kubeconfig", str(kubeconfig), *arguments),
        env=os.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def until(testbed, resource, is_so):
    async with asyncio.timeout(20):
        async for event in testbed.api.watch(resource, Selection("default")):
            if is_so(event.object):
                return event.object
    raise AssertionError(resource)


def waits(pod):
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("reason") == "Unschedulable" for c in conditions)


def claim_of(pod):
    (status,) = pod["status"]["resourceClaimStatuses"]
    return status["resourceClaimName"]


async def test_a_waiting_pod_of_a_cluster_is_explained_by_pod_and_by_claim():
    async with pizzeria() as testbed:
        await order(testbed, "4-impossible-pizza.yaml")
        name = claim_of(await until(testbed, "pods", waits))
        code, out, err = await explain(testbed.kubeconfig, "pod/hedy")
        assert (code, err) == (1, "")
        assert "scheduler: 0/1 nodes are available: 1 cannot allocate all claims." in out
        assert f"claim default/{name} (template hawaii) is not allocated" in out
        assert 'selector 0: toppings.contains("ananas") is false' in out
        assert " ".join(out.split()).endswith("then it gets margherita on node laptop.")
        code, out, _ = await explain(testbed.kubeconfig, f"claim/{name}")
        assert code == 1
        assert "note: used by pod default/hedy: explain the pod for all that it needs" in out


async def place(testbed, name, slices):
    for body in pair(name, slices):
        resource = {"Pod": "pods", "ResourceClaim": "resourceclaims"}[body["kind"]]
        await testbed.api.create(resource, body, "default")


async def test_what_a_running_pod_has_is_shown_by_pod_and_by_claim():
    async with pizzeria() as testbed:
        await place(testbed, "first", "3")
        await until(testbed, "pods", lambda pod: pod["spec"].get("nodeName"))
        for target, says in (("pod/first", "scheduled to"), ("claim/first", "allocated on")):
            code, out, err = await explain(testbed.kubeconfig, target)
            assert (code, err) == (0, "")
            assert f"default/first: is {says} node laptop" in out
            assert "dra.pizza/laptop/diavola (3 slices)" in " ".join(out.split())
            assert "reserved for pod default/first" in out


async def test_a_pod_behind_another_one_is_told_which():
    async with pizzeria() as testbed:
        await place(testbed, "first", "8")
        await until(testbed, "pods", lambda pod: pod["spec"].get("nodeName"))
        await place(testbed, "second", "2")
        await until(testbed, "pods", waits)
        code, out, _ = await explain(testbed.kubeconfig, "pod/second")
        text = " ".join(out.split())
        assert code == 1
        assert "slices: 2 asked, 0 left of 8; held by claim default/first" in text


def pair(name, slices):
    selector = 'device.attributes["kitchen.pizza.example"].toppings.contains("chili")'
    exactly = {
        "deviceClassName": "pizza",
        "selectors": [{"cel": {"expression": selector}}],
        "capacity": {"requests": {"kitchen.pizza.example/slices": slices}},
    }
    metadata = {"name": name, "namespace": "default"}
    yield {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
    }
    container = {"name": "t", "image": "x", "command": ["sleep", "60"]}
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [container | {"resources": {"claims": [{"name": "e"}]}}],
            "resourceClaims": [{"name": "e", "resourceClaimName": name}],
        },
    }


@asynccontextmanager
async def guarded(target, *, forbidden=(), missing=()):
    """A server before the testbed's that answers some paths with 403 or 404."""

    async def handle(request):
        for paths, code in ((forbidden, 403), (missing, 404)):
            if request.path in paths:
                return web.json_response({"message": "not for you"}, status=code)
        async with ClientSession() as session, session.get(target + request.path_qs) as answer:
            return web.json_response(await answer.json(), status=answer.status)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def test_what_a_user_may_not_list_is_left_out_and_said(tmp_path):
    everywhere = ("/api/v1/nodes", "/api/v1/pods", "/apis/resource.k8s.io/v1/resourceclaims")
    async with pizzeria() as testbed:
        await order(testbed, "4-impossible-pizza.yaml")
        await until(testbed, "pods", waits)
        async with guarded(testbed.url, forbidden=everywhere) as url:
            code, out, err = await explain(write_kubeconfig(tmp_path / "k", url), "pod/hedy")
    text = " ".join(out.split())
    assert (code, err) == (1, "")
    assert "note: pods of other namespaces cannot be listed: what they hold looks free here" in text
    assert "note: resourceclaims of other namespaces cannot be listed" in text
    assert "note: nodes cannot be listed: each node that slices name is taken to be ready" in text
    assert 'toppings.contains("ananas") is false' in text


@pytest.mark.parametrize(
    ("refusal", "says"),
    [("missing", "served from Kubernetes 1.34 on"), ("forbidden", "403: not for you")],
)
async def test_a_cluster_that_shows_no_slices_is_a_usage_error(tmp_path, refusal, says):
    async with start() as testbed:
        paths = ("/apis/resource.k8s.io/v1/resourceslices",)
        async with guarded(testbed.url, **{refusal: paths}) as url:
            code, out, err = await explain(write_kubeconfig(tmp_path / "k", url), "pod/p")
    assert (code, out) == (2, "")
    assert says in err


async def test_a_cluster_that_does_not_answer_is_a_usage_error(tmp_path):
    kubeconfig = write_kubeconfig(tmp_path / "k", "http://127.0.0.1:1")
    code, out, err = await explain(kubeconfig, "pod/p")
    assert (code, out) == (2, "")
    assert "no answer" in err
    assert "Traceback" not in err
