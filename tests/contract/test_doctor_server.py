"""`doctor` and the API server: reachable, new enough, of one mind about node, token and time."""

from __future__ import annotations

import asyncio
import email.utils
import json
import socket
import time

import pytest
import yaml
from aiohttp import web
from doctor_node import NODE, answering, bound_to, examined, jwt, node, node_object

__all__ = ["node"]


@pytest.mark.parametrize("runtime", ["containerd://1.7.13", "containerd://2.1.0", "cri-o://1.33.1"])
async def test_settings_of_a_runtime_that_cannot_be_seen_are_no_finding(node, runtime):
    (node.host / "etc/containerd/config.toml").unlink()
    done = await examined(node, node_1=node_object(runtime=runtime))
    assert done.code == 0
    assert done.says("runtime: settings", "skipped", "mount the node's root and give --host DIR")


async def test_a_pod_without_its_service_account_is_told_to_mount_it(node):
    done = await node.doctor(KUBERNETES_SERVICE_HOST="127.0.0.1")
    assert done.says("api: access", "finding", "certificate authority cannot be read")
    assert done.fix("api: access").startswith(
        "mount the service account (automountServiceAccountToken"
    )


async def test_a_kubeconfig_that_cannot_be_used_says_how_to_check_it(node):
    config = node.root / "kubeconfig"
    config.write_text("clusters: []")
    done = await node.doctor(KUBECONFIG=str(config))
    assert done.fix("api: access") == f"check it with `kubectl --kubeconfig {config} version`"


async def test_an_api_server_that_is_not_there_is_one_finding(node):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    node.kubeconfig(url)
    done = await node.doctor()
    assert [r["check"] for r in done.findings] == ["api: server"]
    assert f"make {url} reachable from this node" in done.fix("api: server")


async def test_an_api_server_that_never_answers_costs_five_seconds_not_the_table(node):
    async def never(_):
        await asyncio.Event().wait()

    done = await examined(node, version=never, node_1=never)
    assert done.says("api: server", "finding", "no answer within 5 s")


@pytest.mark.parametrize(
    ("changes", "check", "seen", "fix"),
    [
        (
            {"version": {"gitVersion": "v1.33.4"}},
            "api: server",
            "Kubernetes v1.33.4",
            "upgrade the cluster to",
        ),
        (
            {"version": 401},
            "api: server",
            "401, the token is not accepted",
            "use a token of this cluster",
        ),
        (
            {"resource_k8s_io": {"versions": [{"version": "v1beta2"}, {"version": "v1beta1"}]}},
            "api: resource.k8s.io/v1",
            "served: v1beta2, v1beta1; v1 is not",
            "upgrade the cluster to Kubernetes 1.34 or newer: this driver speaks v1 alone",
        ),
        (
            {"resource_k8s_io": 404},
            "api: resource.k8s.io/v1",
            "is not served",
            "upgrade to Kubernetes 1.34",
        ),
        (
            {"resource_k8s_io": 403},
            "api: resource.k8s.io/v1",
            "answers 403",
            "let the driver's service account",
        ),
        (
            {"node_1": 404},
            "node: name",
            "there is no node node-1",
            "take the name from the downward API",
        ),
        (
            {"node_1": node_object(kubelet="v1.33.1")},
            "node: kubelet",
            "v1.33.1: Dynamic Resource Allocation is off",
            "upgrade the kubelet to 1.34 or newer, or start it with",
        ),
        (
            {"node_1": node_object(kubelet="v1.31.0")},
            "node: kubelet",
            "v1.31.0: does not",
            "upgrade the kubelet",
        ),
        (
            {"node_1": node_object(runtime="containerd://1.6.1")},
            "runtime: CDI",
            "containerd 1.6.1 (node status)",
            "upgrade containerd to 1.7",
        ),
    ],
)
async def test_what_a_cluster_lacks_is_found(node, changes, check, seen, fix):
    done = await examined(node, **changes)
    assert done.says(check, "finding", seen)
    assert done.fix(check).startswith(fix)


