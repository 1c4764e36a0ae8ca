"""Tokens, roles and the permissions that a node's driver needs, tried over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from datetime import timedelta

import aiohttp
import pytest

from pydra_testbed.api import ADMIN, NODE_NAME, RBAC, ApiServer, Authorization, Bound, User

RESOURCE = "/apis/resource.k8s.io/v1"
CLAIM = f"{RESOURCE}/namespaces/default/resourceclaims/c1"
RULES = "rbac.authorization.k8s.io"
ACCOUNT = "system:serviceaccount:drivers:oven"
DRIVER_RULES = [
    {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["get", "list"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims/status"],
        "verbs": ["update", "patch"],
    },
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims/driver"],
        "resourceNames": ["oven.example.com"],
        "verbs": ["associated-node:update", "associated-node:patch"],
    },
]
DEVICE = {"driver": "oven.example.com", "pool": "n1", "device": "d0"}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Warm",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


class Cluster:
    """A server with roles, and callers of it."""

    def __init__(self, server: ApiServer, url: str) -> None:
        self.server = server
        self.url = url

    async def call(self, token: str, method: str, path: str, body=None, media="application/json"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body)
        if data:
            headers["Content-Type"] = media
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, data=data, headers=headers) as reply,
        ):
            return reply.status, json.loads(await reply.text())

    async def grant(self, name: str, rules: list, subject: dict, namespace: str = "") -> None:
        role = {"metadata": {"name": name}, "rules": rules}
        binding = {
            "metadata": {"name": name},
            "subjects": [subject],
            "roleRef": {"kind": "Role" if namespace else "ClusterRole", "name": name},
        }
        kind = "role" if namespace else "clusterrole"
        await self.server.local.create(f"{kind}s", role, namespace)
        await self.server.local.create(f"{kind}bindings", binding, namespace)

    def driver_on(self, node: str) -> str:
        bound = [Bound("node", node)] if node else []
        return self.server.tokens.for_service_account("drivers", "oven", bound=bound).text


@pytest.fixture
async def cluster(clock):
    server = ApiServer(clock, authorization=RBAC)
    async with server.listen() as url:
        yield Cluster(server, url)


@pytest.fixture
async def driver(cluster):
    """The driver's role, and a claim allocated on node n1."""
    await cluster.server.local.create("namespaces", {"metadata": {"name": "drivers"}})
    subject = {"kind": "ServiceAccount", "namespace": "drivers", "name": "oven"}
    await cluster.grant("oven", DRIVER_RULES, subject)
    local = cluster.server.local
    claim = {
        "metadata": {"name": "c1", "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "oven"}}]}},
    }
    claim = await local.create("resourceclaims", claim)
    field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    claim["status"] = {
        "allocation": {
            "devices": {"results": [{"request": "r"} | DEVICE]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
        }
    }
    return await local.update("resourceclaims", claim, "status")


async def test_a_request_without_a_token_or_with_a_wrong_one_is_unauthorized(cluster):
    for token in ("", "made-up", "a.b.c"):
        status, body = await cluster.call(token, "GET", "/api/v1/pods")
        assert (status, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized")


async def test_what_no_role_allows_is_forbidden_in_kubernetes_words(cluster):
    token = cluster.server.tokens.add(User("jane"))
    status, body = await cluster.call(token, "GET", "/api/v1/namespaces/default/pods/p1")
    assert (status, body["reason"]) == (403, "Forbidden")
    assert body["message"] == (
        'pods "p1" is forbidden: User "jane" cannot get resource "pods" in API group "" '
        'in the namespace "default"'
    )
    assert body["details"] == {"name": "p1", "kind": "pods"}
    status, body = await cluster.call(token, "GET", f"{RESOURCE}/resourceslices")
    assert body["message"] == (
        'resourceslices.resource.k8s.io is forbidden: User "jane" cannot list resource '
        '"resourceslices" in API group "resource.k8s.io" at the cluster scope'
    )


async def test_everybody_with_a_token_may_discover(cluster):
    token = cluster.server.tokens.add(User("jane"))
    for path in ("/api", "/apis", "/version", RESOURCE):
        status, _ = await cluster.call(token, "GET", path)
        assert status == 200


async def test_a_role_holds_in_its_namespace_alone(cluster):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
    await cluster.grant("writer", rules, {"kind": "User", "name": "jane"}, "default")
    token = cluster.server.tokens.add(User("jane"))
    body = {"metadata": {"name": "m"}}
    paths = [f"/api/v1/namespaces/{name}/configmaps" for name in ("default", "kube-system")]
    assert [(await cluster.call(token, "POST", path, body))[0] for path in paths] == [201, 403]


async def test_a_rule_with_names_allows_those_objects_alone(cluster):
    rules = [
        {
            "apiGroups": [""],
            "resources": ["namespaces"],
            "resourceNames": ["default"],
            "verbs": ["get"],
        }
    ]
    await cluster.grant("reader", rules, {"kind": "Group", "name": "cooks"})
    token = cluster.server.tokens.add(User("jane", ("cooks",)))
    paths = [f"/api/v1/namespaces/{name}" for name in ("default", "kube-system")]
    assert [(await cluster.call(token, "GET", path))[0] for path in paths] == [200, 403]


async def test_a_driver_writes_the_status_of_devices_on_its_own_node_alone(cluster, driver):
    driver["status"]["devices"] = [DEVICE | {"conditions": [READY]}]
    for node in ("n2", ""):
        status, body = await cluster.call(cluster.driver_on(node), "PUT", f"{CLAIM}/status", driver)
        assert (status, body["details"]["causes"][0]["field"]) == (422, "status.devices")
        assert (
            f'User "{ACCOUNT}" cannot arbitrary-node:update resource "resourceclaims/driver"'
            in body["message"]
        )
    status, body = await cluster.call(cluster.driver_on("n1"), "PUT", f"{CLAIM}/status", driver)
    assert status == 200
    assert body["status"]["devices"][0]["conditions"][0]["reason"] == "Warm"


@pytest.mark.usefixtures("driver")
async def test_a_driver_patches_on_its_own_node_alone(cluster):
    patch = {"status": {"devices": [DEVICE]}}
    media = "application/merge-patch+json"
    answers = [
        (await cluster.call(cluster.driver_on(node), "PATCH", f"{CLAIM}/status", patch, media))[0]
        for node in ("n2", "n1")
    ]
    assert answers == [422, 200]


async def test_an_allocation_for_a_node_in_a_zone_is_not_the_nodes_own(cluster, driver):
    local = cluster.server.local
    devices = driver["status"]["allocation"]["devices"]
    await local.update("resourceclaims", {**driver, "status": {}}, "status")
    claim = await local.get("resourceclaims", "c1", "default")
    where = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    zone = {"key": "zone", "operator": "Exists"}
    selector = {"nodeSelectorTerms": [{"matchFields": [where], "matchExpressions": [zone]}]}
    claim["status"] = {"allocation": {"devices": devices, "nodeSelector": selector}}
    claim = await local.update("resourceclaims", claim, "status")
    claim["status"]["devices"] = [DEVICE]
    status, _ = await cluster.call(cluster.driver_on("n1"), "PUT", f"{CLAIM}/status", claim)
    assert status == 422


async def test_who_allocates_and_reports_at_once_is_judged_by_the_new_allocation(cluster, driver):
    binding = [{**DRIVER_RULES[1], "resources": ["resourceclaims/binding"]}]
    subject = {"kind": "ServiceAccount", "namespace": "drivers", "name": "oven"}
    await cluster.grant("binder", binding, subject)
    allocation = driver["status"]["allocation"]
    claim = await cluster.server.local.update("resourceclaims", {**driver, "status": {}}, "status")
    claim["status"] = {"allocation": allocation, "devices": [DEVICE]}
    answers = [
        (await cluster.call(cluster.driver_on(node), "PUT", f"{CLAIM}/status", claim))[0]
        for node in ("n2", "n1")
    ]
    assert answers == [422, 200]


async def test_each_share_of_a_device_is_somebodys(cluster, driver):
    local = cluster.server.local
    shares = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]
    entries = [{**DEVICE, "driver": "grill.example.com", "shareID": share} for share in shares]
    allocation = driver["status"]["allocation"]
    claim = await local.update("resourceclaims", {**driver, "status": {}}, "status")
    devices = {"results": [{"request": "r"} | entry for entry in entries]}
    claim["status"] = {"allocation": {**allocation, "devices": devices}, "devices": entries}
    claim = await local.update("resourceclaims", claim, "status")
    claim["status"]["devices"][0]["conditions"] = [READY]
    status, body = await cluster.call(cluster.driver_on("n1"), "PUT", f"{CLAIM}/status", claim)
    assert (status, body["details"]["causes"][0]["field"]) == (422, "status.devices")


async def test_a_rule_for_a_subresource_of_everything_holds_for_it_alone(cluster):
    rule = {"apiGroups": [""], "resources": ["*/status"], "verbs": ["patch"]}
    await cluster.grant("reporter", [rule], {"kind": "User", "name": "jane"})
    token = cluster.server.tokens.add(User("jane"))
    answers = []
    for subresource in ("status", "log", ""):
        wanted = {"resource": "pods", "subresource": subresource, "verb": "patch"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {"spec": {"resourceAttributes": wanted}}
        answers.append((await cluster.call(token, "POST", path, body))[1]["status"]["allowed"])
    assert answers == [True, False, False]


async def test_a_token_for_somebody_else_is_none(cluster):
    token = cluster.server.tokens.for_service_account("drivers", "oven", audiences=["vault"]).text
    assert (await cluster.call(token, "GET", "/api/v1/pods"))[0] == 401


async def test_who_comes_with_a_wrong_token_is_not_one_who_comes_without(clock):
    server = ApiServer(clock, authorization=Authorization("RBAC", without_token=ADMIN))
    async with server.listen() as url:
        cluster = Cluster(server, url)
        answers = [(await cluster.call(token, "GET", "/api/v1/pods"))[0] for token in ("", "x")]
    assert answers == [200, 401]


async def test_a_driver_cannot_speak_for_another_driver(cluster, driver):
    driver["status"]["devices"] = [DEVICE | {"driver": "grill.example.com"}]
    _, body = await cluster.call(cluster.driver_on("n1"), "PUT", f"{CLAIM}/status", driver)
    assert body["details"]["causes"][0]["message"].startswith(
        'Forbidden: changing status.devices requires resource="resourceclaims/driver"'
    )


async def test_a_driver_cannot_allocate(cluster, driver):
    driver["status"].pop("allocation")
    _, body = await cluster.call(cluster.driver_on("n1"), "PUT", f"{CLAIM}/status", driver)
    assert 'requires resource="resourceclaims/binding", verb="update" permission' in body["message"]


async def test_without_the_gate_the_status_permission_is_enough(clock):
    gates = {"DRAResourceClaimGranularStatusAuthorization": False}
    server = ApiServer(clock, authorization=RBAC, gates=gates)
    async with server.listen() as url:
        cluster = Cluster(server, url)
        await cluster.grant("any", DRIVER_RULES[:2], {"kind": "User", "name": "jane"})
        claim = {
            "metadata": {"name": "c1", "namespace": "default"},
            "spec": {},
            "status": {"allocation": {"devices": {}}},
        }
        await server.local.create("resourceclaims", claim)
        token = server.tokens.add(User("jane"))
        status, _ = await cluster.call(token, "PUT", f"{CLAIM}/status", claim)
        assert status == 200


async def test_a_token_ends_with_its_time_and_cannot_be_altered(cluster, clock):
    await cluster.grant("oven", DRIVER_RULES, {"kind": "User", "name": ACCOUNT})
    path = f"{RESOURCE}/resourceclaims"
    token = cluster.server.tokens.for_service_account("drivers", "oven", life=timedelta(hours=1))
    head, claims, signature = token.text.split(".")
    own = json.loads(base64.urlsafe_b64decode(claims + "=="))
    own["sub"] = "system:serviceaccount:kube-system:admin"
    forged = base64.urlsafe_b64encode(json.dumps(own).encode()).rstrip(b"=").decode()
    assert (await cluster.call(token.text, "GET", path))[0] == 200
    assert (await cluster.call(f"{head}.{forged}.{signature}", "GET", path))[0] == 401
    await clock.advance(3601)
    assert (await cluster.call(token.text, "GET", path))[0] == 401


async def test_a_token_request_gives_a_token_bound_to_the_pods_node(cluster):
    local = cluster.server.local
    await local.create("serviceaccounts", {"metadata": {"name": "oven"}}, "default")
    pod = {
        "metadata": {"name": "p1"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "example.com/i"}]},
    }
    await local.create("pods", pod, "default")
    admin = cluster.server.tokens.add(User("root", ("system:masters",)))
    path = "/api/v1/namespaces/default/serviceaccounts/oven/token"
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p1"}
    status, body = await cluster.call(admin, "POST", path, {"spec": {"boundObjectRef": ref}})
    assert (status, body["kind"]) == (201, "TokenRequest")
    status, who = await cluster.call(
        body["status"]["token"],
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {},
    )
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:oven"
    assert who["status"]["userInfo"]["extra"][NODE_NAME] == ["n1"]
    status, body = await cluster.call(admin, "POST", path, {"spec": {"expirationSeconds": 10}})
    assert "may not specify a duration less than 10 minutes" in body["message"]


async def test_a_token_review_tells_whose_token_it_is(cluster):
    admin = cluster.server.tokens.add(User("root", ("system:masters",)))
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    token = cluster.driver_on("n1")
    _, known = await cluster.call(admin, "POST", path, {"spec": {"token": token}})
    _, unknown = await cluster.call(admin, "POST", path, {"spec": {"token": "x"}})
    assert known["status"]["authenticated"]
    assert known["status"]["user"]["username"] == ACCOUNT
    assert not unknown["status"].get("authenticated")


@pytest.mark.usefixtures("driver")
async def test_can_i_answers_for_oneself_and_for_others(cluster):
    wanted = {
        "group": "resource.k8s.io",
        "resource": "resourceclaims",
        "subresource": "driver",
        "name": "oven.example.com",
        "namespace": "default",
    }
    own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    token = cluster.driver_on("n1")
    answers = []
    for verb in ("associated-node:update", "arbitrary-node:update"):
        spec = {"resourceAttributes": wanted | {"verb": verb}}
        _, body = await cluster.call(token, "POST", own, {"spec": spec})
        answers.append(body["status"]["allowed"])
    assert answers == [True, False]
    admin = cluster.server.tokens.add(User("root", ("system:masters",)))
    others = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    spec = {"user": ACCOUNT, "resourceAttributes": {"verb": "delete", "resource": "pods"}}
    _, body = await cluster.call(admin, "POST", others, {"spec": spec})
    assert body["status"] == {"allowed": False}
    assert (await cluster.call(token, "POST", others, {"spec": spec}))[0] == 403


@pytest.mark.usefixtures("driver")
async def test_a_rules_review_lists_what_one_may_do(cluster):
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    spec = {"spec": {"namespace": "default"}}
    _, body = await cluster.call(cluster.driver_on("n1"), "POST", path, spec)
    resources = [name for rule in body["status"]["resourceRules"] for name in rule["resources"]]
    assert {"resourceclaims/driver", "selfsubjectreviews"} <= set(resources)
    assert any("/apis/*" in rule["nonResourceURLs"] for rule in body["status"]["nonResourceRules"])


async def test_roles_are_judged(cluster):
    admin = cluster.server.tokens.add(User("root", ("system:masters",)))
    path = f"/apis/{RULES}/v1/clusterroles"
    role = {"metadata": {"name": "system:x"}, "rules": [{"resources": ["pods"]}]}
    _, body = await cluster.call(admin, "POST", path, role)
    assert [cause["field"] for cause in body["details"]["causes"]] == [
        "rules[0].verbs",
        "rules[0].apiGroups",
    ]
    await cluster.grant("reader", [], {"kind": "User", "name": "jane"})
    path = f"/apis/{RULES}/v1/clusterrolebindings/reader"
    _, binding = await cluster.call(admin, "GET", path)
    binding["roleRef"]["name"] = "cluster-admin"
    status, body = await cluster.call(admin, "PUT", path, binding)
    assert (status, body["details"]["causes"][0]["field"]) == (422, "roleRef")


async def test_without_authorization_nobody_needs_a_token(clock):
    server = ApiServer(clock)
    async with server.listen() as url:
        status, _ = await Cluster(server, url).call("", "GET", "/api/v1/pods")
        assert status == 200


def test_an_unknown_mode_is_refused(clock):
    with pytest.raises(ValueError, match="ABAC"):
        ApiServer(clock, authorization=Authorization("ABAC"))


async def test_who_may_impersonate_acts_in_anothers_place(cluster):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    await cluster.grant("reader", rules, {"kind": "User", "name": "jane"})
    admin = cluster.server.tokens.add(User("root", ("system:masters",)))
    path = "/api/v1/configmaps"
    headers = {"Authorization": f"Bearer {admin}", "Impersonate-User": "jane"}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
        statuses = [(await session.get(p)).status for p in (path, "/api/v1/pods")]
    assert statuses == [200, 403]
    jane = cluster.server.tokens.add(User("jane"))
    headers = {"Authorization": f"Bearer {jane}", "Impersonate-User": "root"}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
        reply = await session.get(path)
        assert reply.status == 403
        assert (await reply.json())["message"] == (
            'users "root" is forbidden: User "jane" cannot impersonate resource "users" in API '
            'group "" at the cluster scope'
        )


async def test_a_driver_tried_by_impersonation_is_bound_to_the_node_it_names(cluster, driver):
    driver["status"]["devices"] = [DEVICE]
    admin = cluster.server.tokens.add(ADMIN)
    statuses = []
    for node in ("n2", "n1"):
        headers = {
            "Authorization": f"Bearer {admin}",
            "Impersonate-User": ACCOUNT,
            "Impersonate-Extra-authentication.kubernetes.io%2Fnode-name": node,
        }
        async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
            statuses.append((await session.put(f"{CLAIM}/status", json=driver)).status)
    assert statuses == [422, 200]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl_asks_what_somebody_may_do(clock):
    server = ApiServer(clock, authorization=Authorization("RBAC", without_token=ADMIN))
    async with server.listen() as url:
        cluster = Cluster(server, url)
        await cluster.grant("oven", DRIVER_RULES, {"kind": "User", "name": "jane"})
        answers = []
        for verb in ("get", "delete"):
            arguments = ("auth", "can-i", verb, "resourceclaims.resource.k8s.io", "--as=jane")
            process = await asyncio.create_subprocess_exec(
                "kubectl", f"--server={url}", *arguments, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            answers.append(output.decode().strip())
    assert answers == ["yes", "no"]


async def test_an_apply_that_creates_needs_the_permission_to_create(cluster):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    path = "/api/v1/namespaces/default/configmaps/m?fieldManager=jane"
    media = "application/apply-patch+yaml"
    token = cluster.server.tokens.add(User("jane"))
    statuses = []
    for verb in ("patch", "create"):
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}]
        await cluster.grant(verb, rules, {"kind": "User", "name": "jane"}, "default")
        statuses.append((await cluster.call(token, "PATCH", path, body, media))[0])
    assert statuses == [403, 201]
