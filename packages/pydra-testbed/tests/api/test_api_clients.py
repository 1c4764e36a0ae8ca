"""Other people's clients: kubectl as a program, the Python client as a library."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from pathlib import Path

import kubernetes
import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api, CustomObjectsApi

from pydra_testbed.api import ApiServer, write_kubeconfig

KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH")


@pytest.fixture
async def kubectl(clock, tmp_path):
    """kubectl against a server; returns its output, asserts its success."""
    async with ApiServer(clock).listen() as url:
        config = write_kubeconfig(tmp_path / "kubeconfig", url)

        async def run(*arguments: str, stdin: dict | None = None) -> str:
            process = await asyncio.create_subprocess_exec(
                str(KUBECTL),
                f"--kubeconfig={config}",
                f"--cache-dir={tmp_path / 'cache'}",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(json.dumps(stdin).encode() if stdin else b"")
            assert process.returncode == 0, err.decode()
            return out.decode()

        yield run


def typed(api_version: str, kind: str, body: dict) -> dict:
    return {"apiVersion": api_version, "kind": kind} | body


@needs_kubectl
async def test_kubectl_applies_gets_labels_and_deletes(kubectl, samples):
    exactly = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    body = samples("claim", spec__devices={"requests": [{"name": "r", "exactly": exactly}]})
    claim = typed("resource.k8s.io/v1", "ResourceClaim", body)
    assert "created" in await kubectl("apply", "--validate=false", "-f", "-", stdin=claim)
    assert "unchanged" in await kubectl("apply", "--validate=false", "-f", "-", stdin=claim)
    claim["metadata"]["labels"] = {"tier": "gold"}
    assert "configured" in await kubectl("apply", "--validate=false", "-f", "-", stdin=claim)
    listed = await kubectl("get", "resourceclaims", "-l", "tier=gold", "-o", "name")
    assert listed.strip() == "resourceclaim.resource.k8s.io/c1"
    shown = json.loads(await kubectl("get", "resourceclaim/c1", "-o", "json"))
    assert shown["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1
    assert "c1" in await kubectl("get", "resourceclaims")
    assert "deleted" in await kubectl("delete", "resourceclaim", "c1")
    assert (await kubectl("get", "resourceclaims", "-o", "name")).strip() == ""


@needs_kubectl
async def test_kubectl_handles_core_kinds_and_namespaces(kubectl, samples):
    team = typed("v1", "Namespace", {"metadata": {"name": "team"}})
    await kubectl("create", "--validate=false", "-f", "-", stdin=team)
    settings = typed("v1", "ConfigMap", {"metadata": {"name": "settings"}, "data": {"a": "b"}})
    await kubectl("-n", "team", "apply", "--validate=false", "-f", "-", stdin=settings)
    settings = typed("v1", "ConfigMap", {"metadata": {"name": "settings"}, "data": {"a": "c"}})
    await kubectl("-n", "team", "apply", "--validate=false", "-f", "-", stdin=settings)
    await kubectl("-n", "team", "label", "configmap", "settings", "tier=gold")
    shown = json.loads(await kubectl("-n", "team", "get", "cm", "settings", "-o", "json"))
    assert (shown["data"], shown["metadata"]["labels"]) == ({"a": "c"}, {"tier": "gold"})
    pod = typed("v1", "Pod", samples("pod"))
    await kubectl("create", "--validate=false", "-f", "-", stdin=pod)
    assert "pod/p1" in await kubectl("get", "po", "-A", "-o", "name")
    await kubectl("-n", "team", "delete", "cm", "settings")
    await kubectl("delete", "namespace", "team")
    assert "team" not in await kubectl("get", "ns", "-o", "name")


@needs_kubectl
async def test_kubectl_finds_every_resource_and_the_version(kubectl):
    resources = await kubectl("api-resources", "-o", "name")
    assert {
        "pods",
        "leases.coordination.k8s.io",
        "resourceslices.resource.k8s.io",
        "deviceclasses.resource.k8s.io",
    } <= set(resources.split())
    assert json.loads(await kubectl("version", "-o", "json"))["serverVersion"]["minor"] == "36"


@pytest.fixture
async def python_client(server):
    async with server.listen() as url:
        configuration = Configuration(host=url)
        client = ApiClient(configuration)
        yield client
        await asyncio.to_thread(client.close)
        client.rest_client.pool_manager.clear()


async def test_the_python_client_creates_reads_and_patches(python_client):
    core = CoreV1Api(python_client)

    def work() -> tuple:
        body = kubernetes.client.V1ConfigMap(metadata={"name": "m"}, data={"a": "1"})
        created = core.create_namespaced_config_map("default", body)
        patched = core.patch_namespaced_config_map("m", "default", {"data": {"b": "2"}})
        listed = core.list_namespaced_config_map("default", label_selector="!nothing")
        return created.metadata.uid, patched.data, [item.metadata.name for item in listed.items]

    uid, data, names = await asyncio.to_thread(work)
    assert uid
    assert (data, names) == ({"a": "1", "b": "2"}, ["m"])


async def test_the_python_client_watches_custom_paths(python_client, samples):
    api = CustomObjectsApi(python_client)
    place = {"group": "resource.k8s.io", "version": "v1", "plural": "resourceslices"}

    def work() -> list[tuple[str, str]]:
        api.create_cluster_custom_object(body=samples("slice"), **place)
        seen = []
        watch = kubernetes.watch.Watch()
        for event in watch.stream(api.list_cluster_custom_object, **place, timeout_seconds=30):
            seen.append((event["type"], event["object"]["metadata"]["name"]))
            if event["type"] == "DELETED":
                watch.stop()
            else:
                api.delete_cluster_custom_object(name="s1", **place)
        return seen

    assert await asyncio.to_thread(work) == [("ADDED", "s1"), ("DELETED", "s1")]


async def test_the_python_client_shows_the_servers_reasons(python_client):
    core = CoreV1Api(python_client)
    with pytest.raises(kubernetes.client.ApiException) as caught:
        await asyncio.to_thread(core.read_namespaced_pod, "nope", "default")
    assert caught.value.status == 404
    assert json.loads(caught.value.body)["message"] == 'pods "nope" not found'


async def test_the_python_client_reads_server_and_token_from_the_kubeconfig(clock, tmp_path):
    async with ApiServer(clock, token="sesame").listen() as url:
        path = write_kubeconfig(tmp_path / "kubeconfig", url, "sesame")

        def work() -> list[str]:
            with kubernetes.config.new_client_from_config(str(path)) as client:
                namespaces = CoreV1Api(client).list_namespace().items
                client.rest_client.pool_manager.clear()
                return [item.metadata.name for item in namespaces]

        names = await asyncio.to_thread(work)
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_a_kubeconfig_is_readable_by_its_owner_alone(tmp_path: Path):
    written = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", "secret")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "current-context: pydra-testbed" in written.read_text()


async def test_discovery_names_groups_versions_kinds_and_verbs(kube):
    assert (await kube.ok("GET", "/api"))["versions"] == ["v1"]
    groups = (await kube.ok("GET", "/apis"))["groups"]
    assert {group["name"] for group in groups} >= {
        "apiextensions.k8s.io",
        "apps",
        "batch",
        "coordination.k8s.io",
        "events.k8s.io",
        "resource.k8s.io",
    }
    group = await kube.ok("GET", "/apis/resource.k8s.io")
    assert group["preferredVersion"]["groupVersion"] == "resource.k8s.io/v1"
    found = (await kube.ok("GET", "/apis/resource.k8s.io/v1"))["resources"]
    claims = next(entry for entry in found if entry["name"] == "resourceclaims")
    assert (claims["kind"], claims["namespaced"], "watch" in claims["verbs"]) == (
        "ResourceClaim",
        True,
        True,
    )
    core = (await kube.ok("GET", "/api/v1"))["resources"]
    assert {"pods/binding", "pods/log", "pods/status"} <= {entry["name"] for entry in core}
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await kube.call("GET", path)).body["text"] == "ok"
