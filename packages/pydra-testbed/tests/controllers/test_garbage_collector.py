from __future__ import annotations


def owned_by(*owners):
    return [
        {
            "apiVersion": owner.get("apiVersion", "v1"),
            "kind": owner.get("kind", "ConfigMap"),
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        for owner in owners
    ]


async def owned(cluster, name, *owners, resource="secrets"):
    made = await cluster.create(resource, name)
    made["metadata"]["ownerReferences"] = owned_by(*owners)
    return await cluster.api.update(resource, made)


async def test_dependants_go_when_their_owner_is_gone_and_theirs_after_them(cluster):
    owner = await cluster.create("configmaps", "owner")
    child = await owned(cluster, "child", owner, resource="configmaps")
    await owned(cluster, "grandchild", child)
    await cluster.calm()
    assert await cluster.get("secrets", "grandchild") is not None
    await cluster.delete("configmaps", "owner")
    await cluster.calm()
    assert await cluster.get("configmaps", "child") is None
    assert await cluster.get("secrets", "grandchild") is None


async def test_an_owner_made_anew_under_its_name_is_another_one(cluster):
    owner = await cluster.create("configmaps", "owner")
    await owned(cluster, "child", owner)
    await cluster.delete("configmaps", "owner")
    await cluster.create("configmaps", "owner")
    await cluster.calm()
    assert await cluster.get("secrets", "child") is None


async def test_with_one_of_two_owners_left_only_the_reference_goes(cluster):
    first = await cluster.create("configmaps", "first")
    second = await cluster.create("configmaps", "second")
    await owned(cluster, "child", first, second)
    await cluster.delete("configmaps", "first")
    await cluster.calm()
    child = await cluster.get("secrets", "child")
    assert [owner["name"] for owner in child["metadata"]["ownerReferences"]] == ["second"]


async def test_a_node_takes_its_slices_along(cluster):
    node = await cluster.get("nodes", "n1")
    made = await cluster.slice("s1", ["d0"])
    made["metadata"]["ownerReferences"] = owned_by({**node, "kind": "Node"})
    await cluster.api.update("resourceslices", made)
    await cluster.calm()
    assert await cluster.get("resourceslices", "s1") is not None
    await cluster.delete("nodes", "n1")
    await cluster.calm()
    assert await cluster.get("resourceslices", "s1") is None


async def test_an_owner_of_an_unknown_kind_counts_as_present(cluster):
    owner = {"kind": "Thing", "metadata": {"name": "x", "uid": "u"}, "apiVersion": "example.com/v1"}
    await owned(cluster, "child", owner)
    await cluster.calm()
    assert await cluster.get("secrets", "child") is not None


async def test_a_failed_deletion_is_tried_again(cluster):
    owner = await cluster.create("configmaps", "owner")
    await owned(cluster, "child", owner)
    await cluster.calm()
    cluster.server.faults.fail("delete", "secrets", 500, times=2)
    await cluster.delete("configmaps", "owner")
    await cluster.calm()
    assert await cluster.get("secrets", "child") is not None
    await cluster.clock.advance(1)
    await cluster.calm()
    assert await cluster.get("secrets", "child") is None
