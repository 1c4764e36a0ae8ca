"""What single kinds do beyond storing: namespaces, owners, events, secrets."""

from __future__ import annotations


async def test_objects_live_in_namespaces_that_exist(kube, samples):
    claims = "/apis/resource.k8s.io/v1/namespaces/team/resourceclaims"
    status = await kube.refused("POST", claims, samples("claim"))
    assert (status["code"], status["message"]) == (404, 'namespaces "team" not found')
    made = await kube.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    await kube.ok("POST", claims, samples("claim"))


async def test_a_namespace_lets_nothing_in_once_it_is_deleted_and_waits_for_the_last(kube, samples):
    await kube.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    claims = "/apis/resource.k8s.io/v1/namespaces/team/resourceclaims"
    await kube.ok("POST", claims, samples("claim"))
    going = await kube.ok("DELETE", "/api/v1/namespaces/team")
    assert going["status"]["phase"] == "Terminating"
    status = await kube.refused("POST", claims, samples("claim", metadata__name="late"))
    assert (status["code"], "being terminated" in status["message"]) == (403, True)
    await kube.ok("DELETE", f"{claims}/c1")
    assert (await kube.call("GET", "/api/v1/namespaces/team")).status == 404


async def test_events_are_the_same_objects_in_both_their_groups(kube):
    old = "/api/v1/namespaces/default/events"
    new = "/apis/events.k8s.io/v1/namespaces/default/events"
    event = {
        "metadata": {"name": "e1"},
        "involvedObject": {"kind": "Pod", "name": "p1"},
        "message": "hello",
        "reason": "Testing",
    }
    await kube.ok("POST", old, event)
    seen = await kube.ok("GET", f"{new}/e1")
    assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == (
        "events.k8s.io/v1",
        "hello",
        "p1",
    )
    seen["note"] = "changed"
    await kube.ok("PUT", f"{new}/e1", seen)
    found = await kube.ok("GET", old, fieldSelector="involvedObject.name=p1,reason=Testing")
    assert [item["message"] for item in found["items"]] == ["changed"]
    found = await kube.ok("GET", new, fieldSelector="regarding.name=p1")
    assert [item["note"] for item in found["items"]] == ["changed"]


async def test_secrets_take_plain_text_and_keep_it_encoded(kube):
    secret = {"metadata": {"name": "s"}, "stringData": {"key": "value"}}
    made = await kube.ok("POST", "/api/v1/namespaces/default/secrets", secret)
    assert (made["type"], made["data"]) == ("Opaque", {"key": "dmFsdWU="})
