"""Real kubectl (1.32 or newer) on a whole testbed: what people type must work, and look as on Kubernetes."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
import yaml

from pydra_testbed.cluster import start

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed on this machine")

CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c1}
spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talk}}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: none
      command: [sh, -c, "for i in 1 2 3 4; do echo line $i; done"]
    - {name: other, image: none, command: ["true"]}
"""


class Kubectl:
    """Runs kubectl against one testbed."""

    def __init__(self, testbed, folder) -> None:
        self.testbed = testbed
        self._options = (f"--kubeconfig={testbed.kubeconfig}", f"--cache-dir={folder}")

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            *self._options,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(), err.decode()

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        code, out, err = await self.run(*arguments, stdin=stdin)
        assert code == 0, err
        return out

    async def fails(self, *arguments: str, stdin: str = "") -> str:
        code, _, err = await self.run(*arguments, stdin=stdin)
        assert code != 0
        return err


@pytest.fixture
async def kubectl(tmp_path):
    async with start() as testbed:
        yield Kubectl(testbed, tmp_path / "cache")


def columns(text: str) -> list[str]:
    return [name.strip() for name in text.split("|")]


async def test_apply_get_label_and_delete_with_server_side_validation(kubectl):
    assert "created" in await kubectl("apply", "-f", "-", stdin=CLAIM)
    body = yaml.safe_load(CLAIM)
    body["spec"]["devices"]["odd"] = 1
    refused = await kubectl.fails("apply", "-f", "-", stdin=json.dumps(body))
    assert 'unknown field "spec.devices.odd"' in refused
    await kubectl("label", "resourceclaim", "c1", "tier=gold")
    await kubectl("annotate", "resourceclaim", "c1", "note=kept")
    listed = await kubectl("get", "resourceclaims", "-l", "tier=gold", "-o", "name")
    assert listed.strip() == "resourceclaim.resource.k8s.io/c1"
    assert "deleted" in await kubectl("delete", "resourceclaim", "c1")
    assert "NotFound" in await kubectl.fails("get", "resourceclaim", "c1")


async def test_two_server_side_appliers_conflict_until_one_forces(kubectl):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: VALUE}\n"
    one = ("apply", "--server-side", "--field-manager=one", "-f", "-")
    two = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    await kubectl(*one, stdin=text.replace("VALUE", "first"))
    said = await kubectl.fails(*two, stdin=text.replace("VALUE", "second"))
    assert 'Apply failed with 1 conflict: conflict with "one": .data.a' in said
    await kubectl(*two, "--force-conflicts", stdin=text.replace("VALUE", "second"))
    shown = json.loads(await kubectl("get", "cm", "m", "-o", "json", "--show-managed-fields"))
    assert shown["data"] == {"a": "second"}
    assert [entry["manager"] for entry in shown["metadata"]["managedFields"]] == ["two"]


async def test_client_side_apply_moves_over_to_server_side_apply(kubectl):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: VALUE}\n"
    await kubectl("apply", "-f", "-", stdin=text.replace("VALUE", "first"))
    await kubectl("apply", "--server-side", "-f", "-", stdin=text.replace("VALUE", "second"))
    shown = json.loads(await kubectl("get", "cm", "m", "-o", "json", "--show-managed-fields"))
    managers = {e["manager"]: e["operation"] for e in shown["metadata"]["managedFields"]}
    assert shown["data"] == {"a": "second"}
    assert managers["kubectl"] == "Apply"
    assert "kubectl-client-side-apply" not in managers


async def test_a_pods_life_shows_in_get_wait_logs_and_describe(kubectl):
    await kubectl("apply", "-f", "-", stdin=POD)
    done = "jsonpath={.status.phase}=Succeeded"
    assert "met" in await kubectl("wait", f"--for={done}", "pod/talker", "--timeout=20s")
    lines = "".join(f"line {i}\n" for i in range(1, 5))
    assert await kubectl("logs", "talker", "-c", "main") == lines
    assert await kubectl("logs", "talker", "-c", "main", "--tail=1") == "line 4\n"
    assert await kubectl("logs", "-f", "talker", "-c", "main", "--tail=2") == "line 3\nline 4\n"
    assert await kubectl("logs", "talker", "-c", "main", "--limit-bytes=6") == "line 1"
    assert "line 4" in await kubectl("logs", "-l", "app=talk", "-c", "main")
    assert "keeps no such thing" in await kubectl.fails("logs", "talker", "-c", "main", "-p")
    shown = json.loads(await kubectl("get", "pod", "talker", "-o", "json", "--show-managed-fields"))
    managers = {entry["manager"] for entry in shown["metadata"]["managedFields"]}
    assert managers == {"kubectl-client-side-apply", "kubelet"}
    row = (await kubectl("get", "pod", "talker")).splitlines()[1].split()
    assert row[:4] == ["talker", "0/2", "Completed", "0"]
    told = await kubectl("describe", "pod", "talker")
    assert "Scheduled" in told
    assert "Exit Code:    0" in told