async def test_a_node_of_another_name_is_suggested(node):
    done = await examined(node, environ={"NODE_NAME": "NODE-1.example.com"})
    assert done.says("node: name", "finding", "no node NODE-1.example.com, but there is node-1")
    assert done.fix("node: name").startswith(
        "set NODE_NAME=node-1, better from the downward API:\nenv:\n"
    )


async def test_without_a_node_name_the_fix_is_the_downward_api(node):
    done = await examined(node, environ={"NODE_NAME": ""})
    assert done.says("node: name", "finding", "NODE_NAME is not set")
    (variable,) = yaml.safe_load(done.fix("node: name").partition("\n")[2])["env"]
    assert variable == {
        "name": "NODE_NAME",
        "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
    }


@pytest.mark.parametrize(
    ("token", "check", "seen", "fix"),
    [
        (
            bound_to(NODE, minutes=-5),
            "api: token",
            "minutes ago",
            "in a pod, use the projected",
        ),
        (
            bound_to("other"),
            "api: token's node",
            "bound to node other",
            "set NODE_NAME from the downward API",
        ),
        (
            jwt(exp=4e9),
            "api: token's node",
            "bound to no node",
            "run in a pod on this node with a projected",
        ),
    ],
)
async def test_tokens_that_will_be_refused_are_found_and_not_shown(node, token, check, seen, fix):
    done = await examined(node, {"token": token})
    assert done.says(check, "finding", seen)
    assert done.fix(check).startswith(fix)
    assert token not in done.out


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.bm90IGpzb24.c", jwt(exp="soon"), jwt(exp=10**400)]
)
async def test_tokens_that_say_nothing_are_no_finding(node, token):
    done = await examined(node, {"token": token})
    assert [r["check"] for r in done.findings if r["check"] == "api: token"] == []
    assert done.row("api: token")["state"] == "skipped"


async def test_a_token_file_that_is_missing_is_found(node):
    done = await examined(node, {"tokenFile": str(node.root / "no")})
    assert done.fix("api: token").startswith("mount the service account's token")


@pytest.mark.parametrize(("ahead", "words"), [(-120, "120 s ahead of"), (120, "120 s behind")])
async def test_a_clock_that_is_off_is_found(node, ahead, words):
    async def version(_):
        date = email.utils.formatdate(time.time() + ahead, usegmt=True)
        return web.json_response({"gitVersion": "v1.36.2"}, headers={"Date": date})

    done = await examined(node, version=version)
    assert done.says("api: clock", "finding", "the API server: tokens and leases go by the clock")
    seen = done.row("api: clock")["seen"]
    assert any(w in seen for w in (words, words.replace("120", "119"), words.replace("120", "121")))
    assert done.fix("api: clock").startswith("set the clock: `timedatectl set-ntp true`")


HOSTILE = {
    "no JSON": b"<html>",
    "a list": b"[1]",
    "deep": b"[" * 100_000,
    "wrong types": json.dumps({"gitVersion": 7, "versions": {"a": 1}, "status": "yes"}).encode(),
    "nothing": b"",
    "a terminal's escape": json.dumps(
        {"gitVersion": "v1.36.2\x1b[2J", "versions": [{"version": "v1"}]}
    ).encode(),
    "a redirect": 302,
    "an error": 500,
    "endless": b"x" * (5 << 20),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_server_breaks_nothing(node, answer):
    routes = dict.fromkeys(
        ("version", "resource_k8s_io", "selfsubjectaccessreviews", "node_1"), answer
    )
    async with answering(**routes) as url:
        node.kubeconfig(url)
        done = await node.doctor()
    assert done.code in (0, 1)
    assert done.err == ""
    assert "the check itself failed" not in done.out
    assert "\\u001b" not in done.out
