"""ResourceSlices of a node that no driver stands behind are deleted."""


async def slices(node):
    listing = await node.api.list("resourceslices")
    return sorted(item["metadata"]["name"] for item in listing.items)


async def publish(node, name, *, driver="card.example.com", on="node-a"):
    pool = {"name": on, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": on, "pool": pool, "devices": [{"name": "dev-0"}]}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "spec": spec}
    await node.api.create("resourceslices", {**body, "metadata": {"name": name}})


async def test_all_slices_of_the_node_are_deleted_at_start(node):
    await publish(node, "mine")
    await publish(node, "other-driver", driver="other.example.com")
    await publish(node, "other-node", on="node-b")
    await node.start()
    await node.until_gone("resourceslices", "mine", "")
    await node.until_gone("resourceslices", "other-driver", "")
    assert await slices(node) == ["other-node"]


async def test_a_wipe_the_api_server_refuses_is_tried_again(stepped):
    await publish(stepped, "mine")
    stepped.server.faults.fail("deletecollection", "resourceslices", 500, times=2)
    await stepped.start()
    first = await stepped.clock.asked(1.0001, 1.2)
    await stepped.clock.advance(first)
    second = await stepped.clock.asked(2, 2.4)
    assert await slices(stepped) == ["mine"]
    await stepped.clock.advance(second)
    assert await slices(stepped) == []


async def test_slices_of_a_driver_go_30_seconds_after_its_last_connection(stepped):
    await stepped.start()
    driver = await stepped.connected_driver()
    await publish(stepped, "mine")
    await publish(stepped, "other-driver", driver="other.example.com")
    stepped.clock.forget(30)
    await driver.stop()
    await stepped.clock.asked(30)
    await stepped.clock.advance(29.9)
    assert await slices(stepped) == ["mine", "other-driver"]
    await stepped.clock.advance(0.1)
    assert await slices(stepped) == ["other-driver"]


async def test_a_driver_that_returns_in_time_keeps_its_slices(stepped):
    await stepped.start()
    driver = await stepped.connected_driver()
    await publish(stepped, "mine")
    stepped.clock.forget(30)
    await driver.stop()
    await stepped.clock.asked(30)
    await stepped.clock.advance(10)
    stepped.clock.forget(30)
    await stepped.connected_driver(instance="-2")
    await stepped.clock.advance(60)
    assert await slices(stepped) == ["mine"]


async def test_a_driver_with_one_instance_left_keeps_its_slices(stepped):
    await stepped.start()
    old = await stepped.connected_driver(instance="-a")
    await stepped.connected_driver(instance="-b")
    await publish(stepped, "mine")
    stepped.clock.forget(30)
    await old.stop()
    await stepped.journal.saw("driver disconnected")
    await stepped.clock.advance(60)
    assert await slices(stepped) == ["mine"]