async def test_every_kind_has_kubernetes_own_columns(kubectl):
    await kubectl("apply", "-f", "-", stdin=f"{CLAIM}---{POD}")
    await kubectl("create", "deployment", "web", "--image=none", "--replicas=0")
    wanted = {
        "pods": "NAME|READY|STATUS|RESTARTS|AGE",
        "nodes": "NAME|STATUS|ROLES|AGE|VERSION",
        "namespaces": "NAME|STATUS|AGE",
        "resourceclaims": "NAME|STATE|AGE",
        "deployments": "NAME|READY|UP-TO-DATE|AVAILABLE|AGE",
        "events": "LAST SEEN|TYPE|REASON|OBJECT|MESSAGE",
        "leases -n kube-node-lease": "NAME|HOLDER|AGE",
    }
    await kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=20s")
    await kubectl("wait", "--for=condition=PodScheduled", "pod/talker", "--timeout=20s")
    for what, expected in wanted.items():
        head = (await kubectl("get", *what.split())).splitlines()[0]
        assert [part.strip() for part in head.split("   ") if part.strip()] == columns(expected)
    wide = (await kubectl("get", "pods", "-o", "wide")).splitlines()[0]
    assert "NOMINATED NODE" in wide


async def test_scaling_and_patching_a_deployment(kubectl):
    await kubectl("create", "deployment", "web", "--image=one", "--replicas=0")
    assert "scaled" in await kubectl("scale", "deployment", "web", "--replicas=2")
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "one", "tty": True}]}}}}
    await kubectl("patch", "deployment", "web", "-p", json.dumps(patch))
    shown = json.loads(await kubectl("get", "deployment", "web", "-o", "json"))
    container = shown["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["tty"]) == ("one", True)
    replaced = '[{"op": "replace", "path": "/spec/replicas", "value": 0}]'
    await kubectl("patch", "deployment", "web", "--type=json", "-p", replaced)


async def test_a_custom_resource_from_definition_to_deletion(kubectl, definition):
    await kubectl("apply", "-f", "-", stdin=json.dumps(definition))
    name = "crd/computes.example.com"
    assert "met" in await kubectl("wait", "--for=condition=Established", name, "--timeout=10s")
    compute = "apiVersion: example.com/v1\nkind: Compute\nmetadata: {name: c}\nspec: {size: 3}\n"
    assert "created" in await kubectl("apply", "-f", "-", stdin=compute)
    lines = (await kubectl("get", "cmp", "-o", "wide")).splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "PHASE"]
    assert lines[1].split()[:2] == ["c", "3"]
    assert "size\t<integer>" in await kubectl("explain", "compute.spec")
    said = await kubectl.fails("apply", "-f", "-", stdin=compute.replace("3", "12"))
    assert "spec.size in body should be less than or equal to 9" in said
    await kubectl("patch", "compute", "c", "--type=merge", "-p", '{"spec": {"mode": "slow"}}')
    assert "Mode:  slow" in await kubectl("describe", "compute", "c")
    await kubectl("delete", name)
    assert "could not find the requested resource" in await kubectl.fails("get", "computes")


async def test_discovery_explanations_and_permissions(kubectl):
    listed = await kubectl("api-resources", "--api-group=resource.k8s.io", "-o", "name")
    assert "resourceslices.resource.k8s.io" in listed.split()
    assert "requests\t<[]DeviceRequest>" in await kubectl("explain", "resourceclaim.spec.devices")
    assert (await kubectl("auth", "can-i", "create", "pods")).strip() == "yes"
    assert "Server Version: v1.36" in await kubectl("version")
    for arguments in (
        ("namespace", "team"),
        ("configmap", "m", "--from-literal=a=b"),
        ("secret", "generic", "s", "--from-literal=a=b"),
        ("serviceaccount", "robot"),
        ("job", "j", "--image=none"),
    ):
        assert "created" in await kubectl("create", *arguments)
    encoded = await kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}")
    assert encoded == "Yg=="


async def test_faults_can_be_planned_with_kubectl(kubectl, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"effect": "fail", "verb": "list", "resource": "pods", "code": 403}))
    await kubectl("create", "--raw", "/testbed/faults", "-f", str(plan))
    assert "Forbidden" in await kubectl.fails("get", "pods")
    assert await kubectl("get", "pods") == ""
